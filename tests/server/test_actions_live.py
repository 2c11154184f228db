"""Actions at a real hub with two workers: of many who claim one at once, one has it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests import racing
from tests.conftest import RunningHub
from tests.racing import Call

pytestmark = pytest.mark.slow


def make(hub: RunningHub, **fields: Any) -> int:
    reply = hub.post("/actions", json={"from": "asker", "title": "deploy", **fields})
    assert reply.status_code == 201, reply.text
    return int(reply.json()["actions"][0]["number"])


def race(
    hub: RunningHub, method: str, path: str, said: dict[str, dict[str, Any]]
) -> dict[str, tuple[int, Any]]:
    """Let a process for each name say its fields at once."""
    return racing.race(hub, {name: Call(path, fields, method) for name, fields in said.items()})


def test_of_twenty_processes_that_claim_one_has_it(hub: RunningHub) -> None:
    number = make(hub)
    names = [f"n{number}" for number in range(20)]
    found = race(hub, "POST", f"/actions/{number}/claim", {name: {"from": name} for name in names})
    assert Counter(status for status, _ in found.values()) == {200: 1, 409: 19}
    (winner,) = (name for name, (status, _) in found.items() if status == 200)
    for status, body in found.values():
        if status == 409:
            assert (body["error"], body["holder"]) == ("action_claimed", winner)
    action = hub.get(f"/actions/{number}").json()["action"]
    assert (action["assignee"], action["status"]) == (winner, "wip")
    assert [change["who"] for change in action["history"]] == [winner]


def test_changes_at_once_are_all_kept(hub: RunningHub) -> None:
    number = make(hub)
    said = {f"c{n}": {"from": "asker", "note": f"news {n}"} for n in range(10)}
    found = race(hub, "PATCH", f"/actions/{number}", said)
    assert Counter(status for status, _ in found.values()) == {200: 10}
    history = hub.get(f"/actions/{number}").json()["action"]["history"]
    assert sorted(change["note"] for change in history) == [f"news {n}" for n in range(10)]


def test_of_many_who_close_it_at_once_one_tells_the_asker(hub: RunningHub) -> None:
    number = make(hub, to=["box"])
    hub.post(f"/actions/{number}/claim", json={"from": "box"})
    said = {f"s{n}": {"from": f"box/s{n}", "status": "done"} for n in range(20)}
    found = race(hub, "PATCH", f"/actions/{number}", said)
    assert Counter(status for status, _ in found.values()) == {200: 20}
    mail = hub.get("/messages?unread_by=asker").json()["messages"]
    assert [message["action"]["set"] for message in mail] == [{"status": "done"}]


def test_a_brief_sent_by_many_at_once_makes_its_actions_once(hub: RunningHub) -> None:
    fields = {"from": "asker", "to": "box", "body": "- [ ] a\n- [ ] b @other", "title": "T"}
    hub.post("/post", json={"from": "other", "to": "box", "body": "here"})
    found = race(hub, "POST", "/briefs", {f"p{n}": fields for n in range(10)})
    assert {status for status, _ in found.values()} == {201}
    assert len({body["id"] for _, body in found.values()}) == 1
    thread = found["p0"][1]["id"]
    actions = hub.get(f"/actions?thread={thread}").json()["actions"]
    assert [action["assignee"] for action in actions] == ["other", "box"]
    mail = hub.get("/messages?unread_by=other").json()["messages"]
    assert len([message for message in mail if "is yours" in message["body"]]) == 1
