"""What the MCP server puts into the real Claude Code that started it."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from tests.client.claude.conftest import Claude, hooks
from tests.client.claude.fake_api import FakeModel
from tests.client.claude.test_sessions import names, post
from tests.conftest import RunningHub, wait_until

pytestmark = pytest.mark.slow
ENDED = ("idle", "awaiting_input")  # the second: Claude Code's own word, after a minute
SERVER = {"command": sys.executable, "args": ["-m", "busclient", "mcp"]}


def ways(hub: RunningHub, name: str) -> list[str]:
    """By which ways the newest message was shown to a session."""
    (newest,) = hub.get("/messages?order=desc&limit=1").json()["messages"]
    trace = hub.get(f"/messages/{newest['seq']}/trace").json()["trace"][name]
    return [step["by"] for step in trace if step["step"] == "shown"]


def turn(hub: RunningHub, name: str) -> str | None:
    found: str | None = hub.get(f"/agents/{name}").json()["agent"].get("turn")
    return found


@pytest.mark.parametrize("own", [hooks(), {}], ids=["with hooks", "with the server alone"])
def test_an_idle_session_is_pushed_to_and_sees_each_message_once(
    claude: Claude, model: FakeModel, live_hub: RunningHub, own: dict[str, Any]
) -> None:
    claude.settings(hooks=own, enableAllProjectMcpServers=True)
    (claude.work / ".mcp.json").write_text(json.dumps({"mcpServers": {"bus": SERVER}}))
    claude.start()
    wait_until(lambda: names(live_hub) == ["web1/alpha"], 30)
    state = claude.home / ".local" / "state" / "claude-bus"
    wait_until(lambda: any(state.glob("pusher-*.lock")), 30)
    if own:  # what comes before the start has been shown is shown by it
        wait_until((state / "status.json").exists, 30)
    wait_until(lambda: live_hub.get("/health").json()["waiting"], 30)
    for body in ("first push", "second push"):
        post(live_hub, "web1/alpha", body)
        wait_until(lambda body=body: body in model.shown(), 40)
        if own:  # what comes within a turn is shown at its end
            wait_until(lambda: turn(live_hub, "web1/alpha") in ENDED, 90)
    assert ways(live_hub, "web1/alpha") == ["socket"]
    claude.type("again")
    wait_until(lambda: '"again"' in model.shown().replace('text": "again', '"again'), 30)
    last = str(model.seen[-1]["messages"])
    assert [last.count(body) for body in ("first push", "second push")] == [1, 1]
