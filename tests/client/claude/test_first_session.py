"""The first session on a machine whose hub does not run yet: it starts the hub."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from busclient._hub_control.process import listens
from tests.client.claude.conftest import Claude, hooks
from tests.client.claude.fake_api import FakeModel
from tests.client.claude.test_sessions import names
from tests.client.conftest import command
from tests.client.test_autostart import hubs
from tests.conftest import RunningHub, wait_until

pytestmark = pytest.mark.slow


def left_of(claude: Claude) -> list[str]:
    """The processes that run in this home, but for its hub."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            environ, words = (entry / "environ").read_bytes(), (entry / "cmdline").read_bytes()
            if f"HOME={claude.home}\0".encode() in environ and b"gunicorn" not in words:
                found.append(entry.name)
    return found


@pytest.fixture
def alone(claude: Claude, live_hub: RunningHub) -> Iterator[Claude]:
    """Claude Code with the server on a machine that may start a hub, and has none."""
    live_hub.stop()
    claude.environ |= {"BUS_AUTOSTART": "1", "BUS_FSYNC": "never"}
    server = {"command": sys.executable, "args": ["-m", "busclient", "mcp"]}
    (claude.work / ".mcp.json").write_text(json.dumps({"mcpServers": {"bus": server}}))
    yield claude
    claude.close()
    # Whatever is left of the session would start the hub again.
    wait_until(lambda: not left_of(claude), 30)
    command(claude.environ, "down")
    assert hubs(claude.home) == []


def test_the_server_starts_the_hub(alone: Claude, live_hub: RunningHub) -> None:
    alone.settings(enabledMcpjsonServers=["bus"])
    alone.print("hello")
    wait_until(lambda: listens(live_hub.url), 20)
    assert len(hubs(alone.home)) == 1
    assert "started" not in command(alone.environ, "status").stderr


def test_hooks_and_server_start_one_hub_and_the_session_is_on_it(
    alone: Claude, model: FakeModel, live_hub: RunningHub
) -> None:
    alone.settings(enabledMcpjsonServers=["bus"], hooks=hooks())
    alone.start()
    wait_until(lambda: listens(live_hub.url), 20)
    alone.type("hello")
    wait_until(lambda: names(live_hub) == ["web1/alpha"], 30)
    assert len(hubs(alone.home)) == 1
    state = alone.home / ".local" / "state" / "claude-bus"
    wait_until((state / "tools-default.json").exists, 30)
    # A request that came before the tools did has none.
    wait_until(lambda: "All right." in alone.screen(), 30)
    alone.type("again")
    wait_until(lambda: '"mcp__bus__bus_post"' in json.dumps(model.seen), 30)
    assert "Traceback" not in (state / "hub.log").read_text()
