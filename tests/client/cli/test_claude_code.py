"""bus hook, bus wait-for-mail, bus statusline, as processes, against a real hub."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.client.conftest import command
from tests.conftest import PASSWORD, USER, RunningHub, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    hub = RunningHub(tmp_path_factory.mktemp("hooks") / "data").start()
    yield hub
    hub.stop()


@pytest.fixture
def session() -> Iterator[subprocess.Popen[bytes]]:
    """A process that stands for Claude Code."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


@pytest.fixture
def machine(request: pytest.FixtureRequest) -> str:
    """A name of its own for each test."""
    return "m" + str(abs(hash(request.node.name)))[:12]


@pytest.fixture
def environ(
    hub: RunningHub, tmp_path: Path, session: subprocess.Popen[bytes], machine: str
) -> dict[str, str]:
    return {
        "HOME": str(tmp_path),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "BUS_URL": hub.url,
        "BUS_USER": USER,
        "BUS_PASS": PASSWORD,
        "BUS_NAME": machine,
        "CLAUDE_PID": str(session.pid),
    }


def hook(environ: dict[str, str], event: str, **fields: Any) -> str:
    """What the model is shown."""
    sent = json.dumps({"hook_event_name": event, "session_id": "one", "cwd": "/", **fields})
    done = command(environ, "hook", input=sent)
    assert (done.returncode, done.stderr) == (0, "")
    if not done.stdout:
        return ""
    return str(json.loads(done.stdout)["hookSpecificOutput"]["additionalContext"])


def state(environ: dict[str, str]) -> Path:
    return Path(environ["HOME"]) / ".local" / "state" / "claude-bus"


def waiting(environ: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "busclient", "wait-for-mail"],
        env=environ, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd="/",
    )  # fmt: skip


def test_two_sessions_are_two_callsigns_with_their_own_mail(
    environ: dict[str, str], hub: RunningHub, machine: str
) -> None:
    with subprocess.Popen(["sleep", "600"]) as other:
        second = {**environ, "CLAUDE_PID": str(other.pid)}
        assert f"You are {machine}/alpha" in hook(environ, "SessionStart")
        assert f"You are {machine}/bravo" in hook(second, "SessionStart", session_id="two")
        hub.say("for bravo", to=f"{machine}/bravo")
        assert hook(environ, "UserPromptSubmit") == ""
        assert "for bravo" in hook(second, "UserPromptSubmit", session_id="two")
        other.kill()


def test_a_session_started_by_another_has_a_callsign_of_its_own(
    environ: dict[str, str], machine: str
) -> None:
    assert f"You are {machine}/alpha" in hook(environ, "SessionStart")
    with subprocess.Popen(["sleep", "600"]) as inner:
        inherited = {**environ, "CLAUDE_PID": str(inner.pid), "BUS_SESSION": f"{machine}/alpha"}
        text = hook(inherited, "SessionStart", session_id="two")
        inner.kill()
    assert f"You are {machine}/bravo" in text


def test_bash_speaks_as_the_session(
    environ: dict[str, str], hub: RunningHub, machine: str, tmp_path: Path
) -> None:
    exports = tmp_path / "env"
    hook({**environ, "CLAUDE_ENV_FILE": str(exports)}, "SessionStart")
    assert exports.read_text() == f"export BUS_SESSION='{machine}/alpha'\n"
    spoken = {**environ, "BUS_SESSION": f"{machine}/alpha"}
    assert command(spoken, "post", "bob", "hello").returncode == 0
    newest = hub.get("/messages?order=desc&limit=1").json()["messages"][0]
    assert newest["from"] == f"{machine}/alpha"


def test_an_end_leaves_the_roster_and_a_clear_does_not(
    environ: dict[str, str], hub: RunningHub, machine: str
) -> None:
    hook(environ, "SessionStart")
    hook(environ, "SessionEnd", reason="clear")
    text = hook(environ, "SessionStart", source="clear", session_id="two")
    assert f"You are {machine}/alpha" in text
    hook(environ, "SessionEnd", reason="prompt_input_exit")
    assert hub.get(f"/agents/{machine}/alpha").json()["agent"]["state"] == "gone"


def test_tools_look_for_mail_at_most_once_in_thirty_seconds(
    environ: dict[str, str], hub: RunningHub, machine: str
) -> None:
    hook(environ, "SessionStart")
    hub.say("fire", to=f"{machine}/alpha", priority="urgent")
    assert "fire" in hook(environ, "PostToolUse")
    hub.say("flood", to=f"{machine}/alpha", priority="urgent")
    assert hook(environ, "PostToolUse") == ""
    (mark,) = state(environ).glob("tool-*.mark")
    os.utime(mark, (mark.stat().st_mtime - 31,) * 2)
    assert "flood" in hook(environ, "PostToolUse")


def test_a_hub_that_is_away_costs_the_model_nothing(environ: dict[str, str]) -> None:
    away = {**environ, "BUS_URL": "http://127.0.0.1:9"}
    assert hook(away, "SessionStart") == hook(away, "UserPromptSubmit") == ""
    assert "the hub is away" in (state(environ) / "hooks.log").read_text()
    assert command(away, "statusline", input="{}").stdout == "✉ – · hub away\n"


@pytest.mark.parametrize("sent", ["", "[]", "{", '{"hook_event_name": 3}', "\x00", '"text"'])
def test_what_is_no_event_is_answered_with_nothing(environ: dict[str, str], sent: str) -> None:
    done = command(environ, "hook", input=sent)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_status_line_says_what_waits(
    environ: dict[str, str], hub: RunningHub, machine: str
) -> None:
    hub.say("one", to=machine, priority="urgent")
    hub.say("two", to=machine)
    hook(environ, "SessionStart")
    assert command(environ, "statusline", input="{}").stdout == "✉ 2 (1 urgent) · hub ok\n"
    beside = command(environ, "statusline", "--and", "cat", input="mine")
    assert beside.stdout == "mine ✉ 2 (1 urgent) · hub ok\n"


def test_the_waiter_gives_the_mail_and_a_second_one_leaves(
    environ: dict[str, str], hub: RunningHub, machine: str
) -> None:
    hook(environ, "SessionStart")
    with waiting(environ) as waiter:
        wait_until(lambda: hub.get("/health").json()["waiting"])
        assert command(environ, "wait-for-mail").returncode == 0
        hub.say("for your information", to=f"{machine}/alpha", priority="fyi")
        hub.say("wake up", to=f"{machine}/alpha")
        assert waiter.wait(30) == 2
        assert waiter.stderr is not None
        text = waiter.stderr.read()
    assert "wake up" in text and "for your information" not in text
    rest = hook(environ, "UserPromptSubmit")
    assert "for your information" in rest and "wake up" not in rest


def test_the_waiter_outlives_a_restart_of_the_hub(
    environ: dict[str, str], hub: RunningHub, machine: str
) -> None:
    hook(environ, "SessionStart")
    with waiting(environ) as waiter:
        wait_until(lambda: hub.get("/health").json()["waiting"])
        hub.stop()
        hub.start()
        hub.say("wake up", to=f"{machine}/alpha")
        assert waiter.wait(60) == 2


def test_the_waiter_ends_without_mail_when_its_session_is_gone(
    environ: dict[str, str],
    hub: RunningHub,
    machine: str,
    session: subprocess.Popen[bytes],
) -> None:
    hook(environ, "SessionStart")
    with waiting(environ) as waiter:
        wait_until(lambda: hub.get("/health").json()["waiting"])
        session.kill()
        session.wait()
        hub.say("too late", to=f"{machine}/alpha")
        assert waiter.wait(60) == 0


def test_after_six_wakes_mail_waits_for_the_prompt(
    environ: dict[str, str], hub: RunningHub, machine: str
) -> None:
    lidded = {**environ, "BUS_WAKES_AN_HOUR": "1"}
    hook(lidded, "SessionStart")
    with waiting(lidded) as waiter:
        hub.say("first", to=f"{machine}/alpha")
        assert waiter.wait(30) == 2
    hub.say("second", to=f"{machine}/alpha")
    with waiting(lidded) as waiter:
        assert "second" in hook(lidded, "UserPromptSubmit")
        assert waiter.poll() is None
        waiter.kill()


@pytest.mark.parametrize(
    "more", [{"BUS_WAKE": "off"}, {"CLAUDE_CODE_SESSION_ATTENDED": "0"}], ids=str
)
def test_where_nobody_is_to_be_woken_the_waiter_leaves(
    environ: dict[str, str], more: dict[str, str]
) -> None:
    hook(environ, "SessionStart")
    assert command({**environ, **more}, "wait-for-mail").returncode == 0
