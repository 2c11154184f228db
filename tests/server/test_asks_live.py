"""Asks at a real hub with two workers: of many who answer at once, one wins."""

from __future__ import annotations

import os
import signal
from collections import Counter
from typing import Any

import pytest

from tests import racing
from tests.conftest import RunningHub, wait_until
from tests.racing import Call

pytestmark = pytest.mark.slow


def ask(hub: RunningHub, **fields: Any) -> Any:
    reply = hub.post("/ask", json={"from": "asker", "question": "who?", **fields})
    assert reply.status_code == 201, reply.text
    return reply.json()


def race(
    hub: RunningHub, asked: Any, said: dict[str, dict[str, Any]], **others: str
) -> dict[str, tuple[int, Any]]:
    """Let a process for each name say something at once; what each got: status and body.

    `others` are the paths of those that do something else than answer.
    """
    answering = f"/ask/{asked['id']}/answer"
    return racing.race(
        hub,
        {name: Call(others.get(name, answering), fields) for name, fields in said.items()},
    )


def replies(hub: RunningHub) -> list[Any]:
    messages: list[Any] = hub.get("/messages?unread_by=asker&limit=100").json()["messages"]
    return messages


def test_of_twenty_processes_that_answer_one_wins(hub: RunningHub) -> None:
    names = [f"n{number}" for number in range(20)]
    asked = ask(hub, to=names, options=["me", "not me"])
    found = race(hub, asked, {name: {"from": name, "option": "me", "text": name} for name in names})
    assert Counter(status for status, _ in found.values()) == {200: 1, 409: 19}
    (winner,) = (name for name, (status, _) in found.items() if status == 200)
    for status, body in found.values():
        if status == 409:
            assert (body["error"], body["first"]["name"]) == ("ask_answered", winner)
    assert [message["from"] for message in replies(hub)] == [winner]
    (answer,) = hub.get(f"/ask/{asked['id']}").json()["ask"]["answers"]
    assert answer["name"] == winner


def test_of_twenty_as_many_as_are_needed_win(hub: RunningHub) -> None:
    names = [f"n{number}" for number in range(20)]
    asked = ask(hub, to=names, need=7)
    found = race(hub, asked, {name: {"from": name, "text": name} for name in names})
    winners = {name for name, (status, _) in found.items() if status == 200}
    assert len(winners) == 7
    assert {message["from"] for message in replies(hub)} == winners
    answers = hub.get(f"/ask/{asked['id']}").json()["ask"]["answers"]
    assert {answer["name"] for answer in answers} == winners


def test_the_sessions_of_one_machine_answer_once(hub: RunningHub) -> None:
    asked = ask(hub, to=["box", "other"], need=2)
    sessions = {name: {"from": f"box/{name}", "text": name} for name in ("a", "b", "c", "d")}
    found = race(hub, asked, sessions)
    assert Counter(status for status, _ in found.values()) == {200: 1, 409: 3}
    assert len(replies(hub)) == 1


def test_an_answer_and_a_retraction_that_cross_do_not_both_count(hub: RunningHub) -> None:
    for _ in range(6):
        asked = ask(hub, to=["n1", "n2"], options=["yes"])
        said = {name: {"from": name, "option": "yes"} for name in ("n1", "n2")}
        said["asker"] = {"from": "asker"}
        found = race(hub, asked, said, asker=f"/messages/{asked['id']}/retract")
        answered = [name for name in ("n1", "n2") if found[name][0] == 200]
        told = hub.get(f"/ask/{asked['id']}").json()["ask"]
        assert found["asker"][0] == 200
        assert [answer["name"] for answer in told["answers"]] == answered
        assert told["state"] == ("answered" if answered else "withdrawn")
        refused = {body["error"] for status, body in found.values() if status != 200}
        assert refused <= ({"ask_answered"} if answered else {"ask_closed"})


def test_whichever_worker_is_left_closes_what_is_over(hub: RunningHub) -> None:
    for pid in hub.workers():  # one of them leads
        os.kill(pid, signal.SIGKILL)
        asked = ask(hub, to="n1", by=1, default="no")
        wait_until(lambda asked=asked: asked["id"] in [m["in_reply_to"] for m in replies(hub)])
        (answer,) = hub.get(f"/ask/{asked['id']}").json()["ask"]["answers"]
        assert (answer["name"], answer["text"]) == ("bus", "no")
    assert len(replies(hub)) == 2
