"""`bus forward`, and the library behind it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from busclient import Bus, NotFound
from tests.client.conftest import Ran

Make = Callable[..., Bus]


def test_a_message_is_passed_on_as_it_is_or_below_a_comment(client: Make) -> None:
    alice, bob, carol = client("alice"), client("bob"), client("carol")
    first = alice.post("deploy\n1.3\n", to="bob", data={"version": "1.3"}).message
    assert first is not None
    bob.forward(first, "carol")
    bob.forward(first.seq, ["carol", "dave"], "yours?", priority="urgent")
    plain, quoted = carol.unread()
    assert (plain.body, plain.data) == (first.body, first.data)
    assert plain.raw["forwarded"]["from"] == "alice"
    assert plain.trust == first.trust
    below = f"{first.seq} from {first.signed}:\n> deploy\n> 1.3"
    assert (quoted.body, quoted.priority) == (f"yours?\n\n{below}", "urgent")
    with pytest.raises(NotFound):
        bob.forward(99_999, "carol")


def test_the_command_says_it(cli: Callable[..., Ran], client: Make) -> None:
    first = client("alice").post("deploy", to="bob").message
    assert first is not None
    ran = cli("forward", str(first.seq), "--to", "carol,dave", "look", "--json")
    found = json.loads(ran.out)
    assert (found["to"], found["forwarded"]["id"]) == (["carol", "dave"], first.id)
    assert cli("forward", str(first.seq)).code == 2
    assert cli("forward", "99999", "--to", "carol").code == 6
