"""The escalation ladder: what follows, step by step, while nobody acknowledges."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bus.config import BadSetting, Config
from bus.hub import escalation as hub_escalation
from bus.model.escalation import ladder
from tests.fleet import SECRET, As
from tests.web.conftest import Members, open_members

PERSON = "human/ann"
LADDER = "wake:0 candidates:10m sender:30m human:1h"


@pytest.fixture
def config(config: Config) -> Config:
    return Config(data_dir=config.data_dir, fsync="never", escalate=LADDER, private=True)


@pytest.fixture
def members(config: Config) -> Iterator[Members]:
    """A hub with a ladder, where mail is private; a human, and web2 who is nobody's recipient."""
    for made in open_members(config):
        credentials = made.app.extensions["credentials"]
        credentials.add("human/ann", SECRET, "human")
        credentials.add("web2", SECRET, "member")
        made.later(0)
        made.hub.chores.do()
        yield made


def post(caller: As, to: Any = "db1", **fields: Any) -> dict[str, Any]:
    fields = {"body": "the secret", "ack_by": 60, **fields}
    reply = caller.post("/post", json={"to": to, **fields})
    assert reply.status_code == 201, reply.json
    found: dict[str, Any] = reply.json
    return found


def at(members: Members, seconds: float) -> None:
    """Let the chores be done at a time after the first one; twice, so that none does too much."""
    members.later(seconds)
    for _ in range(2):
        members.hub.chores.do()


def told(members: Members, *names: str) -> list[tuple[str, str]]:
    """Who was told at which step, in order."""
    steps = ("wake", "candidates", "sender", "human", "overdue")
    mail = members.admin.get("/messages?from=bus&since=0").json["messages"]
    found = []
    for one in mail:
        to = one["to"] if isinstance(one["to"], list) else [one["to"]]
        found += [(tag, name) for tag in one["tags"] if tag in steps for name in to]
    return found


def steps(caller: As, message: dict[str, Any], name: str) -> list[str]:
    found = caller.get(f"/messages/{message['id']}/trace").json["trace"][name]
    return [f"{one['step']} {one.get('by', '')}".strip() for one in found]


def test_each_step_follows_at_its_time_and_is_in_the_trace(members: Members) -> None:
    message = post(members.web1)
    at(members, 59)
    assert told(members) == []
    expected = []
    for seconds, step in (
        (61, ("wake", "db1")),
        (661, None),
        (1861, ("overdue", "web1")),
        (3661, ("human", "human/ann")),
    ):
        at(members, seconds - 2)
        assert told(members) == expected
        at(members, seconds)
        expected += [] if step is None else [step]
        assert told(members) == expected
    assert sorted(steps(members.web1, message, "db1")) == [
        "escalated candidates: nobody (nobody)",
        "escalated human: human/ann",
        "escalated wake: db1",
        "overdue",
        "queued",
        "reported",
    ]
    at(members, 9000)
    assert told(members) == expected


def test_what_is_said_shows_nothing_of_the_mail(members: Members) -> None:
    post(members.web1)
    for seconds in (61, 700, 1900, 3700):
        at(members, seconds)
    human = As(members.app, "human/ann")
    (one,) = human.get("/messages?unread_by=human/ann").json["messages"]
    assert (one["priority"], one["tags"], one["trust"]) == (
        "urgent",
        ["escalation", "human"],
        "agent",
    )
    assert "secret" not in str(one)
    assert one["body"].startswith("Nobody has dealt with message 2 from web1 since ")


@pytest.mark.parametrize("after", [30, 61, 700, 1900])
def test_an_ack_ends_it(members: Members, after: float) -> None:
    message = post(members.web1)
    at(members, after)
    before = told(members)
    members.db1.ack(message, "db1")
    for seconds in (700, 1900, 3700):
        at(members, max(after, seconds))
    assert told(members) == before


def test_a_retraction_ends_it(members: Members) -> None:
    message = post(members.web1)
    at(members, 61)
    members.web1.post(f"/messages/{message['id']}/retract")
    at(members, 3700)
    assert told(members) == [("wake", "db1")]


def test_a_roles_other_candidates_are_told_and_cannot_read_it(members: Members) -> None:
    members.db1.post("/roles/deployer/claim")
    web2 = As(members.app, "web2")
    web2.post("/roles/deployer/claim")
    message = post(members.web1, "role:deployer")
    at(members, 61)
    members.later(662)
    for caller in (members.db1, web2):
        caller.get("/api/me")
    at(members, 662)
    assert told(members)[:2] == [("wake", "role:deployer"), ("candidates", "web2")]
    (one,) = [
        one
        for one in web2.get("/messages?unread_by=web2").json["messages"]
        if "candidates" in one["tags"]
    ]
    assert one["priority"] == "normal"
    assert "secret" not in str(one)
    assert "escalated candidates: web2" in steps(members.web1, message, "role:deployer")


def test_a_session_that_is_gone_is_woken_through_its_machine(members: Members) -> None:
    post(members.web1, "db1/alpha")
    at(members, 200)
    assert told(members) == [("wake", "db1/alpha"), ("wake", "db1")]


def test_after_an_outage_the_steps_keep_their_distances(members: Members, config: Config) -> None:
    post(members.web1)
    members.hub.chores.leave()
    for again in open_members(config):
        at(again, 7200)
        assert told(again) == [("wake", "db1")]
        at(again, 7200 + 599)
        assert told(again) == [("wake", "db1")]
        at(again, 7200 + 601)
        at(again, 7200 + 1802)
        assert told(again) == [("wake", "db1"), ("overdue", "web1")]
    for again in open_members(config):
        at(again, 7200 + 3000)
        assert len(told(again)) == 2
        at(again, 7200 + 3603)
        assert told(again)[2:] == [("human", "human/ann")]


def test_two_leaders_take_each_step_once(members: Members, restarted: Members) -> None:
    post(members.web1)
    for one in (members, restarted):
        one.later(61)
    case = hub_escalation.Case("message 2", "message", 2, 0)
    members.hub.escalation._step(case, "wake")
    restarted.hub.escalation._step(case, "wake")
    assert told(members) == [("wake", "db1")]
    assert len(members.records("escalated")) == 1


@pytest.mark.parametrize("fields", [{"to": "any"}, {"to": "topic:x"}, {"priority": "fyi"}])
def test_what_is_for_many_or_of_little_weight_goes_to_its_sender_only(
    members: Members, fields: dict[str, Any]
) -> None:
    members.db1.get("/messages?unread_by=db1")
    members.db1.post("/topics/x/subscribe")
    post(members.web1, **fields)
    for seconds in (61, 700, 1900, 3700):
        at(members, seconds)
    assert told(members) == [("overdue", "web1")]


def test_what_nobody_proved_does_not_reach_people(members: Members) -> None:
    message = post(members.shared, **{"from": "alice"})
    for seconds in (61, 700, 1900, 3700):
        at(members, seconds)
    assert told(members) == [("wake", "db1"), ("overdue", "alice")]
    assert "escalated human: nobody (unproven)" in steps(members.admin, message, "db1")
    (woken,) = members.db1.get("/messages?unread_by=db1&from=bus").json["messages"]
    assert woken["trust"] == "shared"


def test_one_credential_reaches_people_and_others_so_often(
    members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_escalation, "MOST_TOLD", 2)
    monkeypatch.setattr(hub_escalation, "MOST_TO_PEOPLE", 1)
    for _ in range(3):
        post(members.web1)
    post(members.admin)
    for seconds in (61, 700, 1900, 3700):
        at(members, seconds)
    counts = {step: sum(1 for one, _ in told(members) if one == step) for step in ("wake", "human")}
    assert counts == {"wake": 2 + 1, "human": 1 + 1}
    monkeypatch.setattr(hub_escalation, "MOST_TO_ONE", 1)
    post(members.db1, "web1", ack_by=1)
    post(members.db1, "web1", ack_by=1)
    at(members, 8000)
    assert sum(1 for one in told(members) if one == ("wake", "web1")) == 1


def test_one_credential_takes_no_room_from_what_others_escalate(
    members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_escalation, "MOST_TO_ONE", 3)
    monkeypatch.setattr(hub_escalation, "MOST_OF_ONE_TO_ONE", 2)
    for name in ("db1", PERSON):
        for _ in range(4):
            post(members.web1, name)
    at(members, 61)
    assert sum(one == ("wake", "db1") for one in told(members)) == 2
    post(members.admin)
    for seconds in (200, 900, 2100, 4000):
        at(members, seconds)
    found = told(members)
    assert sum(one == ("wake", "db1") for one in found) == 3
    assert sum(one == ("wake", PERSON) for one in found) == 2
    assert sum(one == ("human", PERSON) for one in found) == 3


def test_an_overdue_action_climbs_until_it_is_done(members: Members) -> None:
    due = members.hub.journal.utc(60)
    for title in ("first", "second"):
        action = {"to": "db1", "title": title, "assignee": "db1", "due": due}
        assert members.web1.post("/actions", json=action).status_code == 201
    at(members, 30)
    assert told(members) == []
    at(members, 61)
    assert told(members) == [("wake", "db1")] * 2
    done = members.db1.call("PATCH", "/actions/1", json={"status": "done"})
    assert done.status_code == 200
    for seconds in (700, 1900, 3700):
        at(members, seconds)
    assert told(members)[2:] == [("sender", "web1"), ("human", "human/ann")]
    history = members.web1.get("/actions/2").json["action"]["history"]
    assert [one["note"] for one in history] == [
        "Overdue. wake: db1",
        "Overdue. candidates: nobody (nobody)",
        "Overdue. sender: web1",
        "Overdue. human: human/ann",
    ]


def test_an_action_that_was_changed_after_it_was_due_does_not_climb(members: Members) -> None:
    """The log has a clock of its own, which stands at the time of the first `later`, or after."""
    due = members.hub.journal.utc(0.001)
    for title in ("looked after", "not"):
        action = {"to": "db1", "title": title, "assignee": "db1"}
        assert members.web1.post("/actions", json=action).status_code == 201
    late = members.web1.call("PATCH", "/actions/1", json={"due": due})
    soon = members.web1.call("PATCH", "/actions/2", json={"due": members.hub.journal.utc(50)})
    assert (late.status_code, soon.status_code) == (200, 200)
    at(members, 61)
    assert told(members) == [("wake", "db1")]


@pytest.mark.parametrize("is_acked", [False, True])
def test_a_question_that_expired_reaches_people_unless_its_asker_knows(
    members: Members, is_acked: bool
) -> None:
    asked = members.web1.post("/ask", json={"to": "db1", "question": "Deploy?", "by": 60})
    assert asked.status_code == 201
    at(members, 61)
    (expired,) = members.web1.get("/messages?unread_by=web1&from=bus").json["messages"]
    if is_acked:
        members.web1.ack(expired, "web1")
    at(members, 3600 + 70)
    assert told(members) == ([] if is_acked else [("human", "human/ann")])
    if not is_acked:
        assert "escalated human: human/ann" in steps(members.web1, asked.json, "db1")


def test_what_was_late_before_the_ladder_was_set_does_not_climb(config: Config) -> None:
    for before in open_members(Config(data_dir=config.data_dir, fsync="never")):
        post(before.web1)
    for again in open_members(config):
        at(again, 3600)
        at(again, 9000)
        assert told(again) == [("overdue", "web1")]


def test_without_a_ladder_nothing_follows(config: Config) -> None:
    for off in open_members(Config(data_dir=config.data_dir, fsync="never")):
        post(off.web1)
        at(off, 61)
        at(off, 9000)
        assert told(off) == [("overdue", "web1")]
        assert off.records("escalated", "escalation_set") == []


def test_a_ladder_that_is_taken_away_loses_no_report(members: Members, config: Config) -> None:
    post(members.web1)
    at(members, 61)
    members.hub.chores.leave()
    for off in open_members(Config(data_dir=config.data_dir, fsync="never")):
        at(off, 62)
        at(off, 9000)
        assert told(off) == [("wake", "db1"), ("overdue", "web1")]


def test_the_names_of_the_setting_are_its_people(config: Config) -> None:
    named = {"escalate": "human:0", "escalate_to": "db1, admin"}
    for one in open_members(Config(data_dir=config.data_dir, fsync="never", **named)):
        one.later(0)
        one.hub.chores.do()
        post(one.web1, "admin")
        at(one, 61)
        assert told(one) == [("overdue", "web1"), ("human", "db1"), ("human", "admin")]


def test_a_rebuilt_index_knows_how_far_each_is(members: Members) -> None:
    message = post(members.web1)
    at(members, 61)
    at(members, 700)
    before = steps(members.web1, message, "db1")
    members.hub.index.rebuild()
    assert steps(members.web1, message, "db1") == before
    at(members, 1200)
    assert told(members) == [("wake", "db1")]
    at(members, 1901)
    assert told(members) == [("wake", "db1"), ("overdue", "web1")]


@pytest.mark.parametrize(
    "text",
    [
        "wake",
        "wake:",
        "call:1h",
        "human:1h wake:0",
        "wake:1h human:1m",
        "human:8d",
        "wake:0 wake:1",
    ],
)
def test_a_wrong_ladder_is_refused_at_the_start(text: str) -> None:
    with pytest.raises(BadSetting, match="BUS_ESCALATE"):
        Config.from_env({"BUS_ESCALATE": text})


def test_a_ladder_is_read() -> None:
    assert [rung.after_s for rung in ladder(LADDER)] == [0, 600, 1800, 3600]
