"""`bus trace`, `bus retract` and `bus overdue`, and the library behind them."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from busclient import Bus, Forbidden
from tests.client.conftest import Ran
from tests.conftest import Caller, move

Make = Callable[..., Bus]
Cli = Callable[..., Ran]


def test_a_message_is_traced_and_taken_back(client: Make) -> None:
    alice, bob = client("alice"), client("bob")
    posted = alice.post("deploy 1.2", to=["bob", "carol"], ack_by=3600)
    assert posted.message is not None
    assert [message.body for message in bob.unread()] == ["deploy 1.2"]
    steps = {name: [step["step"] for step in found] for name, found in alice.trace(1).items()}
    assert steps == {"bob": ["queued", "fetched"], "carol": ["queued"]}
    with pytest.raises(Forbidden):
        bob.retract(posted.message)
    assert alice.retract(posted.message)["fetched_by"] == ["bob"]
    assert list(client("carol").unread()) == []
    newer = alice.post("deploy 1.3", to="bob", supersedes=posted.message)
    assert newer.message is not None
    assert bob.message(1).raw["superseded_by"] == newer.message.id


def test_what_is_overdue_is_listed(bus: Caller, client: Make) -> None:
    alice = client("alice")
    alice.post("x", to="bob", ack_by=60)
    assert alice.overdue() == []
    move(bus.hub, 61)
    assert [late["unread_by"] for late in alice.overdue(sender="alice", reader="bob")] == [["bob"]]
    assert alice.overdue(sender="bob") == []


def test_the_commands_say_it(bus: Caller, cli: Cli) -> None:
    assert cli("overdue").out == "nothing is overdue\n"
    cli("post", "alice", "x", "--ack-by", "60")
    bus.get("/messages?unread_by=alice")
    assert cli("trace", "1").out == "alice: queued now, fetched now\n"
    assert json.loads(cli("trace", "1", "--json").out)["trace"]["alice"][0]["step"] == "queued"
    move(bus.hub, 61)
    assert cli("overdue", "--mine").out.startswith("1 due ")
    assert cli("overdue", "--reader", "carol").out == "nothing is overdue\n"
    assert cli("retract", "1").out == "1 retracted; fetched before by alice\n"
    assert cli("retract", "1").out.startswith("1 was retracted before")
    assert cli("post", "alice", "y", "--supersedes", "1").code == 0
