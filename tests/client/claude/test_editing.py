"""The real Claude Code writes a file that another holds: it is told before, and may go on."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import Any

import pytest

from tests.client.claude.conftest import Claude
from tests.client.claude.fake_api import Blocks, FakeModel, call, results, text
from tests.conftest import RunningHub

pytestmark = pytest.mark.slow


def test_claude_is_told_before_it_writes_and_the_second_try_passes(
    claude: Claude, model: FakeModel, live_hub: RunningHub
) -> None:
    programs = claude.home / "bin"
    programs.mkdir()
    (programs / "claude").symlink_to(claude.binary)
    claude.environ["PATH"] = f"{programs}:{claude.environ['PATH']}"
    for command in (
        (sys.executable, "-m", "busclient", "install", "claude-code"),
        (str(shutil.which("git")), "init", "-q"),
        (str(shutil.which("git")), "remote", "add", "origin", "git@github.com:acme/app.git"),
    ):
        subprocess.run(command, env=claude.environ, cwd=claude.work, check=True, timeout=60)
    asked = {"holder": "db1", "repo": "github.com/acme/app", "paths": ["src/**"]}
    assert live_hub.post("/leases", json=asked).status_code == 201
    held, free = claude.work / "src" / "a.py", claude.work / "b.py"
    wanted = [held, free, held]
    shown: list[str] = []
    was_there: list[bool] = []

    def answer(body: dict[str, Any]) -> Blocks:
        if not any(tool["name"] == "Write" for tool in body.get("tools", [])):
            return [text("Done.")]
        shown[:] = results(body)
        was_there.append(held.exists())
        if len(shown) == len(wanted):
            return [text("Done.")]
        return [call("Write", file_path=str(wanted[len(shown)]), content="x = 1\n")]

    model.answer = answer
    claude.print("write it", "--permission-mode", "acceptEdits")
    assert "Nothing was written: src/a.py is leased by db1 until" in shown[0]
    assert "Nothing was written" not in "".join(shown[1:])
    assert was_there == [False, False, False, True]
    assert free.read_text() == held.read_text() == "x = 1\n"
