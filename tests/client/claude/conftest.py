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
from contextlib import suppress
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

    def have_credential(self) -> None:
        """Call as the machine web1 itself, not as the shared user."""
        made = self.hub.run("credential", "add", "web1", "--json")
        secret = json.loads(made.stdout)["secret"]
        self.environ |= {"BUS_USER": "web1", "BUS_PASS": secret}

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

    def start(self, terminal: str = "one") -> None:
        """Start an interactive session in a terminal of its own."""
        self._tmux(
            "new-session", "-d", "-s", terminal, "-x", "160", "-y", "50", "-c", str(self.work),
            shlex.join([str(self.binary), "--permission-mode", "default"]),
        )  # fmt: skip
        wait_until(lambda: "❯" in self.screen(terminal), 60)

    def type(self, words: str, terminal: str = "one") -> None:
        self._tmux("send-keys", "-t", terminal, "-l", words)
        wait_until(lambda: words in self.screen(terminal))
        self._tmux("send-keys", "-t", terminal, "Enter")

    def screen(self, terminal: str = "one") -> str:
        return self._tmux("capture-pane", "-p", "-t", terminal)

    def pid(self, name: str) -> int:
        """The process of the session that has this name on the bus."""
        known = self.home / ".local" / "state" / "claude-bus" / "sessions.json"
        (pid,) = (one["pid"] for one in json.loads(known.read_text()) if one["name"] == name)
        return int(pid)

    def processes(self, words: str) -> list[int]:
        """The processes of this user whose command line has these words."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                environ = (folder / "environ").read_bytes().split(b"\0")
                if words in line and f"HOME={self.home}".encode() in environ:
                    found.append(int(folder.name))
        return found

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
