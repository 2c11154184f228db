"""The real Claude Code, without a network: in a scratch home, against a model that is none."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tests.client.claude.fake_api import FakeModel
from tests.conftest import PASSWORD, ROOT, USER, RunningHub, wait_until

VERSION = "2.1.332"
KEY = "dummy-key-of-the-tests-0123456789"
BUS = f"{shlex.quote(sys.executable)} -m busclient"


@pytest.fixture(scope="session")
def claude_binary() -> Path:
    """The binary: of CLAUDE_CODE_BINARY, else of the npm registry, kept beside the clone's venv."""
    given = os.environ.get("CLAUDE_CODE_BINARY")
    if given:
        return Path(given)
    kept = ROOT / ".cache" / f"claude-code-{VERSION}"
    kept.mkdir(parents=True, exist_ok=True)
    with FileLock(kept / "lock"):
        if not (kept / "claude").exists():
            package = f"@anthropic-ai/claude-code-linux-x64@{VERSION}"
            done = subprocess.run(
                ["npm", "pack", "--silent", package], cwd=kept, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr
            packed = kept / done.stdout.strip().split("\n")[-1]
            with tarfile.open(packed) as archive, open(kept / "half", "wb") as half:
                member = archive.extractfile("package/claude")
                assert member is not None
                shutil.copyfileobj(member, half)
            packed.unlink()
            (kept / "half").chmod(0o755)
            (kept / "half").rename(kept / "claude")
    return kept / "claude"


@pytest.fixture
def model() -> Iterator[FakeModel]:
    model = FakeModel()
    yield model
    model.close()


class Claude:
    """Claude Code of one user on one machine."""

    def __init__(self, binary: Path, home: Path, model: FakeModel, hub: RunningHub) -> None:
        self.binary, self.home, self.hub = binary, home, hub
        self.work = home / "work"
        self.work.mkdir(parents=True)
        self.environ = {
            "HOME": str(home),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            "ANTHROPIC_BASE_URL": model.url,
            "ANTHROPIC_API_KEY": KEY,
            "DISABLE_AUTOUPDATER": "1",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "BUS_URL": hub.url,
            "BUS_USER": USER,
            "BUS_PASS": PASSWORD,
            "BUS_NAME": "web1",
        }
        self.tmux = f"bus-{os.getpid()}-{id(self)}"
        project = {"hasTrustDialogAccepted": True, "hasCompletedProjectOnboarding": True}
        config = {
            "hasCompletedOnboarding": True,
            "customApiKeyResponses": {"approved": [KEY[-20:]], "rejected": []},
            "projects": {str(self.work): project},
        }
        (home / ".claude.json").write_text(json.dumps(config))

    def settings(self, **settings: Any) -> None:
        folder = self.home / ".claude"
        folder.mkdir(exist_ok=True)
        (folder / "settings.json").write_text(json.dumps(settings))

    def print(self, prompt: str, *arguments: str) -> str:
        """What `claude -p` prints."""
        done = subprocess.run(
            [str(self.binary), "-p", prompt, *arguments],
            env=self.environ, cwd=self.work, capture_output=True, text=True, timeout=120,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self) -> None:
        """Start an interactive session in a terminal."""
        self._tmux(
            "new-session", "-d", "-s", "one", "-x", "160", "-y", "50", "-c", str(self.work),
            shlex.join([str(self.binary), "--permission-mode", "default"]),
        )  # fmt: skip
        wait_until(lambda: "❯" in self.screen(), 60)

    def type(self, words: str) -> None:
        self._tmux("send-keys", "-t", "one", "-l", words)
        wait_until(lambda: words in self.screen())
        self._tmux("send-keys", "-t", "one", "Enter")

    def screen(self) -> str:
        return self._tmux("capture-pane", "-p", "-t", "one")

    def close(self) -> None:
        subprocess.run(
            ["tmux", "-L", self.tmux, "kill-server"], env=self.environ, capture_output=True
        )

    def _tmux(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", "-L", self.tmux, *arguments], env=self.environ, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def claude(
    claude_binary: Path, tmp_path: Path, model: FakeModel, live_hub: RunningHub
) -> Iterator[Claude]:
    claude = Claude(claude_binary, tmp_path / "home", model, live_hub)
    yield claude
    claude.close()


@pytest.fixture
def live_hub(tmp_path: Path) -> Iterator[RunningHub]:
    hub = RunningHub(tmp_path / "data").start()
    yield hub
    hub.stop()


def command(line: str, **fields: Any) -> list[dict[str, Any]]:
    return [{"hooks": [{"type": "command", "command": line, "timeout": 5, **fields}]}]


def hooks() -> dict[str, Any]:
    """The hooks that a session on the bus has."""
    hook, waiter = command(f"{BUS} hook"), command(f"{BUS} wait-for-mail")
    waiter[0]["hooks"][0] |= {"asyncRewake": True, "timeout": 86400}
    both = [{"hooks": hook[0]["hooks"] + waiter[0]["hooks"]}]
    simple = ("UserPromptSubmit", "PostToolUse", "SessionEnd", "Notification")
    return {"SessionStart": both, "Stop": both, **dict.fromkeys(simple, hook)}
