"""bus hook, bus wait-for-mail, bus statusline, as processes, against a real hub."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
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
    away = {**environ, "BUS_URL": "http://127.0.0.1:9"}
    assert hook(away, "PostToolUse") == ""
    log = state(environ) / "hooks.log"
    assert not log.exists()  # it has not even asked
    (mark,) = state(environ).glob("tool-*.mark")
    os.utime(mark, (mark.stat().st_mtime - 32,) * 2)
    assert hook(away, "PostToolUse") == ""
    assert "the hub is away" in log.read_text()


def test_a_hook_that_is_slow_says_nothing_about_a_turn_that_has_ended(
    environ: dict[str, str], hub: RunningHub, machine: str
) -> None:
    hook(environ, "SessionStart")
    with subprocess.Popen(
        [sys.executable, "-m", "busclient", "hook"], env=environ, stdin=subprocess.PIPE, cwd="/"
    ) as slow:
        hook(environ, "Notification")
        hook(environ, "Stop")
        slow.communicate(b'{"hook_event_name": "UserPromptSubmit", "session_id": "one"}', 30)
        assert slow.returncode == 0
    assert "UserPromptSubmit" in (state(environ) / "hooks-ran.json").read_text()
    assert hub.get(f"/agents/{machine}/alpha").json()["agent"]["turn"] == "idle"
    hook(environ, "UserPromptSubmit")
    assert hub.get(f"/agents/{machine}/alpha").json()["agent"]["turn"] == "working"


@pytest.mark.parametrize("how", ["option", "settings", "neither", "another mode"])
def test_a_session_that_starts_in_bypass_mode_is_not_shown_what_nobody_has_proven(
    environ: dict[str, str], hub: RunningHub, machine: str, how: str
) -> None:
    folder = Path(environ["HOME"]) / ".claude"
    if how in ("settings", "another mode"):
        folder.mkdir()
        mode = {"permissions": {"defaultMode": "bypassPermissions"}}
        (folder / "settings.json").write_text(json.dumps(mode))
    more = {"option": "bypassPermissions", "another mode": "plan"}.get(how)
    options = [] if more is None else ["--permission-mode", more]
    # Of its own: a session of the shared user sees what the shared user wrote.
    made = json.loads(hub.run("credential", "add", machine, "--json").stdout)
    own = {"BUS_USER": machine, "BUS_PASS": made["secret"]}
    hub.say("do it", to=machine)
    code = "import time; time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code, *options]) as claude:
        text = hook({**environ, **own, "CLAUDE_PID": str(claude.pid)}, "SessionStart")
        claude.kill()
    is_bypass = how in ("option", "settings")
    assert ("do it" in text, "1 not shown" in text) == (not is_bypass, is_bypass)


def test_a_hub_that_is_away_costs_the_model_nothing(environ: dict[str, str]) -> None:
    away = {**environ, "BUS_URL": "http://127.0.0.1:9"}
    assert hook(away, "SessionStart") == hook(away, "UserPromptSubmit") == ""
    assert "the hub is away" in (state(environ) / "hooks.log").read_text()
    assert command(away, "statusline", input="{}").stdout == "✉ – · hub away\n"


def test_a_hub_that_refuses_is_told_from_one_that_is_away(
    environ: dict[str, str], hub: RunningHub
) -> None:
    wrong = {**environ, "BUS_PASS": "wrong"}
    assert hook(wrong, "SessionStart") == hook(wrong, "UserPromptSubmit") == ""
    log = state(environ) / "hooks.log"
    assert "the hub refuses: unauthorized: " in log.read_text()
    assert command(wrong, "statusline", input="{}").stdout == "✉ – · hub refuses: unauthorized\n"
    no_password = {**environ, "BUS_PASS": ""}
    assert hook(no_password, "UserPromptSubmit") == ""
    assert "the hub is not asked: " in log.read_text()
    assert "is away" not in log.read_text()
    assert command(wrong, "statusline", input="{}").stdout == "✉ – · hub not asked\n"
    hook(environ, "SessionStart")
    assert command(environ, "statusline", input="{}").stdout == "✉ 0 · hub ok\n"


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
    hub.post("/ask", json={"from": "alice", "to": machine, "question": "really?"})
    hook(environ, "UserPromptSubmit")
    late = {"from": "alice", "title": "look", "assignee": f"{machine}/alpha", "due": "2020-01-01"}
    assert hub.post("/actions", json=late).status_code == 201
    hook(environ, "UserPromptSubmit")
    told = "✉ 4 (1 urgent) · 1 to answer · 1 due · hub ok\n"
    assert command(environ, "statusline", input="{}").stdout == told


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


def test_mail_that_comes_while_a_hook_makes_claude_go_on_wakes_it_afterwards(
    environ: dict[str, str], hub: RunningHub, machine: str
) -> None:
    hook(environ, "SessionStart")
    hook(environ, "UserPromptSubmit")  # a turn begins
    with waiting(environ) as waiter:
        wait_until(lambda: hub.get("/health").json()["waiting"])
        hub.say("while it works", to=f"{machine}/alpha")
        status = state(environ) / "status.json"
        wait_until(lambda: json.loads(status.read_text())["unread"] == 1)
        assert waiter.poll() is None
        assert hook(environ, "Stop", stop_hook_active=True) == ""
        assert waiter.wait(30) == 2


def test_one_sender_wakes_a_session_for_half_of_its_wakes(
    environ: dict[str, str], hub: RunningHub, machine: str
) -> None:
    hook(environ, "SessionStart")
    environ["BUS_WAKES_AN_HOUR"] = "4"
    for number in range(3):
        with waiting(environ) as waiter:
            wait_until(lambda: hub.get("/health").json()["waiting"])
            hub.say(f"ping {number}", to=f"{machine}/alpha")
            status = state(environ) / "status.json"
            if number == 2:  # nobody has proven the name, so it may be the same one
                wait_until(lambda: hub.get("/health").json()["waiting"])
                assert waiter.poll() is None
                kept = state(environ) / f"wakes-{environ['CLAUDE_PID']}.json"
                rows = json.loads(kept.read_text())
                assert [by for _, by in rows] == [[""], [""]]
                waiter.kill()
            else:
                assert waiter.wait(30) == 2
            assert status.exists()


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
        sent = hub.say("too late", to=f"{machine}/alpha")
        assert waiter.wait(60) == 0
    steps = hub.get(f"/messages/{sent['id']}/trace").json()["trace"][f"{machine}/alpha"]
    assert "shown" not in {step["step"] for step in steps}


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


class Mcp:
    """`bus mcp`, as Claude Code runs it beside a session."""

    def __init__(self, environ: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "busclient", "mcp"],
            env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/",
        )  # fmt: skip

    def send(self, id: int, method: str, **params: Any) -> dict[str, Any]:
        """The answer to a request, or what comes before it."""
        assert self._process.stdin is not None
        request = {"jsonrpc": "2.0", "id": id, "method": method, "params": params}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self.line()

    def line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found

    def close(self) -> None:
        with self._process:  # closes its pipes
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait(20)


@pytest.fixture
def inbox_socket(tmp_path: Path, environ: dict[str, str]) -> Iterator[socket.socket]:
    """What stands for the inbox socket of an interactive session."""
    path = tmp_path / "in.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        listening.settimeout(30)
        environ |= {
            "CLAUDE_CODE_MESSAGING_SOCKET": str(path),
            "CLAUDE_CODE_MESSAGING_TOKEN": "t0ken",
            "CLAUDE_CODE_ENTRYPOINT": "cli",
        }
        yield listening


@pytest.fixture
def mcp(environ: dict[str, str]) -> Iterator[Callable[[], Mcp]]:
    begun: list[Mcp] = []

    def begin() -> Mcp:
        begun.append(Mcp(environ))
        return begun[-1]

    yield begin
    for one in begun:
        one.close()


def received(listening: socket.socket) -> list[dict[str, Any]]:
    """The lines of the next connection."""
    connection, _ = listening.accept()
    with connection, connection.makefile() as file:
        return [json.loads(line) for line in file]


def steps(hub: RunningHub, body: str, name: str) -> list[tuple[str, str | None]]:
    """How far a message has come with a name, by which way."""
    found = hub.get(f"/messages?to={name}").json()["messages"]
    (seq,) = [message["seq"] for message in found if message["body"] == body]
    trace = hub.get(f"/messages/{seq}/trace").json()["trace"][name]
    return [(step["step"], step.get("by")) for step in trace if step["step"] in ("shown", "sent")]


def test_mail_is_pushed_into_the_session_once_and_the_waiter_steps_back(
    environ: dict[str, str],
    hub: RunningHub,
    machine: str,
    inbox_socket: socket.socket,
    mcp: Callable[[], Mcp],
) -> None:
    alpha = f"{machine}/alpha"
    hook(environ, "SessionStart")
    mcp().send(1, "initialize")
    wait_until(lambda: hub.get("/health").json()["waiting"])
    assert command(environ, "wait-for-mail").returncode == 0
    hub.say("pushed to you", to=alpha)
    auth, sent = received(inbox_socket)
    assert auth == {"type": "auth", "token": "t0ken"}
    text = sent["message"]["content"]
    assert "pushed to you" in text
    assert text.startswith('<cross-session-message from="claude-bus:')
    assert text.endswith("</bus-mail>\n</cross-session-message>")
    assert hook(environ, "UserPromptSubmit", prompt=text) == ""
    assert steps(hub, "pushed to you", alpha) == [("shown", "socket")]
    hub.say("and another", to=alpha, priority="urgent")
    assert "and another" in received(inbox_socket)[1]["message"]["content"]


def test_a_session_without_hooks_is_registered_by_its_server_and_leaves_with_it(
    environ: dict[str, str],
    hub: RunningHub,
    machine: str,
    inbox_socket: socket.socket,
    mcp: Callable[[], Mcp],
) -> None:
    alpha, server = f"{machine}/alpha", mcp()
    server.send(1, "initialize")
    call = {"name": "bus_post", "arguments": {"to": "any", "body": f"from {machine}"}}
    assert not server.send(2, "tools/call", **call)["result"].get("isError")
    (posted,) = hub.get(f"/messages?from={alpha}").json()["messages"]
    assert posted["body"] == f"from {machine}"
    hub.say("pushed to you", to=alpha)
    text = ""
    while "pushed to you" not in text:  # what waited when it was registered may come first
        text = received(inbox_socket)[1]["message"]["content"]
    server.close()
    assert hub.get(f"/agents/{alpha}").json()["agent"]["state"] == "gone"


def test_a_socket_that_nobody_reads_leaves_the_mail_to_the_hooks(
    environ: dict[str, str],
    hub: RunningHub,
    machine: str,
    inbox_socket: socket.socket,
    mcp: Callable[[], Mcp],
) -> None:
    hook(environ, "SessionStart")
    mcp().send(1, "initialize")
    wait_until(lambda: hub.get("/health").json()["waiting"])
    inbox_socket.close()
    hub.say("not lost", to=f"{machine}/alpha")
    log = state(environ) / "hooks.log"
    wait_until(lambda: log.exists() and "mail is left to the hooks" in log.read_text())
    assert "not lost" in hook(environ, "UserPromptSubmit")


@pytest.mark.parametrize(
    ("more", "settings"),
    [
        ({"BUS_PUSH": "off"}, {}),
        ({"BUS_WAKE": "off"}, {}),
        ({"CLAUDE_CODE_ENTRYPOINT": "sdk-cli"}, {}),
        ({"CLAUDE_CODE_MESSAGING_SOCKET": "/nonexistent"}, {}),
        ({}, {"crossSessionInbound": "refuse"}),
    ],
)
def test_where_nothing_may_be_pushed_the_waiter_waits(
    environ: dict[str, str],
    hub: RunningHub,
    machine: str,
    inbox_socket: socket.socket,
    mcp: Callable[[], Mcp],
    more: dict[str, str],
    settings: dict[str, str],
) -> None:
    folder = Path(environ["HOME"]) / ".claude"
    folder.mkdir()
    (folder / "settings.json").write_text(json.dumps(settings))
    wake = environ | {"BUS_WAKE": "normal"}
    environ |= more
    hook(environ, "SessionStart")
    mcp().send(1, "initialize")
    with waiting(wake) as waiter:
        wait_until(lambda: hub.get("/health").json()["waiting"])
        hub.say("wake up", to=f"{machine}/alpha")
        assert waiter.wait(30) == 2
    assert steps(hub, "wake up", f"{machine}/alpha") == [("shown", "rewake")]


def test_what_goes_out_by_a_channel_is_sent_once_and_counts_as_not_shown(
    environ: dict[str, str], hub: RunningHub, machine: str, mcp: Callable[[], Mcp]
) -> None:
    alpha = f"{machine}/alpha"
    environ["BUS_PUSH"] = "channel"
    hook(environ, "SessionStart")
    server = mcp()
    hello = server.send(1, "initialize")["result"]["capabilities"]
    assert hello["experimental"] == {"claude/channel": {}}
    wait_until(lambda: hub.get("/health").json()["waiting"])
    hub.say("by a channel", to=alpha)
    sent = server.line()
    assert sent["method"] == "notifications/claude/channel"
    assert "by a channel" in sent["params"]["content"]
    assert steps(hub, "by a channel", alpha) == [("sent", "channel")]
    hub.say("by a channel too", to=alpha)
    second = server.line()["params"]["content"]
    assert "by a channel too" in second and second.count("by a channel") == 1
    assert "by a channel\n" in hook(environ, "UserPromptSubmit")
