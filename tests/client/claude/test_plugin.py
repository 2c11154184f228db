"""The plugin: what it brings is what `bus install claude-code` brings."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from busclient._claude.settings_file import with_ours
from busclient._version import __version__
from tests.conftest import ROOT

PLUGIN = ROOT / "plugin"


def test_its_hooks_are_those_of_the_installation() -> None:
    hooks = json.loads((PLUGIN / "hooks" / "hooks.json").read_text())["hooks"]
    assert hooks == with_ours({}, "bus", "bus")["hooks"]


def test_its_skill_is_that_of_the_installation() -> None:
    shipped = (ROOT / "busclient" / "_claude" / "SKILL.md").read_bytes()
    assert (PLUGIN / "skills" / "bus" / "SKILL.md").read_bytes() == shipped


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
