"""`bus expect` and the library behind it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from busclient import Bus, NotFound, Refused, UnknownRecipient
from tests.client.conftest import Ran

Make = Callable[..., Bus]
Cli = Callable[..., Ran]


def test_the_library_sets_lists_and_ends_them(client: Make) -> None:
    alice, bob = client("alice"), client("bob")
    bob.post("hello", to="alice")
    made = alice.expectations.expect("bob", every_s=900, tell=["alice", "bob"])
    assert (made.sender, made.name, made.every_s) == ("alice", "bob", 900)
    assert (made.tell, made.state, made.warnings) == (("alice", "bob"), "heard", ())
    assert made.heard is not None
    assert alice.expectations.all() == [made]
    assert alice.expectations.all(name="carol") == []
    changed = alice.expectations.expect("bob", every_s=60)
    assert (changed.id, changed.every_s, changed.tell) == (made.id, 60, ("alice",))
    assert alice.expectations.end("bob").id == made.id
    with pytest.raises(NotFound):
        alice.expectations.end(made)
    with pytest.raises(UnknownRecipient):
        alice.expectations.expect("bob", every_s=60, tell="nobody-has-it")
    with pytest.raises(Refused):
        alice.expectations.expect("bob", every_s=1)
    with pytest.raises(Refused):
        alice.expectations.end("a/b/c")


def test_the_command_says_it(cli: Cli) -> None:
    assert cli("expect").out == "no expectations\n"
    set_it = cli("expect", "carol/backup", "--every", "15m", "--tell", "bob")
    said = "carol/backup is expected every 15m; not heard so far; told: bob\n"
    assert (set_it.code, set_it.out) == (0, said)
    assert set_it.err == "bus: carol/backup is not known.\n"
    head, row = cli("expect").out.splitlines()
    assert head.split() == ["NAME", "STATE", "HEARD", "EVERY", "TELLS", "BY", "ID"]
    assert row.split()[:6] == ["carol/backup", "heard", "never", "15m", "bob", "bob"]
    (one,) = json.loads(cli("expect", "--json").out)["expectations"]
    assert cli("expect", "carol/backup").out.splitlines()[1] == row
    assert cli("expect", one["id"], "--off").out == "carol/backup is expected by bob no more\n"
    ended = cli("expect", "carol/backup", "--off")
    assert ended.code != 0
    assert "`bus expect` lists those that concern you." in ended.err


@pytest.mark.parametrize(
    "given",
    [
        ["--every", "15m"],
        ["--off"],
        ["web1", "--off", "--every", "15m"],
        ["web1", "--tell", "bob"],
        ["web1", "--every", "soon"],
    ],
)
def test_a_wrong_line_is_refused(cli: Cli, given: list[str]) -> None:
    assert cli("expect", *given).code != 0
