"""The tools of the profile claude-net, called by the real Claude Code."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.client.claude.conftest import Claude, hooks
from tests.client.claude.fake_api import Blocks, FakeModel, call, results, text
from tests.fleet import SECRET
from tests.running_fleet import FleetHub, running_fleet

pytestmark = pytest.mark.slow
SERVER = "claude-net"


@pytest.fixture
def live_hub(tmp_path: Path) -> Iterator[FleetHub]:
    """With machines `box`, where web1 may run commands, and `den`, where it may not."""
    with running_fleet(tmp_path) as (hub, _, _):
        yield hub


@pytest.fixture
def net(claude: Claude) -> Claude:
    """Claude Code on the machine web1, with the server of this profile."""
    claude.environ |= {"BUS_USER": "web1", "BUS_PASS": SECRET}
    claude.settings(hooks=hooks())
    arguments = ["-m", "busclient", "mcp", "--profile", SERVER]
    server = {"command": sys.executable, "args": arguments}
    (claude.work / ".mcp.json").write_text(json.dumps({"mcpServers": {SERVER: server}}))
    return claude


def used(
    claude: Claude, model: FakeModel, *calls: tuple[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """What the model is shown of the tools that it calls one after another, in one turn."""
    shown: list[str] = []

    def answer(body: dict[str, Any]) -> Blocks:
        if not any(tool["name"].startswith(f"mcp__{SERVER}__") for tool in body.get("tools", [])):
            return [text("Done.")]
        shown[:] = results(body)
        if len(shown) == len(calls):
            return [text("Done.")]
        name, arguments = calls[len(shown)]
        return [call(f"mcp__{SERVER}__{name}", **arguments)]

    model.answer = answer
    # The rules of a folder that nobody has trusted do not count in `-p`.
    claude.print("do it", "--allowedTools", f"mcp__{SERVER}")
    return [json.loads(result) for result in shown]


def test_a_session_posts_runs_and_reads(
    net: Claude, model: FakeModel, live_hub: FleetHub, tmp_path: Path
) -> None:
    (tmp_path / "box" / "note").write_text("the key is under the mat")
    in_box = {"target": "box", "command": "echo $((40 + 2)) > made; cat made"}
    sent, ran, refused, unread, read, wrong = used(
        net,
        model,
        ("claude_net_send", {"to": "db1", "message": "deploy now"}),
        ("claude_net_exec", in_box),
        ("claude_net_exec", {**in_box, "target": "den"}),
        ("claude_net_file_read", {"target": "den", "path": "/note"}),
        ("claude_net_file_read", {"target": "box", "path": "/note"}),
        ("claude_net_exec", {"target": "box"}),
    )
    (message,) = live_hub.as_("admin", "GET", "/messages?to=db1").json()["messages"]
    assert (message["from"], message["body"]) == ("web1/alpha", "deploy now")
    assert sent["ref"] == message["seq"]
    assert (ran["exit_code"], ran["stdout"]) == (0, "42\n")
    assert [refused["error"], unread["error"]] == ["not_permitted"] * 2
    assert (tmp_path / "box" / "made").exists() and not (tmp_path / "den" / "made").exists()
    assert read["content"] == "the key is under the mat"
    assert (wrong["error"], wrong["argument"]) == ("wrong_argument", "command")
