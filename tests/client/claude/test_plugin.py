"""The plugin: what it brings is what `bus install claude-code` brings."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from busclient._claude.settings_file import rules_for, with_ours
from busclient._version import __version__
from tests.client.claude.conftest import Claude
from tests.client.claude.fake_api import FakeModel
from tests.conftest import ROOT, RunningHub

PLUGIN = ROOT / "plugin"


def test_its_hooks_are_those_of_the_installation() -> None:
    hooks = json.loads((PLUGIN / "hooks" / "hooks.json").read_text())["hooks"]
    assert hooks == with_ours({}, "bus", "bus")["hooks"]


def test_its_skills_are_those_of_the_installation() -> None:
    for name, file in (("bus", "SKILL.md"), ("mail", "MAIL.md")):
        shipped = (ROOT / "busclient" / "_claude" / file).read_bytes()
        assert (PLUGIN / "skills" / name / "SKILL.md").read_bytes() == shipped


def test_what_the_user_must_allow_is_what_the_installation_allows() -> None:
    allowed = rules_for("plugin_bus_bus")
    page = (ROOT / "docs" / "claude-code.md").read_text()
    (block,) = re.findall(r"```json\n(\{\"permissions.*?)```", page, re.DOTALL)
    assert json.loads(block) == {"permissions": {"allow": allowed}}
    about = (PLUGIN / "README.md").read_text()
    assert all(f"`{rule}`" in about for rule in allowed)


def test_it_has_the_version_of_the_client() -> None:
    about = json.loads((PLUGIN / ".claude-plugin" / "plugin.json").read_text())
    assert about["version"] == __version__


@pytest.mark.slow
@pytest.mark.parametrize("path", [PLUGIN, ROOT], ids=["plugin", "marketplace"])
def test_claude_finds_no_fault_with_it(claude_binary: Path, tmp_path: Path, path: Path) -> None:
    done = subprocess.run(
        [str(claude_binary), "plugin", "validate", str(path)],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def run(claude: Claude, *words: str, cwd: Path | None = None) -> str:
    """What a command of Claude Code says."""
    done = subprocess.run(
        [str(claude.binary), *words], env=claude.environ, cwd=cwd or claude.work,
        capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("config_dir", ["", "elsewhere"])
def test_it_is_all_that_a_session_needs(
    claude: Claude, model: FakeModel, live_hub: RunningHub, config_dir: str
) -> None:
    if config_dir:
        folder = claude.home / config_dir
        folder.mkdir()
        (claude.home / ".claude.json").rename(folder / ".claude.json")
        claude.environ["CLAUDE_CONFIG_DIR"] = str(folder)
    programs = claude.home / "bin"
    programs.mkdir()
    (programs / "bus").write_text(
        f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m busclient "$@"\n'
    )
    (programs / "bus").chmod(0o755)
    claude.environ["PATH"] = f"{programs}:{claude.environ['PATH']}"
    live_hub.say("the build is red", sender="db1", to="web1")
    page = (ROOT / "docs" / "claude-code.md").read_text()
    lines = re.findall(r"^claude (plugin .*)$", page, re.MULTILINE)
    assert all(f"    claude {line}\n" in (PLUGIN / "README.md").read_text() for line in lines)
    for line in lines:  # as somebody types them whose shell is in the clone
        run(claude, *line.split(), cwd=ROOT)
    claude.print("hello")
    assert "You are web1/alpha on claude-bus." in model.shown()
    assert "the build is red" in model.shown()
    offered = {tool["name"] for body in model.seen for tool in body.get("tools", [])}
    assert "mcp__plugin_bus_bus__bus_post" in offered
    assert "bus:bus" in model.shown()  # the skills
    assert "bus:mail" in model.shown()
    run(claude, "plugin", "uninstall", "bus@claude-bus")
    model.seen.clear()
    claude.print("hello")
    assert "claude-bus" not in model.shown()
    assert "bus@claude-bus" not in run(claude, "plugin", "list")
    run(claude, "plugin", "marketplace", "remove", "claude-bus")
