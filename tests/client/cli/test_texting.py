"""bus post --text: the message first, then an SMS that points at it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from busclient._cli import exits
from tests.client.conftest import Ran
from tests.conftest import Caller

Cli = Callable[..., Ran]


def test_the_message_has_a_tag_and_the_answer_says_what_becomes_of_the_sms(
    bus: Caller, cli: Cli
) -> None:
    hub = bus.app.extensions["bus"]
    told = {"chas": "ready", "ann": "away", "db": "not_heard"}
    hub.texting = lambda sender, tags: {tag[5:]: told.get(tag[5:], "nobody") for tag in tags}
    ran = cli(
        "post", "alice", "x", "--text", "chas", "--text=ann", "--text=db", "--text=bob", "-tq"
    )
    assert ran.code == 0, ran
    assert bus.get("/messages/1").json["tags"] == [
        *("q", "text:chas", "text:ann", "text:db", "text:bob"),
    ]
    for line in (
        "  chas: gets an SMS\n",
        "  ann: gets an SMS once",
        "  db: gets no SMS: not from you",
        "  bob: gets no SMS: none is set up",
    ):
        assert line in ran.out
    ran = cli("post", "alice", "x", "--text", "chas", "--json")
    assert json.loads(ran.out)["texts"] == {"chas": "ready"}


def test_a_hub_that_texts_nobody(bus: Caller, cli: Cli) -> None:
    ran = cli("post", "alice", "x", "--text", "chas")
    assert ran.code == 0 and "chas: gets no SMS" in ran.out
    bus.app.extensions["bus"].texting = lambda sender, tags: {}
    assert "this hub does not say" in cli("post", "alice", "x", "--text", "chas").out


@pytest.mark.parametrize("who", ["", "a,b", "a b", "x" * 40, "-x"])
def test_what_is_no_name(bus: Caller, cli: Cli, who: str) -> None:
    ran = cli("post", "alice", "x", f"--text={who}")
    assert ran.code == exits.USAGE and "several times" in ran.err
    assert bus.get("/messages").json["count"] == 0
