"""How long after its post a message stands in the request that Claude Code sends to its model.

The real Claude Code, without a network: an interactive session in tmux, against a model that is
none. The binary is that of CLAUDE_CODE_BINARY, else the one that the tests have fetched, else the
`claude` on the PATH.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import hubs, load
from busclient._claude.settings_file import with_ours
from tests.client.claude.fake_api import Blocks, FakeModel, call, text

ROOT = Path(__file__).parents[2]
SAMPLES, TOOL_S = 9, 0.5
NAME = "bench/alpha"
_KEY = "dummy-key-of-the-benchmarks-0123456789"

Row = tuple[str, str, str, bool | None]


def measure() -> list[Row]:
    """All rows; takes about a minute."""
    binary = _binary()
    what = "12. post to the model's request: s, median of"
    if binary is None or shutil.which("tmux") is None:
        return [(f"{what} {SAMPLES}", "no Claude Code, or no tmux, here", "<= 2", None)]
    model = FakeModel()
    try:
        with (
            hubs.scratch() as folder,
            hubs.hub(folder / "data") as hub,
            _session(binary, folder / "home", hub, model) as session,
        ):
            idle = [session.idle(number) for number in range(SAMPLES)]
            busy = [session.busy(number) for number in range(SAMPLES)]
    finally:
        model.close()
    return [
        _row(f"{what} {SAMPLES}, idle", idle, 2),
        _row(f"{what} {SAMPLES}, busy with tools of {TOOL_S} s", busy, 2 + TOOL_S),
    ]


def _row(what: str, times: list[float], bound: float) -> Row:
    median = statistics.median(times)
    return what, f"{median:.2f}  (worst {max(times):.2f})", f"<= {bound:g}", median <= bound


def _binary() -> Path | None:
    given = os.environ.get("CLAUDE_CODE_BINARY")
    fetched = sorted(ROOT.glob(".cache/claude-code-*/claude"))
    found = given or (fetched[-1] if fetched else shutil.which("claude"))
    return None if found is None else Path(found)


class Session:
    """One session, and the model that it believes to talk to."""

    def __init__(self, hub: hubs.Server, model: FakeModel, type: Callable[[str], None]) -> None:
        self._hub, self._type = hub, type
        self._mark, self._seen_at = "", threading.Event()
        self._at = 0.0
        self._works = threading.Event()
        model.answer = self._answer

    def idle(self, number: int) -> float:
        """The seconds until a message is before the model of a session that does nothing."""
        self.wait_idle()
        return self._delivered(f"idle message {number}", "normal")

    def busy(self, number: int) -> float:
        """The same for an urgent message and a session that runs one tool after another."""
        self.wait_idle()
        self._works.clear()
        self._mark, self._seen_at = f"busy message {number}", threading.Event()
        self._type(f"work {number}")
        assert self._works.wait(30), "the session does not work"
        return self._delivered(self._mark, "urgent")

    def wait_idle(self) -> None:
        """Wait until its turn has ended and its waiter waits."""
        # A model that answers at once can be faster than the hook that says "working": Claude
        # Code's own word that it waits comes after a minute.
        ended = ("idle", "awaiting_input")
        _until(lambda: self._asked(f"/agents/{NAME}").get("agent", {}).get("turn") in ended, 90)
        _until(lambda: self._asked("/health").get("waiting"))

    def _delivered(self, mark: str, priority: str) -> float:
        if mark != self._mark:
            self._mark, self._seen_at = mark, threading.Event()
        sent = {"from": "db1", "to": NAME, "body": mark, "priority": priority}
        began = time.perf_counter()
        self._asked("/post", sent)
        assert self._seen_at.wait(60), f"{mark} was never before the model"
        return self._at - began

    def _answer(self, body: dict[str, Any]) -> Blocks:
        now, shown = time.perf_counter(), json.dumps(body["messages"])
        if not body.get("tools"):
            return [text("A title.")]
        if self._mark and self._mark in shown and not self._seen_at.is_set():
            self._at = now
            self._seen_at.set()
        if self._mark.startswith("busy") and not self._seen_at.is_set():
            if "tool_result" in json.dumps(body["messages"][-3:]):
                self._works.set()
            return [call("Bash", command=f"sleep {TOOL_S}", description="works")]
        return [text("All right.")]

    def _asked(self, path: str, fields: dict[str, Any] | None = None) -> dict[str, Any]:
        method, body = ("GET", b"") if fields is None else ("POST", json.dumps(fields).encode())
        connection = load.Connection(self._hub.url)
        try:
            answer: dict[str, Any] = json.loads(connection.call(load.request(method, path, body)))
            return answer
        finally:
            connection.close()


@contextmanager
def _session(binary: Path, home: Path, hub: hubs.Server, model: FakeModel) -> Iterator[Session]:
    """An interactive session in a scratch home, with the hooks that `bus install` puts there."""
    work = home / "work"
    work.mkdir(parents=True)
    (home / ".claude").mkdir()
    settings = with_ours({}, f"{shlex.quote(sys.executable)} -m busclient", "bus")
    settings["permissions"]["allow"].append("Bash(sleep:*)")
    (home / ".claude" / "settings.json").write_text(json.dumps(settings))
    trusted = {"hasTrustDialogAccepted": True, "hasCompletedProjectOnboarding": True}
    config = {
        "hasCompletedOnboarding": True,
        "customApiKeyResponses": {"approved": [_KEY[-20:]], "rejected": []},
        "projects": {str(work): trusted},
    }
    (home / ".claude.json").write_text(json.dumps(config))
    environ = {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "TERM": "xterm-256color",
        "LANG": "C.UTF-8",
        "ANTHROPIC_BASE_URL": model.url,
        "ANTHROPIC_API_KEY": _KEY,
        "DISABLE_AUTOUPDATER": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "BUS_URL": hub.url,
        "BUS_USER": load.USER,
        "BUS_PASS": load.PASSWORD,
        "BUS_NAME": NAME.partition("/")[0],
        "BUS_WAKES_AN_HOUR": "1000",
    }

    def tmux(*words: str) -> str:
        done = subprocess.run(
            ["tmux", "-L", f"bus-bench-{os.getpid()}", *words],
            env=environ, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.stdout

    def type(words: str) -> None:
        tmux("send-keys", "-t", "one", "-l", words)
        _until(lambda: words in tmux("capture-pane", "-p", "-t", "one"))
        tmux("send-keys", "-t", "one", "Enter")

    command = shlex.join([str(binary), "--permission-mode", "default"])
    tmux("new-session", "-d", "-s", "one", "-x", "160", "-y", "50", "-c", str(work), command)
    try:
        _until(lambda: "❯" in tmux("capture-pane", "-p", "-t", "one"))
        session = Session(hub, model, type)
        type("hello")
        session.wait_idle()
        yield session
    finally:
        tmux("kill-server")


def _until(condition: Callable[[], Any], within_s: float = 60) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the session does not come so far")
        time.sleep(0.02)
