"""What a message may be taken for: the hub says it, from the credential."""

from __future__ import annotations

import pytest

from bus.credentials import Register
from bus.errors import BadField
from bus.model.caller import HUMAN, MEMBER
from tests.fleet import SECRET, As
from tests.web.conftest import Members, refusal


@pytest.fixture
def chas(members: Members) -> As:
    """A person."""
    members.app.extensions["credentials"].add("human/chas", SECRET, HUMAN)
    return As(members.app, "human/chas")


def test_each_credential_has_its_label(members: Members, chas: As) -> None:
    said = {}
    for caller, sender in ((chas, None), (members.web1, None), (members.shared, "alice")):
        fields = {} if sender is None else {"from": sender}
        posted = caller.post("/post", json={"to": "db1", "body": "x", **fields}).json
        said[posted["from"]] = (posted["trust"], posted["verified"])
    assert said == {
        "human/chas": ("human", True),
        "web1": ("agent", True),
        "alice": ("shared", False),
    }
    found = members.db1.get("/messages?unread_by=db1").json["messages"]
    assert [message["trust"] for message in found] == ["human", "agent", "shared"]
    inbox = members.db1.get("/inbox").json["messages"]
    assert sorted(message["trust"] for message in inbox) == ["agent", "human", "shared"]


def test_the_hubs_own_word_is_the_hubs(members: Members) -> None:
    members.web1.post("/post", json={"to": "db1", "body": "x", "ack_by": 60})
    members.later(61)
    members.hub.chores.do()
    (report,) = members.web1.get("/messages?unread_by=web1").json["messages"]
    assert report["trust"] == "hub"


def test_nobody_sets_it(members: Members) -> None:
    reply = members.web1.post("/post", json={"to": "db1", "body": "x", "trust": "human"})
    refusal(reply, 400, "unknown_field")


def test_nobody_speaks_as_a_person(members: Members, chas: As) -> None:
    for caller in (members.web1, members.shared, members.admin):
        reply = caller.post("/post", json={"from": "human/chas", "to": "db1", "body": "x"})
        refusal(reply, 403, "not_your_name")
    reply = chas.post("/post", json={"from": "human/eve", "to": "db1", "body": "x"})
    refusal(reply, 403, "not_your_name")
    reply = members.admin.post("/api/credentials", json={"name": "human/eve"})
    refusal(reply, 400, "bad_field")


def test_a_person_reads_and_acknowledges(members: Members, chas: As) -> None:
    message = members.web1.post("/post", json={"to": "human/chas", "body": "done?"}).json
    assert message["recipients"][0]["known"] is True
    assert chas.bodies("unread_by=human/chas") == ["done?"]
    chas.ack(message, "human/chas")
    assert chas.bodies("unread_by=human/chas") == []
    assert chas.get("/api/me").json["role"] == "human"


def test_a_person_in_the_chain_lets_a_talk_go_on(members: Members, chas: As) -> None:
    last = members.web1.post("/post", json={"to": "any", "body": "x"}).json
    callers = [members.web1, members.db1, chas]
    for number in range(25):
        reply = callers[number % 3].post(
            "/post", json={"to": "any", "body": "x", "in_reply_to": last["id"]}
        )
        assert reply.status_code == 201
        last = reply.json


@pytest.mark.parametrize("name", ["chas", "human", "human/", "human/a/b", "admin/x"])
def test_a_persons_name_begins_with_human(members: Members, name: str) -> None:
    register = Register(members.app.extensions["credentials"], lambda *change: None)
    with pytest.raises(BadField):
        register.add(name, HUMAN, "operator")
    assert register.add("human/new", HUMAN, "operator").name == "human/new"
    with pytest.raises(BadField):
        register.add("human/other", MEMBER, "operator")


def test_the_roster_has_it(members: Members, chas: As) -> None:
    chas.post("/agents", json={"name": "human/chas", "summary": "here"})
    members.shared.post("/agents", json={"name": "old/alpha"})
    found = {
        agent["name"]: agent.get("trust") for agent in members.web1.get("/agents").json["agents"]
    }
    assert (found["human/chas"], found["old/alpha"]) == ("human", "shared")
