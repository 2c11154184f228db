"""What `bus install claude-code` puts there, as the real Claude Code takes it."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from typing import Any

import pytest

from tests.client.claude.conftest import Claude
from tests.client.claude.fake_api import Blocks, FakeModel, call, results, text

pytestmark = pytest.mark.slow


@pytest.fixture
def on_path(claude: Claude) -> Claude:
    """Claude Code, found as `claude`."""
    programs = claude.home / "bin"
    programs.mkdir()
    (programs / "claude").symlink_to(claude.binary)
    claude.environ["PATH"] = f"{programs}:{claude.environ['PATH']}"
    return claude


def run(claude: Claude, *words: str) -> str:
    """What a command says that is run in the folder of the project."""
    done = subprocess.run(
        words, env=claude.environ, cwd=claude.work, capture_output=True, text=True, timeout=120,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("scope", ["user", "project"])
def test_claude_connects_to_the_server_without_asking(on_path: Claude, scope: str) -> None:
    bus = (sys.executable, "-m", "busclient", "install", "claude-code", "--scope", scope)
    before = sorted(on_path.work.iterdir())
    run(on_path, *bus)
    for _ in "12":  # looking is no end of a session
        assert "SessionEnd: installed, last ran never" in run(on_path, *bus, "--check")
    (line,) = (
        line for line in run(on_path, "claude", "mcp", "list").splitlines() if "busclient" in line
    )
    assert line.startswith("bus: ")
    assert "✔ Connected" in line
    assert "Claude Code says: ✔ Connected" in run(on_path, *bus, "--check")
    run(on_path, *bus, "--uninstall")
    assert "busclient" not in run(on_path, "claude", "mcp", "list")
    assert sorted(on_path.work.iterdir()) == before
    assert not json.loads((on_path.home / ".claude.json").read_text()).get("mcpServers")


@pytest.mark.parametrize("scope", ["user", "project"])
def test_the_model_is_told_the_rules_and_knows_the_skill(
    on_path: Claude, model: FakeModel, scope: str
) -> None:
    bus = (sys.executable, "-m", "busclient", "install", "claude-code", "--scope", scope)
    run(on_path, *bus, "--rules")
    on_path.print("hello")
    request = json.dumps(model.seen[-1])
    assert "means: post to `seanclaude` on the bus" in request
    assert "- bus: Post to, read from and answer other agents" in request
    run(on_path, *bus, "--uninstall")
    assert list(on_path.work.iterdir()) == []
    on_path.print("hello again")
    assert "seanclaude" not in json.dumps(model.seen[-1])


def test_what_the_frames_name_runs_without_a_question(on_path: Claude, model: FakeModel) -> None:
    program = on_path.home / "bin" / "bus"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m busclient "$@"\n')
    program.chmod(0o755)
    seq = on_path.hub.say("Deploy now?", sender="db1", to="web1")["seq"]
    run(on_path, str(program), "install", "claude-code")
    names = ("reply", "ack", "read", "inbox", "answer", "decline")
    lines = [f"bus {name} --help" for name in names]
    lines += [f"bus reply {seq} 'yes, now'", "bus post db1 'unasked'"]
    told: list[str] = []

    def answer(body: dict[str, Any]) -> Blocks:
        if not body.get("tools"):
            return [text("All right.")]
        told[:] = results(body)
        if len(told) == len(lines):
            return [text("All right.")]
        return [call("Bash", command=lines[len(told)], description="a command of the bus")]

    model.answer = answer
    on_path.print("hello")
    assert len(told) == len(lines)
    assert all("Usage: bus" in said for said in told[: len(names)]), told
    assert "requires approval" in told[-1]  # so the others were allowed, not everything
    bodies = [one["body"] for one in on_path.hub.get("/messages").json()["messages"]]
    assert bodies == ["Deploy now?", "yes, now"]
