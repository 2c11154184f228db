"""bus_work: asks, actions and file leases as one tool."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.web.api.test_mcp import fails, use
from tests.web.conftest import Members


def test_a_question_is_owed_until_it_is_answered(members: Members) -> None:
    asked = use(
        members.web1, "bus_work", do="ask", to="db1", text="Deploy now?", options=["yes", "no"]
    )
    assert asked["state"] == "open"
    (owed,) = use(members.db1, "bus_work", do="owed")["you_owe"]
    assert (owed["from"], owed["question"]) == ("web1", "Deploy now?")
    (waits,) = use(members.web1, "bus_work", do="owed")["others_owe_you"]
    assert waits["waiting_for"] == ["db1"]
    wrong = fails(members.db1, "bus_work", do="answer", ref=asked["ref"], option="maybe")
    assert wrong["options"] == ["yes", "no"]
    done = use(members.db1, "bus_work", do="answer", ref=str(asked["ref"]), option="yes")
    assert done["state"] == "answered"
    assert use(members.db1, "bus_work", do="owed")["you_owe"] == []


def test_many_long_questions_are_cut_and_counted(members: Members) -> None:
    for number in range(30):
        names = {"to": ["db1"], "from": "web1"}
        reply = members.web1.post("/ask", json={**names, "question": f"{number} " + "q" * 5_000})
        assert reply.status_code == 201, reply.json
    found = use(members.db1, "bus_work", do="owed")
    assert len(json.dumps(found)) < 15_000
    shown = len(found["you_owe"])
    assert 5 < shown < 30
    assert found["you_owe_more"].startswith(f"… {30 - shown} more: ")
    newest = found["you_owe"][0]
    assert newest["question"] == f"29 {'q' * 997}…"
    assert newest["cut"] == f"1000 of 5003 characters; the rest: bus_read {newest['seq']}"


def test_a_question_is_declined_with_a_reason(members: Members) -> None:
    asked = use(members.web1, "bus_work", do="ask", to=["db1"], text="Why?")
    done = use(members.db1, "bus_work", do="decline", ref=asked["ref"], text="I was not there")
    assert done["state"] == "declined"


def test_a_session_owes_what_its_machine_was_asked(members: Members) -> None:
    use(members.web1, "bus_work", do="ask", to="db1", text="Who?")
    assert use(members.db1, "bus_work", "name=db1/alpha", do="owed")["you_owe"]


def test_an_action_is_added_claimed_and_done(members: Members) -> None:
    added = use(members.web1, "bus_work", do="add", text="rotate the keys")["action"]
    assert (added["title"], added["status"]) == ("rotate the keys", "open")
    claimed = use(members.db1, "bus_work", do="claim", ref=added["number"])["action"]
    assert (claimed["assignee"], claimed["status"]) == ("db1", "wip")
    late = fails(members.admin, "bus_work", do="claim", ref=added["number"])
    assert late["error"] == "action_claimed"
    (mine,) = use(members.db1, "bus_work", do="owed")["actions"]
    assert mine["number"] == added["number"]
    done = use(
        members.db1, "bus_work", do="update", ref=str(added["number"]), status="done", text="all"
    )
    assert done["action"]["status"] == "done"
    assert use(members.db1, "bus_work", do="actions")["actions"] == []


def test_an_action_is_given_to_somebody(members: Members) -> None:
    use(members.web1, "bus_work", do="add", text="look at the log", to="db1")
    (given,) = use(members.db1, "bus_work", do="actions")["actions"]
    assert (given["title"], given["asked_by"]) == ("look at the log", "web1")


def test_files_are_leased_shown_and_released(members: Members) -> None:
    about = {"repo": "git@github.com:acme/app.git", "paths": ["src/**"]}
    lease = use(members.web1, "bus_work", do="lease", text="the new login", **about)["lease"]
    held = fails(members.db1, "bus_work", do="lease", repo="https://github.com/acme/app",
                 paths=["src/a.py"])  # fmt: skip
    assert held["error"] == "lease_held"
    assert held["conflicts"][0]["holder"] == "web1"
    (shown,) = use(members.db1, "bus_work", do="leases", repo=about["repo"])["leases"]
    assert shown["reason"] == "the new login"
    assert use(members.web1, "bus_work", do="release", ref=lease["id"]) == {"released": True}
    assert use(members.db1, "bus_work", do="leases")["leases"] == []


@pytest.mark.parametrize(
    ("given", "argument"),
    [
        ({"do": "ask", "text": "x"}, "to"),
        ({"do": "answer"}, "ref"),
        ({"do": "decline", "ref": 1}, "text"),
        ({"do": "lease", "repo": "x"}, "paths"),
        ({"do": "release", "ref": "../x"}, "ref"),
        ({"do": "claim", "ref": "x"}, "ref"),
        ({"do": "add"}, "text"),
        ({"do": "dance"}, "do"),
        ({}, "do"),
    ],
)
def test_what_is_missing_is_named(members: Members, given: dict[str, Any], argument: str) -> None:
    found = fails(members.web1, "bus_work", **given)
    assert (found["error"], found["argument"]) == ("wrong_argument", argument)


def test_an_admin_runs_commands_and_reads_files_with_one_tool(members: Members) -> None:
    for given in ({}, {"command": "x", "path": "/y"}):
        found = fails(members.admin, "bus_exec", target="db1", **given)
        assert (found["error"], found["argument"]) == ("wrong_argument", "command")
