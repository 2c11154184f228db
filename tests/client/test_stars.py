"""`bus star`, and the library behind it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from busclient import Bus, NotFound, Refused
from tests.client.conftest import Ran

Make = Callable[..., Bus]
Cli = Callable[..., Ran]


def posted(bus: Bus, text: str) -> int:
    message = bus.post(text).message
    assert message is not None
    return message.seq


def test_the_library_toggles_a_star_and_says_one(client: Make) -> None:
    alice, bob = client("alice"), client("bob")
    seq = posted(alice, "the plan")
    assert [bob.star(seq), bob.star(seq), bob.star(seq)] == [True, False, True]
    assert [bob.star(seq, True), bob.star(seq, False)] == [True, False]
    assert [bob.star(seq, key="k"), bob.star(seq, key="k")] == [True, True]
    (found,) = bob.messages(starred=True, reader="bob")
    assert (found.seq, found.raw["starred"]) == (seq, True)
    assert alice.messages(starred=True, reader="alice") == []
    with pytest.raises(NotFound):
        bob.star(99_999)
    with pytest.raises(Refused):
        bob.star("../ack")


def test_the_command_stars_and_lists(client: Make, cli: Cli) -> None:
    alice = client("alice")
    first, second = (posted(alice, text) for text in ("first", "second"))
    assert cli("star").out == "nothing is starred\n"
    assert cli("star", str(first), str(second)).out == f"starred {first}, {second}\n"
    assert cli("star", str(first)).code == 0
    assert "first" in cli("star").out
    assert cli("star", str(first), "--off").out == f"took the star from {first}\n"
    listed = cli("star").out
    assert "second" in listed
    assert "first" not in listed
    inbox = cli("inbox", "--starred").out
    assert "second" in inbox
    assert "first" not in inbox
    cli("ack", str(second))
    assert cli("inbox", "--starred").out == "no unread messages\n"
    raw = json.loads(cli("star", "--json").out.splitlines()[0])
    assert (raw["seq"], raw["starred"]) == (second, True)
    assert cli("star", "--off").code == 2
    assert cli("star", "99999").code != 0
