"""What a session of the real Claude Code owes an answer to: shown until it has answered."""

from __future__ import annotations

from typing import Any

import pytest

from tests.client.claude.conftest import Claude, hooks
from tests.client.claude.fake_api import FakeModel
from tests.client.claude.test_turns import turns
from tests.client.conftest import command
from tests.conftest import RunningHub, wait_until

pytestmark = pytest.mark.slow


def ask(hub: RunningHub, to: str = "web1") -> Any:
    """A question that is acknowledged and not answered: no mail shows it."""
    fields = {"from": "db1", "to": to, "question": "Deploy now?", "options": ["yes", "no"]}
    asked = hub.post("/ask", json=fields).json()
    assert hub.post(f"/ack/{asked['id']}", json={"reader": to}).status_code == 200
    return asked


def test_it_is_reminded_once_at_the_end_of_a_turn(
    claude: Claude, model: FakeModel, live_hub: RunningHub
) -> None:
    claude.settings(hooks=hooks())
    asked = ask(live_hub)
    seen = turns(model, live_hub)
    claude.print("hello")
    assert [request.count("Deploy now?") for request in seen] == [1, 2]
    assert f"bus answer {asked['seq']} OPTION" in seen[0]
    answered = command(claude.environ, "answer", str(asked["seq"]), "yes")
    assert (answered.returncode, answered.stderr) == (0, "")
    claude.print("hello again")
    assert "Deploy now?" not in seen[-1]


def test_it_is_shown_after_a_compaction(
    claude: Claude, model: FakeModel, live_hub: RunningHub
) -> None:
    claude.settings(hooks=hooks())
    claude.start()
    wait_until(lambda: live_hub.get("/agents/web1/alpha").status_code == 200)
    ask(live_hub, "web1/alpha")
    claude.type("hello")
    wait_until(lambda: "Deploy now?" in model.shown(), 30)  # at the end of the turn
    wait_until(lambda: "All right." in claude.screen())
    claude.type("/compact")
    wait_until(lambda: "ompacted" in claude.screen(), 30)
    claude.type("go on")
    wait_until(lambda: "go on" in str(model.seen[-1]["messages"]), 30)
    assert "Deploy now?" in str(model.seen[-1]["messages"])
