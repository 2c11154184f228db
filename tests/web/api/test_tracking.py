"""What becomes of a message: retracted, replaced, overdue, traced; and loops of replies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bus.config import Config
from tests.fleet import As
from tests.web.conftest import Members, open_members, refusal


def post(caller: As, to: Any = "db1", body: str = "hello", **fields: Any) -> dict[str, Any]:
    reply = caller.post("/post", json={"to": to, "body": body, **fields})
    assert reply.status_code == 201, reply.json
    found: dict[str, Any] = reply.json
    return found


def unread(caller: As, name: str | None = None) -> list[str]:
    return caller.bodies(f"unread_by={name or caller.name}")


def one(caller: As, message: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = caller.get(f"/messages/{message['id']}").json
    return found


def retract(caller: As, message: dict[str, Any], **fields: Any) -> dict[str, Any]:
    reply = caller.post(f"/messages/{message['seq']}/retract", json=fields)
    assert reply.status_code == 200, reply.json
    found: dict[str, Any] = reply.json
    return found


# -- retracting --------------------------------------------------------------------------------


@pytest.mark.parametrize("to", ["db1", ["db1", "admin"], "any"])
@pytest.mark.parametrize("more", [{}, {"expires_in_s": 60}], ids=["lasting", "expiring"])
def test_who_has_not_acknowledged_a_retracted_message_no_longer_gets_it(
    members: Members, to: Any, more: dict[str, Any]
) -> None:
    post(members.web1, to, "before")
    wrong = post(members.web1, to, "wrong", **more)
    post(members.web1, to, "after")
    assert retract(members.web1, wrong)["fetched_by"] == []
    assert unread(members.db1) == unread(members.admin, "db1") == ["before", "after"]
    inbox = members.db1.get("/inbox").json
    assert (inbox["unread"], [m["body"] for m in inbox["messages"]]) == (2, ["before", "after"])


def test_a_retracted_message_is_marked_wherever_it_is_shown(members: Members) -> None:
    wrong = post(members.web1)
    at = retract(members.web1, wrong)["retracted"]
    assert one(members.db1, wrong)["retracted"] == at
    assert members.db1.get("/messages").json["messages"][0]["retracted"] == at
    assert members.db1.get("/search?q=hello").json["messages"][0]["retracted"] == at
    assert " RETRACTED " in members.db1.get("/messages?format=text").get_data(as_text=True)


def test_who_had_fetched_it_is_told(members: Members) -> None:
    wrong = post(members.web1, ["db1", "admin"])
    unread(members.db1)
    assert retract(members.web1, wrong)["fetched_by"] == ["db1"]
    told = members.db1.get("/messages?unread_by=db1").json["messages"]
    assert [(m["from"], m["tags"], m["in_reply_to"]) for m in told] == [
        ("bus", ["retracted"], wrong["id"])
    ]
    assert told[0]["body"] == f"web1 retracted message {wrong['seq']}. Do not act on it."
    assert unread(members.admin) == []


def test_a_second_retraction_writes_nothing(members: Members, restarted: Members) -> None:
    wrong = post(members.web1)
    unread(members.db1)
    first = retract(members.web1, wrong)
    before = members.hub.log.position()
    second = retract(restarted.web1, wrong)
    assert (first["already"], second["already"]) == (False, True)
    assert second["retracted"] == first["retracted"]
    assert members.hub.log.position() == before


def test_nobody_retracts_anothers_message(members: Members) -> None:
    message = post(members.web1)
    shared = post(members.shared, **{"from": "alice"})
    for caller, what, fields in (
        (members.db1, message, {}),
        (members.admin, message, {}),
        (members.shared, message, {"from": "alice"}),
        (members.shared, shared, {"from": "bob"}),
        (members.web1, shared, {}),
    ):
        reply = caller.post(f"/messages/{what['seq']}/retract", json=fields)
        refusal(reply, 403, "not_your_message")
    assert retract(members.shared, shared, **{"from": "alice"})["ok"]
    refusal(members.web1.post("/messages/99/retract"), 404, "not_found")


def test_who_gets_a_name_anew_takes_back_nothing_of_the_one_before(members: Members) -> None:
    before = post(members.web1)
    assert members.admin.post("/api/credentials/revoke", json={"name": "web1"}).status_code == 200
    made = members.admin.post("/api/credentials", json={"name": "web1"})
    web1 = As(members.app, "web1", made.json["secret"])
    reply = web1.post(f"/messages/{before['seq']}/retract", json={})
    refusal(reply, 403, "not_your_message")
    reply = web1.post("/post", json={"to": "db1", "body": "x", "supersedes": before["id"]})
    refusal(reply, 403, "not_your_message")
    after = post(web1)
    assert retract(web1, after)["ok"]
    assert post(web1, supersedes=post(web1)["id"])["supersedes"]


def test_a_rebuilt_index_knows_what_was_retracted_and_replaced(members: Members) -> None:
    wrong, old = post(members.web1, body="wrong"), post(members.web1, body="old")
    new = post(members.web1, body="new", supersedes=old["id"])
    retract(members.web1, wrong)
    before = [one(members.db1, message) for message in (wrong, old, new)]
    members.hub.index.rebuild()
    assert [one(members.db1, message) for message in (wrong, old, new)] == before
    assert unread(members.db1) == ["old", "new"]


# -- replacing ---------------------------------------------------------------------------------


def test_a_message_that_was_replaced_says_by_which(members: Members) -> None:
    old = post(members.web1, body="deploy 1.2")
    new = post(members.web1, body="deploy 1.3", supersedes=old["seq"])
    assert new["supersedes"] == old["id"]
    assert one(members.db1, old)["superseded_by"] == new["id"]
    text = members.db1.get("/messages?unread_by=db1&format=text").get_data(as_text=True)
    assert f" superseded by {new['id']} " in text.splitlines()[0]
    assert "SUPERSEDED" in members.db1.get("/inbox?format=text").get_data(as_text=True)


def test_only_ones_own_message_is_replaced(members: Members) -> None:
    old = post(members.web1)
    reply = members.db1.post("/post", json={"to": "web1", "body": "x", "supersedes": old["id"]})
    refusal(reply, 403, "not_your_message")
    reply = members.web1.post("/post", json={"to": "db1", "body": "x", "supersedes": 99})
    assert refusal(reply, 422, "unknown_reply")["field"] == "supersedes"


# -- deadlines ---------------------------------------------------------------------------------


def test_the_sender_of_an_overdue_message_is_told_once(members: Members) -> None:
    message = post(members.web1, ["db1", "admin"], ack_by=60)
    members.admin.ack(message, "admin")
    members.hub.chores.do()
    assert unread(members.web1) == []
    members.later(61)
    for _ in range(2):
        members.hub.chores.do()
    (report,) = members.web1.get("/messages?unread_by=web1").json["messages"]
    assert (report["from"], report["tags"], report["verified"]) == ("bus", ["overdue"], True)
    assert report["data"]["overdue"] == {
        "id": message["id"],
        "seq": message["seq"],
        "unread_by": ["db1"],
    }


def test_a_message_that_was_acknowledged_in_time_is_not_overdue(members: Members) -> None:
    message = post(members.web1, ack_by=60)
    members.db1.ack(message, "db1")
    members.later(61)
    members.hub.chores.do()
    assert unread(members.web1) == []
    assert members.web1.get("/overdue").json["overdue"] == []
    before = members.hub.log.position()
    members.hub.chores.do()
    assert members.hub.log.position() == before


def test_what_passes_while_the_hub_is_down_is_reported_once_at_the_next_start(
    members: Members, config: Config
) -> None:
    post(members.web1, ack_by=60)
    for _ in range(2):
        for again in open_members(config):
            again.later(3600)
            again.hub.chores.do()
    assert len(members.records("deadline_passed")) == 1
    assert len(unread(members.web1)) == 1


def test_a_broadcast_is_overdue_for_those_who_read(members: Members) -> None:
    for caller in (members.db1, members.admin):
        caller.get(f"/messages?unread_by={caller.name}")
    message = post(members.web1, "any", ack_by=60)
    members.db1.ack(message, "db1")
    members.later(61)
    (late,) = members.web1.get("/overdue").json["overdue"]
    assert (late["id"], late["unread_by"], late["reported"]) == (message["id"], ["admin"], None)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["second", "first"]),
        ("from=web1", ["first"]),
        ("reader=admin", ["second"]),
        ("limit=1", ["second"]),
        ("from=nobody", []),
    ],
)
def test_what_is_overdue_is_listed_newest_first(
    members: Members, query: str, found: list[str]
) -> None:
    sent = {
        post(members.web1, "db1", ack_by=60)["seq"]: "first",
        post(members.db1, "admin", ack_by=60)["seq"]: "second",
    }
    post(members.web1, "db1", ack_by=7200)
    members.later(61)
    reply = members.web1.get(f"/overdue?{query}")
    assert [sent[late["seq"]] for late in reply.json["overdue"]] == found
    as_text = members.web1.get(f"/overdue?{query}&format=text").get_data(as_text=True)
    assert len(as_text.splitlines()) == max(1, len(found))


def test_a_retracted_message_is_never_overdue(members: Members) -> None:
    retract(members.web1, post(members.web1, ack_by=60))
    members.later(61)
    members.hub.chores.do()
    assert members.web1.get("/overdue").json["overdue"] == []
    assert members.records("deadline_passed") == []


@pytest.mark.parametrize("value", [0, -1, True, "soon", "2026-11-20T20:14:27", 10**9, [], 1e400])
def test_a_bad_deadline_is_refused(members: Members, value: Any) -> None:
    reply = members.web1.post("/post", json={"to": "db1", "body": "x", "ack_by": value})
    assert reply.status_code == 400


@pytest.mark.parametrize("text", ["60", "2099-01-02T03:04:05+01:00"])
def test_a_deadline_in_a_query_and_a_form(members: Members, text: str) -> None:
    for reply in (
        members.web1.post("/post", data={"to": "db1", "body": "x", "ack_by": text}),
        members.web1.post("/post", query_string={"to": "db1", "ack_by": text}, data=b"x"),
    ):
        assert reply.status_code == 201
        if ":" in text:
            assert reply.json["ack_by"] == "2099-01-02T02:04:05.000Z"


# -- the trace ---------------------------------------------------------------------------------


def test_a_trace_has_each_step_of_each_reader_in_order(members: Members) -> None:
    message = post(members.web1, ["db1", "admin"], ack_by=60)
    unread(members.db1)
    members.db1.ack(message, "db1")
    members.later(61)
    members.hub.chores.do()
    new = post(members.web1, ["db1", "admin"], supersedes=message["id"])
    retract(members.web1, message)
    reply = members.web1.get(f"/messages/{message['id']}/trace").json
    steps = {name: [step["step"] for step in found] for name, found in reply["trace"].items()}
    assert sorted(steps) == ["admin", "db1"]
    assert steps["db1"][:3] == ["queued", "fetched", "acked"]
    assert sorted(steps["db1"][3:]) == ["retracted", "superseded"]
    assert steps["admin"][0] == "queued"
    assert sorted(steps["admin"][1:]) == ["overdue", "reported", "retracted", "superseded"]
    times = [step["time"] for step in reply["trace"]["admin"]]
    assert times == sorted(times)
    assert {"step": "superseded", "time": new["ts"], "by": new["id"]} in reply["trace"]["db1"]
    text = members.web1.get(f"/messages/{message['id']}/trace?format=text").get_data(as_text=True)
    assert text.splitlines()[1].startswith("admin: queued ")


def test_the_trace_of_nothing_is_not_found(members: Members) -> None:
    refusal(members.web1.get("/messages/99/trace"), 404, "not_found")


# -- loops -------------------------------------------------------------------------------------


def chatter(callers: list[As], replies: int) -> tuple[dict[str, Any], Any]:
    """A chain of replies in turn, and the answer to the last one."""
    last = post(callers[0], "any")
    for number in range(1, replies + 1):
        reply = callers[number % len(callers)].post(
            "/post", json={"to": "any", "body": "yes", "in_reply_to": last["id"]}
        )
        if reply.status_code != 201:
            return last, reply
        last = reply.json
    return last, reply


def test_a_loop_of_three_bots_stops_at_the_guard_and_admins_are_told_once(
    members: Members,
) -> None:
    bots = [members.web1, members.db1, As(members.app, "bot")]
    members.app.extensions["credentials"].add("bot", bots[2].secret, "member")
    last, reply = chatter(bots, 25)
    error = refusal(reply, 429, "loop_guard")
    assert (last["hops"], error["agents"]) == (20, ["bot", "db1", "web1"])
    again = members.web1.post("/post", json={"to": "any", "body": "x", "in_reply_to": last["id"]})
    refusal(again, 429, "loop_guard")
    told = members.admin.get("/messages?unread_by=admin&tag=loop").json["messages"]
    assert [message["thread"] for message in told] == [last["thread"]]


@pytest.mark.parametrize(
    "go_on",
    [
        lambda members, last: members.later(601),
        lambda members, last: last.pop("id"),
    ],
    ids=["later", "in a new thread"],
)
def test_it_goes_on(members: Members, go_on: Callable[[Members, dict[str, Any]], Any]) -> None:
    last, reply = chatter([members.web1, members.db1], 21)
    refusal(reply, 429, "loop_guard")
    go_on(members, last)
    parent = {"in_reply_to": last["id"]} if "id" in last else {}
    assert members.web1.post("/post", json={"to": "any", "body": "x", **parent}).status_code == 201


def test_a_chain_of_others_stops_nobody_from_answering(members: Members) -> None:
    """A member that answers itself makes no trap for who answers it."""
    last, reply = chatter([members.web1], 21)
    refusal(reply, 429, "loop_guard")
    answer = members.db1.post("/post", json={"to": "web1", "body": "x", "in_reply_to": last["id"]})
    assert answer.status_code == 201


def test_a_long_talk_of_many_is_no_loop(members: Members) -> None:
    names = [f"bot{number}" for number in range(25)]
    for name in names:
        members.app.extensions["credentials"].add(name, "secret", "member")
    _, reply = chatter([As(members.app, name, "secret") for name in names], 24)
    assert reply.status_code == 201


def test_without_a_limit_there_is_no_guard(config: Config) -> None:
    for members in open_members(Config(data_dir=config.data_dir, fsync="never", loop_limit=0)):
        last, reply = chatter([members.web1, members.db1], 30)
        assert (reply.status_code, last["hops"]) == (201, 30)
