"""`bus ask` and what follows, and the library behind it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from bus.config import Config
from busclient import AskAnswered, Bus, Conflict, Forbidden, NotFound
from tests.client.conftest import Ran
from tests.conftest import Caller, move

Make = Callable[..., Bus]
Cli = Callable[..., Ran]


def seq_of(ran: Ran) -> str:
    assert ran.code == 0, ran.err
    return ran.out.split()[1]


def test_a_question_is_asked_and_answered_once(client: Make) -> None:
    alice, bob, carol = client("alice"), client("bob"), client("carol")
    asked = alice.asks.ask("Deploy?", to=["bob", "carol"], options=["yes", "no"], by=600)
    assert asked.message is not None
    (owed,) = bob.asks.owed()
    assert (owed.id, owed.question, owed.options) == (asked.message.id, "Deploy?", ("yes", "no"))
    found = bob.asks.answer(owed.id, option="yes", text="all green")
    assert (found.state, found.waiting) == ("answered", 0)
    with pytest.raises(AskAnswered) as error:
        carol.asks.answer(owed.id, option="no")
    assert (error.value.first["name"], error.value.first["option"]) == ("bob", "yes")
    (said,) = alice.asks.wait(asked.message, 60).answers
    assert (said.name, said.option, said.text, said.is_default) == (
        "bob",
        "yes",
        "all green",
        False,
    )
    assert bob.asks.answer(owed.id, option="yes", text="all green") == found
    assert carol.asks.owed() == []
    with pytest.raises(Forbidden):
        client("dave").asks.answer(owed.id, option="no")
    with pytest.raises(NotFound):
        alice.asks.get(99_999)


def test_a_repeated_question_is_one(client: Make) -> None:
    alice = client("alice")
    first = alice.asks.ask("Deploy?", to="bob", key="k")
    again = alice.asks.ask("Deploy?", to="bob", key="k")
    assert again.replayed and again.message == first.message
    assert alice.asks.ask("Deploy?", to="bob").message != first.message
    assert len(alice.asks.all(asked_by="alice", limit=10)) == 2


def test_declined_withdrawn_and_over(client: Make, bus: Caller) -> None:
    alice, bob = client("alice"), client("bob")
    ids = []
    for _ in range(3):
        message = alice.asks.ask("?", to="bob", by=60, default="never mind").message
        assert message is not None
        ids.append(message.id)
    declined = bob.asks.decline(ids[0], "no time")
    assert (declined.state, declined.declined[0].reason) == ("declined", "no time")
    assert alice.asks.withdraw(ids[1]).state == "withdrawn"
    with pytest.raises(Conflict):
        bob.asks.answer(ids[1], text="late")
    move(bus.hub, 61)
    (said,) = alice.asks.get(ids[2]).answers
    assert (said.name, said.text, said.is_default) == ("bus", "never mind", True)
    assert {one.id: one.state for one in alice.asks.all(asked_by="alice")} == dict(
        zip(ids, ("declined", "withdrawn", "answered"), strict=True)
    )


def test_a_wait_that_ends_early_says_how_it_is(client: Make) -> None:
    asked = client("alice").asks.ask("?", to="bob").message
    assert asked is not None
    assert client("alice").asks.wait(asked, 0).is_open


def test_a_session_owes_what_its_machine_was_asked(client: Make) -> None:
    client("alice").asks.ask("one", to="web")
    client("alice").asks.ask("two", to="web/alpha")
    assert [ask.question for ask in client("web/alpha").asks.owed()] == ["two", "one"]
    assert [ask.question for ask in client("web").asks.owed()] == ["one"]


@pytest.fixture
def config(config: Config) -> Config:
    """One credential may have so many open questions that they come in pages."""
    return replace(config, max_open_asks=1_000)


def test_many_asks_come_in_pages(client: Make) -> None:
    alice = client("alice")
    for number in range(130):
        alice.asks.ask(str(number), to="bob")
    assert len(client("bob").asks.owed(limit=1_000)) == 130
    assert len(client("bob").asks.owed(limit=120)) == 120


def test_the_commands_say_it(cli: Cli, client: Make) -> None:
    alice = client("alice")
    asked = alice.asks.ask("Deploy\n  options: fake", to="bob", options=["yes", "no way"]).message
    assert asked is not None
    head, *_ = cli("inbox").out.splitlines()
    assert head.endswith('alice (unverified) > bob QUESTION open options=yes,"no way"')
    lines = cli("asks", "--owed").out.splitlines()
    assert lines[1:] == [
        "    Deploy",
        "      options: fake",
        '  options: yes, "no way"',
        "  waiting for bob",
    ]
    assert cli("answer", str(asked.seq)).code == 2
    refused = cli("answer", str(asked.seq), "maybe")
    assert (refused.code, "One of yes, no way" in refused.err) == (7, True)
    assert (
        cli("answer", str(asked.seq), "no way", "red").out
        == f"{asked.seq} answered; it is answered\n"
    )
    assert cli("asks", "--owed").out == "no asks\n"
    assert "  bob now: no way red" in cli("asks", str(asked.seq)).out.splitlines()
    late = cli("answer", str(asked.seq), "yes")
    assert (late.code, "bus asks ID" in late.err) == (7, True)


def test_one_asks_waits_and_takes_back(cli: Cli, client: Make) -> None:
    seq = seq_of(cli("ask", "alice,carol", "Which version?", "--need", "2", "--by", "10m"))
    client("alice").asks.answer(seq, text="1.3")
    assert "waiting for carol" in cli("asks").out
    assert cli("asks", "--mine", "--state", "answered").out == "no asks\n"
    client("carol").asks.decline(seq, "no idea")
    found = json.loads(cli("asks", seq, "--json").out)["ask"]
    assert (found["state"], found["declined"][0]["reason"]) == ("declined", "no idea")
    ran = cli("ask", "alice", "and now?", "--wait", "0")
    assert (ran.code, "waiting for alice" in ran.out) == (124, True)
    (mine,) = json.loads(cli("asks", "--mine", "--state", "open", "--json").out)["asks"]
    assert cli("withdraw", str(mine["seq"])).out == f"{mine['seq']} withdrawn; it is withdrawn\n"
    assert cli("ask", "any", "who?").code == 7


def test_a_text_may_come_from_standard_input(cli: Cli, client: Make) -> None:
    asked = client("alice").asks.ask("?", to="bob").message
    assert asked is not None
    assert cli("answer", str(asked.seq), "two", "words").code == 2
    assert cli("answer", str(asked.seq), stdin="from\nstdin\n").code == 0
    assert client("alice").asks.get(asked).answers[0].text == "from\nstdin"
    other = client("alice").asks.ask("?", to="bob").message
    assert other is not None
    assert cli("decline", str(other.seq), "no").out == f"{other.seq} declined; it is declined\n"
