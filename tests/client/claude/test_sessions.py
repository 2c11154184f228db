"""Mail in the real Claude Code: what the model is shown, and when."""

from __future__ import annotations

import base64
import json
import sys
from typing import Any

import pytest

from tests.client.claude.conftest import Claude, hooks
from tests.client.claude.fake_api import FakeModel, call, text
from tests.client.conftest import command
from tests.conftest import PASSWORD, USER, RunningHub, wait_until

pytestmark = pytest.mark.slow


def post(hub: RunningHub, to: str, body: str, **fields: Any) -> None:
    reply = hub.post("/post", json={"from": "db1", "to": to, "body": body, **fields})
    assert reply.status_code == 201, reply.text


def names(hub: RunningHub) -> list[str]:
    """The sessions in the roster."""
    found = hub.get("/agents?scope=fleet").json()["agents"]
    return [agent["name"] for agent in found if agent["name"].startswith("web1/")]


def test_the_start_shows_what_waits(claude: Claude, model: FakeModel, live_hub: RunningHub) -> None:
    claude.settings(hooks=hooks())
    post(live_hub, "web1", "the build is red")
    assert "All right." in claude.print("hello")
    shown = model.shown()
    assert "You are web1/alpha on claude-bus." in shown
    assert "the build is red" in shown
    assert names(live_hub) == []  # it has left


def test_a_hub_that_is_away_is_not_in_the_way(
    claude: Claude, model: FakeModel, live_hub: RunningHub
) -> None:
    claude.settings(hooks=hooks())
    live_hub.stop()
    assert "All right." in claude.print("hello")
    assert "claude-bus" not in model.shown()
    log = claude.home / ".local" / "state" / "claude-bus" / "hooks.log"
    assert "the hub is away" in log.read_text()


def test_http_hooks_alone_show_mail_at_the_prompt(
    claude: Claude, model: FakeModel, live_hub: RunningHub
) -> None:
    hook = {
        "type": "http",
        "url": f"{live_hub.url}/hooks/claude-code?name=web1&within_ms=4000",
        "timeout": 5,
        "headers": {"Authorization": "Basic $BUS_BASIC"},
        "allowedEnvVars": ["BUS_BASIC"],
    }
    claude.settings(hooks={"UserPromptSubmit": [{"hooks": [hook]}]})
    basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    claude.environ = {
        name: value for name, value in claude.environ.items() if not name.startswith("BUS_")
    } | {"BUS_BASIC": basic}
    post(live_hub, "web1", "the build is red")
    claude.print("hello")
    assert "the build is red" in model.shown()


def test_a_session_that_is_idle_is_woken_and_sees_each_message_once(
    claude: Claude, model: FakeModel, live_hub: RunningHub
) -> None:
    claude.settings(hooks=hooks())
    claude.start()
    wait_until(lambda: names(live_hub) == ["web1/alpha"])
    claude.type("hello")
    wait_until(lambda: "All right." in claude.screen())
    for body in ("first wake", "second wake"):  # a wake ends the waiter; the end of a turn arms it
        post(live_hub, "web1/alpha", body)
        wait_until(lambda body=body: body in model.shown(), 30)
    post(live_hub, "web1/alpha", "only news", priority="fyi")
    claude.type("again")
    wait_until(lambda: "only news" in model.shown(), 30)
    last = str(model.seen[-1]["messages"])
    assert [last.count(body) for body in ("first wake", "second wake", "only news")] == [1, 1, 1]


def test_clear_keeps_the_callsign(claude: Claude, model: FakeModel, live_hub: RunningHub) -> None:
    claude.settings(hooks=hooks())
    claude.start()
    wait_until(lambda: names(live_hub) == ["web1/alpha"])
    post(live_hub, "web1/alpha", "still here", priority="fyi")
    claude.type("/clear")
    claude.type("hello")
    wait_until(lambda: "still here" in model.shown(), 30)
    assert names(live_hub) == ["web1/alpha"]
    assert "You are web1/alpha" in str(model.seen[-1]["messages"])


def test_a_tool_posts_under_the_callsign(
    claude: Claude, model: FakeModel, live_hub: RunningHub
) -> None:
    claude.settings(hooks=hooks(), permissions={"allow": ["mcp__bus__*"]})
    server = {"command": sys.executable, "args": ["-m", "busclient", "mcp"]}
    (claude.work / ".mcp.json").write_text(json.dumps({"mcpServers": {"bus": server}}))
    calls = [[call("mcp__bus__bus_post", to="db1", body="from a tool")]]

    def answer(body: dict[str, Any]) -> list[dict[str, Any]]:
        offered = {tool["name"] for tool in body.get("tools", [])}
        return calls.pop() if calls and "mcp__bus__bus_post" in offered else [text("Done.")]

    model.answer = answer
    # The rules of a folder that nobody has trusted do not count in `-p`.
    claude.print("post it", "--allowedTools", "mcp__bus__bus_post")
    messages = live_hub.get("/messages?to=db1").json()["messages"]
    assert [(one["from"], one["body"]) for one in messages] == [("web1/alpha", "from a tool")]
    assert "mcp__bus__bus_admin" not in {tool["name"] for tool in model.seen[0]["tools"]}


def test_one_command_makes_the_bus_part_of_a_session_and_undoes_it(
    claude: Claude, model: FakeModel, live_hub: RunningHub
) -> None:
    programs = claude.home / "bin"
    programs.mkdir()
    (programs / "claude").symlink_to(claude.binary)
    claude.environ["PATH"] = f"{programs}:{claude.environ['PATH']}"
    before = json.loads((claude.home / ".claude.json").read_text())
    ran = command(claude.environ, "install", "claude-code")
    assert ran.returncode == 0, ran.stderr
    post(live_hub, "web1", "the build is red")
    claude.print("hello")
    assert "the build is red" in model.shown()
    assert "mcp__bus__bus_post" in {tool["name"] for tool in model.seen[0]["tools"]}
    check = command(claude.environ, "install", "claude-code", "--check").stdout
    assert "MCP server bus: registered" in check
    assert "SessionStart: installed, last ran 20" in check
    assert command(claude.environ, "install", "claude-code", "--uninstall").returncode == 0
    assert not (claude.home / ".claude" / "settings.json").exists()
    after = json.loads((claude.home / ".claude.json").read_text())
    assert not after.get("mcpServers") and not before.get("mcpServers")


def test_after_a_compaction_the_session_knows_who_it_is_and_what_waits(
    claude: Claude, model: FakeModel, live_hub: RunningHub
) -> None:
    claude.settings(hooks=hooks())
    claude.start()
    wait_until(lambda: names(live_hub) == ["web1/alpha"])
    post(live_hub, "web1/alpha", "do not forget", priority="fyi")
    claude.type("hello")
    wait_until(lambda: "do not forget" in model.shown(), 30)
    wait_until(lambda: "All right." in claude.screen())
    claude.type("/compact")
    wait_until(lambda: "ompacted" in claude.screen(), 30)
    claude.type("go on")
    wait_until(lambda: "go on" in str(model.seen[-1]["messages"]), 30)
    after = str(model.seen[-1]["messages"])
    assert "You are web1/alpha on claude-bus." in after
    assert "do not forget" in after
    assert names(live_hub) == ["web1/alpha"]


def test_a_conversation_that_goes_on_in_another_process_has_its_callsign_again(
    claude: Claude, model: FakeModel, live_hub: RunningHub
) -> None:
    claude.settings(hooks=hooks())
    claude.print("hello")
    post(live_hub, "web1/alpha", "for the old conversation")
    live_hub.post("/agents", json={"name": "web1", "session_id": "another one"})  # takes the next
    claude.print("again", "--continue")
    last = str(model.seen[-1]["messages"])
    assert last.count("You are web1/alpha on claude-bus.") == 2  # it stands in the transcript, too
    assert "for the old conversation" in last


def test_a_fork_of_a_conversation_is_a_session_of_its_own(
    claude: Claude, model: FakeModel, live_hub: RunningHub
) -> None:
    claude.settings(hooks=hooks())
    claude.start()
    wait_until(lambda: names(live_hub) == ["web1/alpha"])
    claude.type("hello")
    wait_until(lambda: "All right." in claude.screen())
    claude.print("again", "--continue", "--fork-session")
    assert "You are web1/bravo on claude-bus." in str(model.seen[-1]["messages"])
