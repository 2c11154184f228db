"""`bus topics`, `bus sub`, `bus unsub` and `bus pub`, and the library behind them."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from busclient import Bus, Refused
from tests.client.conftest import Ran

Make = Callable[..., Bus]
Cli = Callable[..., Ran]


def test_a_subscriber_receives_what_is_posted(client: Make) -> None:
    alice, bob = client("alice"), client("bob")
    assert [bob.topics.subscribe("build.>") for _ in range(2)] == [True, False]
    posted = alice.post("green", to="topic:build.linux")
    assert posted.delivery == {"topic:build.linux": {"subscribers": 1}}
    assert [message.to for message in bob.unread()] == [("topic:build.linux",)]
    (topic,) = bob.topics.all(mine=True)
    assert (topic.topic, topic.messages, topic.subscribers) == ("build.linux", 1, 1)
    assert alice.topics.all(mine=True) == []
    assert [bob.topics.unsubscribe("topic:build.>") for _ in range(2)] == [True, False]
    with pytest.raises(Refused):
        bob.topics.subscribe("a/b")


def test_the_commands_say_it(cli: Cli) -> None:
    assert cli("topics").out == "no topics\n"
    assert cli("sub", "deploys").out == "bob subscribed to deploys\n"
    assert cli("sub", "deploys").out == "bob had subscribed to deploys\n"
    assert "  topic:deploys: 1 subscriber\n" in cli("pub", "deploys", "1.3 is live").out
    head, row = cli("topics", "--mine").out.splitlines()
    assert (head.split(), row.split()) == (
        ["TOPIC", "MESSAGES", "SUBSCRIBERS", "LAST"],
        ["deploys", "1", "1", "now"],
    )
    assert json.loads(cli("topics", "--json").out)["topics"][0]["topic"] == "deploys"
    assert cli("unsub", "deploys").out == "bob no longer receives deploys\n"
    assert cli("unsub", "deploys").out == "bob did not receive deploys\n"
    assert "has no subscribers" in cli("pub", "quiet", "x", "--urgent").out
