"""`bus exec`: its arguments, what it prints, and its exit codes."""

from __future__ import annotations

import io
import json
import signal
from typing import Any

import pytest

from busclient._cli import exits
from busclient._cli.screen import Screen
from tests.client.cli.net.conftest import Cli
from tests.client.doors import Door
from tests.client.stubnet import ASKED, EXEC, StubNet, approval, ended, error, streamed


@pytest.mark.parametrize("code", [0, 1, 3, 42, 126, 127, 137, 255])
def test_output_and_exit_code_are_passed_on(cli: Cli, net: StubNet, code: int) -> None:
    chunks = [
        {"stdout": "AP8=", "encoding": "base64"},
        {"stderr": "oops\n"},
        {"stdout": "é\x1b[31m\r\n"},
    ]
    net.on(EXEC, streamed(*chunks, exitCode=code))
    ran = cli("exec", "db1", "--", "x")
    assert ran.code == code
    assert ran.out.encode(errors="surrogateescape") == b"\0\xff" + "é\x1b[31m\r\n".encode()
    assert ran.err == "oops\n"


def test_the_words_after_the_dashes_are_the_command(cli: Cli, net: StubNet) -> None:
    net.on(EXEC, streamed())
    cli("exec", "db1", "--timeout", "2m", "--", "ls", "--json", "--", "-x", "$HOME 'q'")
    cli(
        "exec",
        "--cwd",
        "/srv",
        "--user",
        "1000",
        "--env",
        "A=b=c",
        "--env",
        "E=",
        "--key",
        "k",
        "db1",
        "-c",
        "ls | wc -l",
    )
    cli("exec", "-i", "db1", "--", "cat", stdin=b"\0in")
    first, second, third = net.bodies("/api/exec")
    assert (first["argv"], first["timeout_s"], first["from"]) == (
        ["ls", "--json", "--", "-x", "$HOME 'q'"],
        120,
        "web1",
    )
    assert second == {
        "from": "web1", "target": "db1", "command": "ls | wc -l", "cwd": "/srv", "user": "1000",
        "env": {"A": "b=c", "E": ""}, "client_id": "k", "stream": True,
    }  # fmt: skip
    assert (third["stdin"], third["stdin_encoding"]) == ("AGlu", "base64")
    assert "stdin" not in first


@pytest.mark.parametrize(
    "arguments",
    [["db1"], ["db1", "--"], ["db1", "ls"], ["--", "ls"], ["db1", "-c", "x", "--", "y"],
     ["--env", "A", "db1", "--", "x"],
     ["--timeout", "soon", "db1", "--", "x"], ["--nosuch", "db1", "--", "x"]],
)  # fmt: skip
def test_what_is_not_run_has_a_code_of_its_own(
    cli: Cli, net: StubNet, arguments: list[str]
) -> None:
    assert cli("exec", *arguments).code == exits.NOT_RUN == 125
    assert net.asked == []


@pytest.mark.parametrize(
    "answer",
    [error(403, "approval_denied"), error(404, "unknown_target"), error(422, "no_such_program")],
)
def test_a_refusal_is_not_taken_for_the_commands_own_code(
    cli: Cli, net: StubNet, answer: Any
) -> None:
    net.on(EXEC, answer)
    ran = cli("exec", "db1", "--", "x")
    assert (ran.code, ran.out) == (125, "")
    assert "bus: this is" in ran.err
    assert "hint of" in ran.err
    said = json.loads(cli("exec", "--json", "db1", "--", "x").out)
    assert (said["ok"], said["error"]) == (False, answer[1]["error"])


def test_without_settings_or_hub_nothing_is_run(
    cli: Cli, net: StubNet, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    door.troubles.extend(["away"] * 4)
    assert cli("exec", "db1", "--", "x").code == 125
    monkeypatch.delenv("BUS_URL")
    assert cli("exec", "db1", "--", "x").code == 125
    assert net.asked == []


def test_a_command_whose_time_is_over_says_so(cli: Cli, net: StubNet) -> None:
    net.on(
        EXEC,
        streamed({"stdout": "so far"}, exitCode=None, timed_out=True, duration_ms=5000, leaked=2),
    )
    ran = cli("exec", "db1", "--", "x")
    assert (ran.code, ran.out) == (124, "so far")
    assert "its time was over after 5.0 s" in ran.err
    assert "2 of its processes could not be ended" in ran.err


def test_a_break_after_the_first_byte_is_not_a_success(cli: Cli, net: StubNet) -> None:
    net.on(EXEC, [{"id": "01A", "state": "running"}, {"stdout": "half"}])
    net.on("GET /api/exec/01A", {"ok": False, "id": "01A", "state": "unknown", "stdout": None})
    ran = cli("exec", "db1", "--", "x")
    assert (ran.code, ran.out) == (125, "half")
    assert "01A" in ran.err


def test_as_json_it_is_one_object_with_the_output(cli: Cli, net: StubNet) -> None:
    net.on(
        EXEC,
        streamed(
            {"stdout": "a"}, {"stderr": "/w==", "encoding": "base64"}, {"stdout": "b"}, exitCode=3
        ),
    )
    ran = cli("exec", "--json", "db1", "--", "x")
    said = json.loads(ran.out)
    assert ran.code == said["exitCode"] == 3
    assert said["stdout"] == "ab"
    assert (said["stderr"], said["stderr_encoding"]) == ("/w==", "base64")
    assert (said["ok"], said["truncated"], ran.err) == (True, False, "")


def test_output_as_json_is_kept_up_to_a_limit(
    cli: Cli, net: StubNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("busclient._cli.executing._MOST_JSON", 5)
    net.on(EXEC, streamed(*[{"stdout": "abc"}] * 100))
    said = json.loads(cli("exec", "--json", "db1", "--", "x").out)
    assert (said["stdout"], said["truncated"]) == ("abcab", True)


@pytest.mark.parametrize("how", ["ctrl-c", "SIGTERM", "SIGHUP"])
def test_an_interrupt_ends_the_command_over_there(
    cli: Cli, net: StubNet, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen: list[bytes] = []

    def write(self: Screen, data: bytes) -> None:
        seen.append(data)
        if how == "ctrl-c":
            raise KeyboardInterrupt
        signal.raise_signal(getattr(signal, how))

    monkeypatch.setattr(Screen, "write", write)
    net.on(EXEC, streamed(*[{"stdout": "y"}] * 1000))
    net.on("DELETE /api/exec/01A", {"ok": True, "id": "01A", "ended": True})
    assert cli("exec", "db1", "--", "yes").code == exits.INTERRUPTED
    assert [asked.method for asked in net.asked] == ["POST", "DELETE"]
    assert (net.hung_up, seen) == (1, [b"y"])
    assert signal.getsignal(signal.SIGTERM) == before


def test_an_interrupt_with_the_hub_away_says_that_it_may_still_run(
    cli: Cli, net: StubNet, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(self: Screen, data: bytes) -> None:
        door.troubles.extend(["away"] * 2)
        raise KeyboardInterrupt

    monkeypatch.setattr(Screen, "write", write)
    net.on(EXEC, streamed({"stdout": "y"}, {"stdout": "y"}))
    ran = cli("exec", "db1", "--", "yes")
    assert ran.code == exits.INTERRUPTED
    assert "01A may still run" in ran.err


def test_a_replayed_call_says_so(cli: Cli, net: StubNet) -> None:
    net.on(
        EXEC, [{"result": ended(stdout="kept", replayed=True, truncated=True, stdout_size=5004)}]
    )
    ran = cli("exec", "--key", "k", "db1", "--", "x")
    assert ran.out == "kept"
    assert "not run again: this is what 01A gave" in ran.err
    assert "5,000 of 5,004 bytes of stdout are not here" in ran.err


def test_a_question_to_an_admin_is_waited_for_when_asked_to(cli: Cli, net: StubNet) -> None:
    net.on(EXEC, ASKED)
    ran = cli("exec", "db1", "--", "x")
    assert (ran.code, "bus approve 01Q" in ran.err) == (125, True)
    net.on(EXEC, ASKED, streamed({"stdout": "done"}))
    net.on("GET /api/approvals/01Q", approval("allowed"))
    assert cli("exec", "--wait-approval", "5m", "db1", "--", "x").out == "done"


def test_detached_commands_are_looked_at_and_ended(cli: Cli, net: StubNet) -> None:
    net.on(EXEC, (202, {"ok": True, "id": "01A", "state": "running"}))
    assert cli("exec", "--detach", "db1", "--", "make").out == "01A\n"
    net.on("GET /api/exec/01A", {"ok": True, "id": "01A", "state": "running"})
    assert cli("call", "01A").out == "01A: running\n"
    net.on(
        "GET /api/exec/01A", {**ended(exitCode=7, stdout="out", stderr="err\n"), "state": "done"}
    )
    ran = cli("call", "01A", "--wait", "1m")
    assert (ran.code, ran.out, ran.err) == (7, "out", "err\nbus: 01A: exit code 7, 84 ms\n")
    assert json.loads(cli("call", "01A", "--json").out)["exitCode"] == 7
    net.on(
        "DELETE /api/exec/01A",
        {"ok": True, "id": "01A", "ended": True},
        {"ok": True, "id": "01A", "ended": False},
    )
    assert cli("call", "01A", "--end").out == "ended 01A\n"
    assert cli("call", "01A", "--end").out == "01A had ended before\n"
    net.on("GET /api/exec/..%2Fx", error(404, "no_such_call"))
    net.on("GET /api/exec/../x", error(404, "no_such_call"))
    assert cli("call", "../x").code == exits.NOT_RUN
    net.on("DELETE /api/exec/01B", error(404, "no_such_call"))
    assert cli("call", "01B", "--end").code == exits.NOT_FOUND


@pytest.mark.parametrize(
    ("more", "code"),
    [({"state": "done", "exitCode": None, "timed_out": True}, 124),
     ({"state": "done", "exitCode": None, "cancelled": True}, 125),
     ({"state": "unknown"}, 125), ({"state": "running"}, 0)],
)  # fmt: skip
def test_the_code_of_a_call_is_that_of_its_command(
    cli: Cli, net: StubNet, more: dict[str, Any], code: int
) -> None:
    net.on("GET /api/exec/01A", {**ended(), **more})
    assert cli("call", "01A").code == cli("call", "01A", "--json").code == code
    if more["state"] == "running":
        assert cli("call", "01A", "--wait", "0.01").code == exits.TIME_OVER


def test_a_call_that_failed_says_why(cli: Cli, net: StubNet) -> None:
    failed = {
        "ok": False,
        "id": "01A",
        "state": "error",
        "error": "driver_unavailable",
        "message": "no host\x1b key",
        "hint": "mend it",
    }
    net.on("GET /api/exec/01A", failed)
    ran = cli("call", "01A")
    assert (ran.code, ran.out) == (125, "01A: error\n")
    assert ran.err == "bus: driver_unavailable: no host\ufffd key\n     mend it\n"
    ran = cli("call", "01A", "--json")
    assert (ran.code, json.loads(ran.out)) == (125, failed)
    forged = "no host\nbus: all is well\r\n     do as the message says"
    net.on("GET /api/exec/01A", {**failed, "message": forged, "hint": "mend\nbus: it"})
    lines = [
        "bus: driver_unavailable: no host",
        "     | bus: all is well",
        "     |      do as the message says",
    ]
    assert cli("call", "01A").err.splitlines() == [*lines, "     mend", "     | bus: it"]
    net.on(
        "GET /api/exec/01A", {"ok": False, "id": "01A", "state": "denied", "reason": "none matches"}
    )
    ran = cli("call", "01A")
    assert (ran.code, "not_permitted: none matches" in ran.err) == (125, True)


def test_an_error_at_the_end_of_a_stream_is_shown_as_it_is(cli: Cli, net: StubNet) -> None:
    lines = [
        {"id": "01A", "state": "running"},
        {"error": error(503, "driver_unavailable")[1], "status": 503},
    ]
    net.on(EXEC, lines)
    ran = cli("exec", "db1", "--", "x")
    assert (ran.code, ran.err) == (
        125,
        "bus: this is driver_unavailable\n     hint of driver_unavailable\n",
    )
    assert len(net.asked) == 1


@pytest.mark.parametrize(
    "line",
    [
        ["db1", "--", "cat", "\udcff"],
        ["db1", "-c", "echo \udcff"],
        ["db1", "--env", "A=\udcff", "--", "x"],
    ],
)
def test_words_that_are_not_text_are_refused_before_anything_is_asked(
    cli: Cli, net: StubNet, line: list[str]
) -> None:
    ran = cli("exec", *line)
    assert (ran.code, net.asked) == (125, [])
    assert "not UTF-8" in ran.err
    assert "-i" in ran.err


def test_more_input_than_a_request_may_have_is_refused(cli: Cli, net: StubNet) -> None:
    ran = cli("exec", "-i", "db1", "--", "cat", stdin=b"x" * 12_000_001)
    assert (ran.code, net.asked, "at most 12,000,000 bytes" in ran.err) == (125, [], True)
    net.on(EXEC, streamed())
    assert cli("exec", "-i", "db1", "--", "cat", stdin=b"\0" * 12_000_000).code == 0


class _Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("chunks", "shown"),
    [([b"\x1b[31mred\x07\n"], "\ufffd[31mred\ufffd\n"), (["é".encode()[:1], "é".encode()[1:]], "é"),
     ([b"10%\r20%"], "10%\n20%"),
     ([b"a\r", b"\nb"], "a\nb"), ([b"a\r", b"b\r"], "a\nb\n"), ([b"\xff\xfe"], "\ufffd\ufffd"),
     ([b"ab\xc3"], "ab\ufffd")],
)  # fmt: skip
def test_on_a_terminal_nothing_can_act_on_it(chunks: list[bytes], shown: str) -> None:
    raw = io.BytesIO()
    screen = Screen(_Terminal(raw, "utf-8", newline=""))
    for chunk in chunks:
        screen.write(chunk)
    screen.close()
    assert raw.getvalue().decode() == shown


def test_raw_bytes_reach_a_terminal_when_asked_for() -> None:
    raw = io.BytesIO()
    screen = Screen(_Terminal(raw, "utf-8"), raw=True)
    screen.write(b"\x1b[31m\xff\r\n")
    screen.close()
    assert raw.getvalue() == b"\x1b[31m\xff\r\n"
