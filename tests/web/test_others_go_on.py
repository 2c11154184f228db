"""What one caller asks for at length lets the requests of others go on meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from bus import create_app
from bus.config import Config
from bus.index import database
from bus.system.scheduler import Job, Turns
from tests.conftest import PASSWORD, USER, opened
from tests.fleet import As


class Counted(Turns):
    """Counts the turns that others got, and what was done beside them."""

    rounds = blocks = 0

    def one_round(self) -> None:
        self.rounds += 1

    def block(self, job: Job) -> None:
        self.blocks += 1
        job()


@pytest.fixture
def turns() -> Counted:
    return Counted()


@pytest.fixture
def caller(config: Config, turns: Counted) -> Iterator[As]:
    app = create_app(config, turns)
    app.extensions["credentials"].add(USER, PASSWORD)
    for _ in opened(app):
        yield As(app, USER, PASSWORD)


HOSTILE = {"lines": "a\n" * 8_000, "flow": "{" + "a\n" * 8_000, "quoted": '"' + "a\n" * 8_000}


@pytest.mark.parametrize("front", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("route", ["/briefs", "/import"])
def test_others_go_on_while_front_matter_is_read(
    caller: As, turns: Counted, front: str, route: str
) -> None:
    text, before = f"---\n{front}\n---\nb", turns.rounds
    if route == "/import":
        reply = caller.post(route, json={"name": "bob", "markdown": text})
    else:
        reply = caller.post(route, data=text, content_type="text/markdown")
    assert (reply.status_code, reply.json["error"]) == (400, "bad_brief")
    assert turns.rounds - before >= 10


def test_others_go_on_while_actions_are_looked_for(
    caller: As, turns: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    front = {"from": "bob", "to": "ann", "action": [f"do {number}" for number in range(100)]}
    for number in range(20):
        caller.post("/briefs", json={**front, "title": str(number), "body": "b" * 60_000})
    monkeypatch.setattr(database, "_AT_ONCE_S", 0.000_1)
    for query in ("", "?asked_by=eve", "?limit=500"):
        before = turns.blocks
        reply = caller.get(f"/actions{query}")
        assert reply.status_code == 200, reply.json
        assert turns.blocks > before, query


def test_a_line_of_tildes_costs_no_more_than_another(caller: As) -> None:
    def cost(body: str) -> float:
        times = []
        for number in range(3):
            began = time.thread_time()
            reply = caller.post("/briefs", json={"from": "bob", "body": f"{number}\n{body}"})
            times.append(time.thread_time() - began)
            assert reply.status_code == 201, reply.json
        return min(times)

    assert cost("~" * 10_000 + "`") < 20 * cost("x" * 10_001)
