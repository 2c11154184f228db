"""BUS_SUMMARY: who makes the line about what a session works on, and what that is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.client.conftest import Served, command
from tests.conftest import wait_until

pytestmark = pytest.mark.slow

KEY = "sk-secret-of-the-tests"


class Model:
    """A server with the API of chat completions: what it was sent, and what it answers."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, dict[str, Any]]] = []
        self.status, self.headers = 200, {}
        self.body: bytes | None = None
        self.holds = threading.Event()
        self.holds.set()
        model = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                model.seen.append((self.path, self.headers["Authorization"], sent))
                model.holds.wait(30)
                answer = {"choices": [{"message": {"content": "Mends\nthe \x1b[31mdeploy"}}]}
                self.send_response(model.status)
                for name, value in model.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(json.dumps(answer).encode() if model.body is None else model.body)

            do_GET = do_POST

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def model() -> Iterator[Model]:
    model = Model()
    yield model
    model.holds.set()
    model.server.shutdown()
    model.server.server_close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository with two commits and a file that has changed."""
    folder = tmp_path / "shop"
    folder.mkdir()
    git = ["git", "-c", "user.name=me", "-c", "user.email=me@example.org", "-C", str(folder)]
    (folder / "secret.txt").write_text("what is in a file\n")
    subprocess.run(["git", "init", "-q", "-b", "trunk", str(folder)], check=True)
    for subject in ("Add the shop", "Sell shoes\n\nand the body of a commit"):
        (folder / "secret.txt").write_text(f"{subject}\n")
        subprocess.run([*git, "add", "."], check=True)
        subprocess.run([*git, "commit", "-qm", subject], check=True)
    (folder / "secret.txt").write_text("what has changed\n")
    # What the session works on is nothing to load code from.
    (folder / "busclient.py").write_text("raise SystemExit('loaded from the folder')")
    return folder


@pytest.fixture
def environ(served: Served, home: Path) -> Iterator[dict[str, str]]:
    with subprocess.Popen(["sleep", "600"]) as session:  # stands for Claude Code
        try:
            yield served.environ(home, CLAUDE_PID=str(session.pid), NO_PROXY="127.0.0.1")
        finally:
            session.kill()


def start(
    environ: dict[str, str], folder: Path, source: str = "startup", session_id: str = "one"
) -> None:
    event = {"hook_event_name": "SessionStart", "session_id": session_id, "source": source}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "busclient", "hook"], env=environ, cwd=folder,
        input=json.dumps({**event, "cwd": str(folder)}), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def summary(served: Served) -> str:
    found = served.caller.get("/agents/bob/alpha").json["agent"]
    return str(found.get("summary"))


def log(home: Path) -> str:
    path = home / ".local" / "state" / "claude-bus" / "hooks.log"
    return path.read_text() if path.exists() else ""


LOCAL = "shop on trunk; last: Sell shoes; changes secret.txt, busclient.py"


@pytest.mark.parametrize("more", [{}, {"BUS_SUMMARY": "local"}])
def test_unless_asked_for_nothing_is_sent(
    environ: dict[str, str], served: Served, folder: Path, model: Model, more: dict[str, str]
) -> None:
    start({**environ, **more, "OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": model.url}, folder)
    assert summary(served) == LOCAL
    assert model.seen == []


def test_a_model_makes_a_better_line_and_is_told_no_more_than_is_said(
    environ: dict[str, str], served: Served, folder: Path, model: Model
) -> None:
    asked = {"BUS_SUMMARY": "openai", "OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": f"{model.url}/"}
    model.holds.clear()
    start({**environ, **asked}, folder)  # and does not wait for the model
    assert summary(served) == LOCAL
    model.holds.set()
    wait_until(lambda: summary(served) == "Mends the [31mdeploy")
    ((path, key, sent),) = model.seen
    assert (path, key) == ("/v1/chat/completions", f"Bearer {KEY}")
    assert sent["model"] == "gpt-4o-mini"
    _, told = sent["messages"]
    assert json.loads(told["content"]) == {
        "folder": "shop",
        "branch": "trunk",
        "commits": ["Sell shoes", "Add the shop"],
        "changed": ["secret.txt", "busclient.py"],
    }
    # It stays until there is another one.
    model.holds.clear()
    start({**environ, **asked, "BUS_SUMMARY": "openai:other"}, folder, source="compact")
    assert summary(served) == "Mends the [31mdeploy"
    model.body = json.dumps({"choices": [{"message": {"content": "x" * 400}}]}).encode()
    model.holds.set()
    wait_until(lambda: summary(served) == "x" * 300)
    assert model.seen[1][2]["model"] == "other"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"status": 500}, "the model's server answers 500"),
        ({"status": 302}, "the model's server answers 302"),
        ({"body": b"<html>"}, "is not that of a chat completion"),
        ({"body": b'{"choices":[]}'}, "is not that of a chat completion"),
        ({"body": b'{"choices":[{"message":{"content":" \\n"}}]}'}, "the answer was empty"),
    ],
)
def test_a_model_that_fails_changes_nothing_and_is_in_the_log(
    environ: dict[str, str],
    served: Served,
    home: Path,
    folder: Path,
    model: Model,
    answer: dict[str, Any],
    told: str,
) -> None:
    vars(model).update(answer)
    model.headers = {"Location": f"{model.url}/elsewhere"} if model.status == 302 else {}
    asked = {"BUS_SUMMARY": "openai", "OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": model.url}
    start({**environ, **asked}, folder)
    wait_until(lambda: told in log(home))
    assert summary(served) == LOCAL
    assert len(model.seen) == 1
    assert KEY not in log(home)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"BUS_SUMMARY": "openai"}, "OPENAI_API_KEY is not set"),
        (
            {
                "BUS_SUMMARY": "openai",
                "OPENAI_API_KEY": KEY,
                "OPENAI_BASE_URL": "file:///etc/passwd",
            },
            "no address of http",
        ),
        ({"BUS_SUMMARY": "gemini"}, "none of local, openai"),
        ({"BUS_SUMMARY": "command:"}, "none of local, openai"),
        ({"BUS_SUMMARY": "command:echo no; exit 3"}, "the command ended with 3"),
    ],
)
def test_a_setting_that_cannot_be_followed_is_in_the_log(
    environ: dict[str, str],
    served: Served,
    home: Path,
    folder: Path,
    asked: dict[str, str],
    told: str,
) -> None:
    start({**environ, **asked}, folder)
    wait_until(lambda: told in log(home))
    assert summary(served) == LOCAL


def test_a_command_of_the_users_makes_the_line(
    environ: dict[str, str], served: Served, folder: Path, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    line = f"command:cat > {told}; echo; echo In $(basename $PWD); echo more"
    start({**environ, "BUS_SUMMARY": line}, folder)
    wait_until(lambda: summary(served) == "In shop")
    assert json.loads(told.read_text())["commits"][0] == "Sell shoes"


def test_a_line_that_comes_when_the_name_is_another_sessions_is_dropped(
    environ: dict[str, str], served: Served, home: Path, folder: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    start({**environ, "BUS_SUMMARY": f"command:cat {gate}; echo late"}, folder)
    lock = home / ".local" / "state" / "claude-bus" / f"summary-{environ['CLAUDE_PID']}.lock"
    wait_until(lock.exists)
    sent = json.dumps({"hook_event_name": "SessionEnd", "session_id": "one", "reason": "other"})
    assert command(environ, "hook", input=sent).returncode == 0
    with subprocess.Popen(["sleep", "600"]) as next_one:
        try:
            start({**environ, "CLAUDE_PID": str(next_one.pid)}, folder, session_id="two")
            gate.write_text("")
            wait_until(lambda: not lock.exists())
            assert summary(served) == LOCAL
        finally:
            next_one.kill()
