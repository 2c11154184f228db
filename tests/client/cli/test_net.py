"""The commands of Claude Net, through their command line, against a stand-in that answers as
docs/net.md says.
"""

from __future__ import annotations

import io
import json
import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import busclient._cli
import busclient._http.calls
from busclient import Bus
from busclient._cli import exits
from busclient._cli.screen import Screen
from busclient._places import Places
from tests.client.conftest import Ran
from tests.client.doors import URL, Door, transport_by
from tests.client.net.test_net import ASKED, EXEC, FACTS, RULE, approval, page
from tests.client.stubnet import StubNet, ended, error, streamed

Cli = Callable[..., Ran]


@pytest.fixture
def net() -> StubNet:
    return StubNet()


@pytest.fixture
def door(net: StubNet, door_to: Callable[[Any], Door]) -> Door:
    return door_to(net)


@pytest.fixture
def cli(
    home: Path,
    door: Door,
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
    pauses: list[float],
) -> Cli:
    """The `bus` command as web1; what it writes is told with other bytes as surrogates."""
    for name, value in {"BUS_URL": URL, "BUS_USER": "web1", "BUS_PASS": "pw"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(
        busclient._http.calls,
        "transport_for",
        lambda settings, *, light: transport_by(door, settings),
    )
    monkeypatch.setattr(
        Bus.__init__,
        "__kwdefaults__",
        {**(Bus.__init__.__kwdefaults__ or {}), "sleep": pauses.append},
    )

    def run(*arguments: str, stdin: bytes = b"") -> Ran:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = busclient._cli.run(list(arguments))
        said = capsysbinary.readouterr()
        return Ran(
            code,
            said.out.decode(errors="surrogateescape"),
            said.err.decode(errors="surrogateescape"),
        )

    return run


# -- exec ----------------------------------------------------------------------------------------


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
    [["db1"], ["db1", "--"], ["db1", "ls"], ["--", "ls"], ["db1", "-c", "x", "--", "y"], ["--env", "A", "db1", "--", "x"],
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
    assert (
        ran.code,
        said["exitCode"],
        said["stdout"],
        said["stderr"],
        said["stderr_encoding"],
    ) == (3, 3, "ab", "/w==", "base64")
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
    [({"state": "done", "exitCode": None, "timed_out": True}, 124), ({"state": "done", "exitCode": None, "cancelled": True}, 125),
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
    [([b"\x1b[31mred\x07\n"], "\ufffd[31mred\ufffd\n"), (["é".encode()[:1], "é".encode()[1:]], "é"), ([b"10%\r20%"], "10%\n20%"),
     ([b"a\r", b"\nb"], "a\nb"), ([b"a\r", b"b\r"], "a\nb\n"), ([b"\xff\xfe"], "\ufffd\ufffd"), ([b"ab\xc3"], "ab\ufffd")],
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


# -- files ---------------------------------------------------------------------------------------


def test_a_file_that_is_too_large_to_be_read_whole_is_shown_in_parts(
    cli: Cli, net: StubNet
) -> None:
    content = "0123456789"

    def part(asked: Any) -> Any:
        if "limit" not in asked.fields:
            return error(413, "too_large", size=10, limit=4)
        at = asked.fields["offset"]
        return {
            **FACTS,
            "sha256": None,
            "content": content[at : at + asked.fields["limit"]],
            "encoding": "utf-8",
            "offset": at,
        }

    net.on("POST /api/file/read", part)
    assert cli("cat", "db1:/x").out == content
    assert [sent.get("offset") for sent in net.bodies("/api/file/read")] == [None, 0, 4, 8]
    content = "01234"  # it has become shorter meanwhile
    ran = cli("cat", "db1:/x")
    assert (ran.code, "shorter" in ran.err) == (exits.REFUSED, True)


def test_files_go_both_ways_byte_for_byte(cli: Cli, net: StubNet, tmp_path: Path) -> None:
    net.on("POST /api/file/read", {**FACTS, "content": "AP8K", "encoding": "base64", "offset": 0})
    assert (
        cli("cat", "db1:/bin/x", "--offset", "1", "--limit", "0").out.encode(
            errors="surrogateescape"
        )
        == b"\0\xff\n"
    )
    assert net.bodies("/api/file/read")[0] == {
        "from": "web1",
        "target": "db1",
        "path": "/bin/x",
        "offset": 1,
        "limit": 0,
    }
    assert json.loads(cli("cat", "db1:/x", "--json").out)["content"] == "AP8K"
    net.on("POST /api/file/write", FACTS)
    path = tmp_path / "local"
    path.write_bytes(b"\0\xff\r\n")
    assert (
        cli("put", "db1:/x:y", str(path), "--mode", "0600", "--create-dirs", "--if-sha256", "").code
        == 0
    )
    assert "wrote db1:/x, 4 bytes" in cli("put", "db1:/x", stdin=b"text\r\n").out
    assert (
        cli(
            "put",
            "db1:/x",
            "-",
            stdin=b"\xff",
        ).code
        == 0
    )
    first, second, third = net.bodies("/api/file/write")
    assert (first["path"], first["content"], first["encoding"], first["mode"]) == (
        "/x:y",
        "AP8NCg==",
        "base64",
        "0600",
    )
    assert (first["create_dirs"], first["if_sha256"]) == (True, "")
    assert (
        second["content"],
        second["encoding"],
        "create_dirs" in second,
        "if_sha256" in second,
    ) == (
        "text\r\n",
        "utf-8",
        False,
        False,
    )
    assert third["content"] == "/w=="


@pytest.mark.parametrize("place", ["db1", "db1:", ":/x", "db1:relative", "/x"])
def test_a_place_must_be_one(cli: Cli, place: str) -> None:
    assert cli("cat", place).code == cli("put", place).code == exits.USAGE


def test_files_have_the_ordinary_exit_codes(cli: Cli, net: StubNet) -> None:
    net.on(
        "POST /api/file/read",
        error(404, "no_such_file"),
        error(422, "not_a_file", type="fifo"),
        ASKED,
        error(403, "not_permitted"),
    )
    expected = [exits.NOT_FOUND, exits.REFUSED, exits.ASKED, exits.CREDENTIAL]
    assert [cli("cat", "db1:/x").code for _ in expected] == expected
    net.on(
        "POST /api/file/write", error(409, "file_changed", sha256=None), error(502, "target_failed")
    )
    assert [cli("put", "db1:/x").code for _ in range(2)] == [exits.REFUSED, exits.UNKNOWN]
    assert cli("put", "db1:/x", "/no/such/file").code == exits.LOCAL


# -- rights --------------------------------------------------------------------------------------


def test_permissions_are_given_and_taken(cli: Cli, net: StubNet) -> None:
    net.on(
        "POST /api/permit",
        {
            "ok": True,
            "permission": {**RULE, "actions": ["exec"], "expires": "2026-11-20T22:00:00.000Z"},
        },
    )
    ran = cli(
        "permit",
        "web1",
        "db1",
        "--action",
        "exec",
        "--command",
        "git status",
        "--approval",
        "--expires",
        "2h",
    )
    assert ran.out.startswith("allow web1 > db1 exec until 2026-11-20T22:00:00.000Z (by admin")
    assert json.loads(
        cli("revoke", "web1", "db1", "--action", "exec", "--action", "file_read", "--json").out
    )["permission"]
    me = {"from": "web1", "source": "web1", "target": "db1"}
    given = {
        "actions": ["exec"],
        "commands": ["git status"],
        "approval": "required",
        "expires_in_s": 7200,
    }
    assert net.bodies("/api/permit") == [
        {**me, "allow": True, **given},
        {**me, "allow": False, "actions": ["exec", "file_read"]},
    ]
    assert cli("permit", "web1", "db1", "--action", "fly").code == exits.USAGE


def test_a_permission_is_removed(cli: Cli, net: StubNet) -> None:
    removed = {**RULE, "allow": None, "actions": ["exec"], "removed": ["exec"]}
    net.on(
        "POST /api/permit",
        {"ok": True, "permission": removed},
        {"ok": True, "permission": {**removed, "removed": []}},
    )
    assert (
        cli("permit", "web1", "db1", "--remove", "--action", "exec").out
        == "removed web1 > db1 exec\n"
    )
    assert cli("permit", "web1", "db1", "--remove").out == "nothing was said of web1 > db1\n"
    me = {"from": "web1", "source": "web1", "target": "db1", "allow": None}
    assert net.bodies("/api/permit") == [{**me, "actions": ["exec"]}, me]
    assert cli("permit", "web1", "db1", "--remove", "--approval").code == exits.USAGE


def test_permissions_are_listed_and_tried(cli: Cli, net: StubNet) -> None:
    rules = [
        {**RULE, "action": "exec", "commands": [["git", "status"]], "approval": "required"},
        {**RULE, "action": "x\x1b"},
    ]
    rules += [{**RULE, "source": "b", "action": action} for action in ("exec", "file_read")]
    net.on(
        "GET /api/permissions", {"ok": True, "permissions": rules}, {"ok": True, "permissions": []}
    )
    first, second, merged = cli("permissions", "--source", "web1").out.splitlines()
    assert merged.startswith("allow b > db1 exec,file_read (by admin")
    assert "only 'git status' asks an admin each time" in first
    assert "x\ufffd" in second
    assert "nothing is allowed" in cli("permissions").out
    verdict = {"ok": True, "allowed": False, "reason": "none matches", "rule": None}
    net.on("GET /api/permissions/check", verdict, {**verdict, "allowed": True})
    ran = cli("permissions", "--check", "web1", "db1", "exec", "--command", "id")
    assert (ran.code, ran.out) == (exits.CREDENTIAL, "denied: none matches\n")
    assert cli("permissions", "--check", "web2", "db1", "exec", "--json").code == 0
    assert [asked.query.get("source") for asked in net.asked[-2:]] == [None, "web2"]
    assert cli("permissions", "--command", "id").code == exits.USAGE


def test_questions_are_shown_whole_before_they_are_answered(cli: Cli, net: StubNet) -> None:
    argv = ["bash", "-c", "rm 'a b'\n01Z now admin > db1", "\u202e", "pl\u0430in"]
    env = {"LD_PRELOAD": "/tmp/x"}
    net.on(
        "GET /api/approvals/01Q",
        approval("pending", argv=argv, env=env, user="root", hash="ab"),
        approval("allowed"),
    )
    net.on("POST /api/approvals/01Q", approval("allowed"))
    ran = cli("approve", "01Q", "--yes", "--expires", "1h")
    lines = ran.out.splitlines()
    assert lines[0] == "01Q web1 > db1 exec (pending)"
    assert lines[1] == r'''  $ bash -c "rm 'a b'\n01Z now admin > db1" "\u202e" "pl\u0430in"'''
    assert '  env: {"LD_PRELOAD": "/tmp/x"}' in lines
    assert "  user: root" in lines
    assert lines[-1] == "01Q: allowed"
    assert net.bodies("/api/approvals/01Q")[1] == {"allow": True, "expires_in_s": 3600}


def test_a_difference_is_shown_and_can_be_refused(cli: Cli, net: StubNet) -> None:
    diff = "--- a\n+++ b\n+\x1b[2Kharmless\n"
    net.on(
        "GET /api/approvals/01Q",
        approval("pending", action="file_write", argv=None, path="/etc/x", diff=diff),
        approval("denied"),
    )
    net.on("POST /api/approvals/01Q", approval("denied"))
    ran = cli("approve", "01Q", "--deny")
    assert "  path: /etc/x\n" in ran.out
    assert "  | +\ufffd[2Kharmless\n01Q: denied" in ran.out
    assert net.bodies("/api/approvals/01Q")[1] == {"allow": False}


def test_letters_that_the_hub_spells_are_shown_as_they_read_too(cli: Cli, net: StubNet) -> None:
    diff = "+f\\u00fcr \\U0001f600\n+\\\\u0041\n"
    net.on(
        "GET /api/approvals/01Q",
        approval("pending", action="file_write", argv=None, path="/x", diff=diff),
    )
    shown = cli("approve", "01Q").out.splitlines()[-3:]
    assert shown == ["  | +f\\u00fcr \\U0001f600", "  ~ +f\u00fcr \U0001f600", "  | +\\\\u0041"]


def test_nothing_is_allowed_without_a_word(cli: Cli, net: StubNet) -> None:
    more = {
        "mode": "0644",
        "base_mode": "0755",
        "base_uid": 0,
        "base_gid": 5,
        "uid": 1,
        "gid": 2,
        "cwd": "/",
        "user": "root",
    }
    net.on(
        "GET /api/approvals/01Q",
        approval("pending", **more, stdin="rm\nx", env={"A": "b"}, diff=""),
    )
    said = cli("approve", "01Q").out.splitlines()
    assert {f"  {name}: {value}" for name, value in more.items()} < set(said)
    assert {'  stdin: "rm\\nx"', '  env: {"A": "b"}', "  (its content stays as it is)"} < set(said)
    assert cli("approve", "01Q").code == exits.USAGE
    assert cli("approve", "01Q", "--json").code == exits.USAGE
    assert {asked.method for asked in net.asked} == {"GET"}


@pytest.mark.parametrize(("word", "is_allowed"), [(b"y\n", True), (b"n\n", False), (b"\n", False)])
def test_on_a_terminal_it_asks(
    cli: Cli, net: StubNet, word: bytes, is_allowed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "busclient._cli.approving.sys",
        type("Sys", (), {"stdin": type("In", (), {"isatty": lambda _: True})()}),
    )
    net.on("GET /api/approvals/01Q", approval("pending"), approval("allowed"))
    net.on("POST /api/approvals/01Q", approval("allowed"))
    assert cli("approve", "01Q", stdin=word).code == 0
    assert ("POST" in {asked.method for asked in net.asked}) is is_allowed


def test_all_questions_of_one_machine_are_shown_and_those_are_answered(
    cli: Cli, net: StubNet
) -> None:
    first, second = (
        {**approval("pending", argv=["touch", name])["approval"], "id": f"01{name}"}
        for name in "PQ"
    )
    listed = {"ok": True, "approvals": [first, second]}
    net.on("GET /api/approvals", listed, listed, {"ok": True, "approvals": []})
    net.on(
        "POST /api/approvals",
        {"ok": True, "approvals": [{**first, "state": "allowed"}, {**second, "state": "denied"}]},
    )
    ran = cli("approve", "--all-from", "web1", "--yes", "--expires", "1h")
    assert [line for line in ran.out.splitlines() if "touch" in line] == [
        "  $ touch P",
        "  $ touch Q",
    ]
    assert ran.out.endswith("01P: allowed\n01Q: denied\n")
    assert net.bodies("/api/approvals")[1] == {
        "ids": ["01P", "01Q"],
        "allow": True,
        "expires_in_s": 3600,
    }
    assert net.asked[0].query == {"state": "pending", "from": "web1"}
    assert cli("approve", "--all-from", "web1").code == exits.USAGE
    assert cli("approve", "--all-from", "web1", "--deny").out == "no pending questions of web1\n"
    assert cli("approve", "01Q", "--all-from", "web1").code == exits.USAGE
    assert [asked.method for asked in net.asked].count("POST") == 1


def test_open_questions_are_listed(cli: Cli, net: StubNet) -> None:
    net.on(
        "GET /api/approvals",
        {"ok": True, "approvals": [approval("pending")["approval"]]},
        {"ok": True, "approvals": []},
    )
    assert cli("approve").out == "01Q web1 > db1 exec (pending)\n  $ bash -c id\n"
    assert cli("approve", "--state", "denied").out == "no denied questions\n"
    assert [asked.query for asked in net.asked] == [{"state": "pending"}, {"state": "denied"}]


# -- the fleet -----------------------------------------------------------------------------------


def test_containers_are_listed_and_changed(cli: Cli, net: StubNet) -> None:
    fields = {
        "name": "db1",
        "driver": "lxc",
        "state": "running",
        "addresses": ["10.0.3.7"],
        "snapshots": ["a", "b"],
    }
    net.on(
        "GET /api/containers",
        {"ok": True, "containers": [fields], "unavailable": {"ssh": "no\x1b"}},
    )
    ran = cli("container", "list")
    assert (ran.out, ran.err) == (
        "db1 lxc running 10.0.3.7 snapshots: a, b\n",
        "bus: ssh cannot be asked: no\ufffd\n",
    )
    done = {"ok": True, "id": "01C", "name": "db1", "state": "done", "changed": True}
    for action in ("start", "stop", "snapshot", "restore"):
        net.on(
            f"POST /api/container/{action}",
            {**done, "saved": "auto" if action == "restore" else None},
        )
    assert cli("container", "start", "db1").out == "db1: start done\n"
    assert cli("container", "stop", "db1", "--force", "--timeout", "5").code == 0
    assert cli("container", "snapshot", "db1", "s1").code == 0
    assert (
        cli("container", "restore", "db1", "s1", "--no-snapshot-first").out
        == "db1: restore done, what was there is kept as auto\n"
    )
    sent = [
        {name: value for name, value in asked.fields.items() if name != "client_id"}
        for asked in net.asked[1:]
    ]
    me = {"from": "web1", "name": "db1"}
    assert sent == [
        me, {**me, "force": True, "timeout_s": 5}, {**me, "snapshot": "s1"}, {**me, "snapshot": "s1", "snapshot_first": False}
    ]  # fmt: skip


def test_snapshots_are_listed_made_gone_back_to_and_deleted(cli: Cli, net: StubNet) -> None:
    listed = [{"name": "2026-02-27", "made": "2026-02-27T03:00:00.000Z", "by_restore": False},
              {"name": "before-restore-x", "made": "2026-02-27T04:00:00.000Z", "by_restore": True}]  # fmt: skip
    net.on(
        "GET /api/container/snapshots",
        {"ok": True, "name": "db1", "snapshots": listed},
        {"ok": True, "snapshots": []},
    )
    assert (
        cli("container", "snapshots", "db1").out
        == "2026-02-27 2026-02-27T03:00:00.000Z\nbefore-restore-x 2026-02-27T04:00:00.000Z, made by"
        " a restore\n"
    )
    assert net.asked[-1].query == {"name": "db1"}
    assert cli("container", "snapshots", "db1").out == "no snapshots\n"
    done = {
        "ok": True,
        "id": "01C",
        "name": "db1",
        "state": "done",
        "changed": True,
        "snapshot": "2026-02-27-2",
    }
    for action in ("snapshot", "restore", "delete-snapshot"):
        net.on(f"POST /api/container/{action}", done)
    assert cli("container", "snapshot", "db1").out == "db1: snapshot done, snapshot 2026-02-27-2\n"
    assert (
        cli("container", "restore", "db1", "2026-02-27").out
        == "db1: restore done, back to 2026-02-27-2\n"
    )
    assert (
        cli("container", "delete-snapshot", "db1", "2026-02-27-2").out
        == "db1: delete-snapshot done, 2026-02-27-2\n"
    )
    net.on("POST /api/container/stop", error(409, "target_busy"))
    assert cli("container", "stop", "db1").code == exits.AWAY


@pytest.mark.parametrize(
    "line",
    ["container", "container fly db1", "container start", "container list db1", "container start db1 s1", "container restore db1",
     "container start db1 --force", "container delete-snapshot db1", "container snapshots",
     "container snapshots db1 s", "container snapshot db1 --no-snapshot-first", "credential revoke",
     "credential list --overlap 5"],
)  # fmt: skip
def test_wrong_command_lines_are_refused(cli: Cli, net: StubNet, line: str) -> None:
    assert cli(*shlex.split(line)).code == exits.USAGE
    assert net.asked == []


def test_a_permission_of_unknown_names_is_noted(cli: Cli, net: StubNet) -> None:
    made = {
        **RULE,
        "actions": ["exec"],
        "unknown": {"target": "db1 is a member\x1b, but no target."},
    }
    net.on("POST /api/permit", {"ok": True, "permission": made})
    ran = cli("permit", "web1", "db1")
    assert ran.out.startswith("allow web1 > db1 exec")
    assert ran.err == "bus: noted all the same: db1 is a member\ufffd, but no target.\n"
    assert (
        json.loads(cli("permit", "web1", "db1", "--json").out)["permission"]["unknown"]
        == made["unknown"]
    )


@pytest.mark.parametrize("is_terminal", [True, False])
def test_only_a_person_at_a_terminal_hears_that_the_hub_is_slow(
    cli: Cli, net: StubNet, monkeypatch: pytest.MonkeyPatch, is_terminal: bool
) -> None:
    monkeypatch.setattr(Bus, "tell_when_slow", lambda bus, tell: tell("it is slow\x1b"))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    net.on("GET /api/machines", {"ok": True, "machines": [], "unavailable": {}})
    ran = cli("machines", "--json")
    assert json.loads(ran.out)["ok"]
    assert ran.err == ("bus: it is slow\ufffd\n" if is_terminal else "")


def test_machines_and_what_happened_are_lines_that_cannot_lie(cli: Cli, net: StubNet) -> None:
    machine = {
        "name": "db1\n2",
        "kind": "container",
        "driver": "lxc",
        "state": "running",
        "online": True,
        "last_seen": None,
    }
    old = {"name": "old", "kind": "machine", "online": False, "state": "unknown"}
    net.on(
        "GET /api/machines",
        {"ok": True, "machines": [machine, old], "unavailable": {"lxc": "away\x1b"}},
    )
    ran = cli("machines")
    assert ran.out.splitlines() == [
        "NAME   KIND       DRIVER     STATE    ONLINE   SEEN",
        "db1 2  container  lxc        running  online   -",
        "old    machine    no target  -        offline  -",
    ]
    assert ran.err == "bus: lxc cannot be asked: away\ufffd\n"
    events = page(1)
    events["events"][0] |= {
        "command": "a\n2 x \x1b[2K" + "y" * 900,
        "result": "ok",
        "exitCode": 3,
        "duration_ms": 84,
    }
    net.on("GET /api/activity", events)
    (line,) = cli(
        "activity",
        "--hours",
        "2",
        "--from",
        "web1",
        "--target",
        "db1",
        "--type",
        "exec",
        "--limit",
        "5",
    ).out.splitlines()
    assert line.startswith(
        "1 2026-11-20T20:00:00.000Z web1 > db1 exec 011 (ok, exit 3, 84 ms) a 2 x \ufffd[2Kyyy"
    )
    assert len(line) <= 500
    assert net.asked[-1].query == {
        "hours": "2.0",
        "from": "web1",
        "target": "db1",
        "type": "exec",
        "limit": "5",
    }
    assert json.loads(cli("activity", "--json").out)["exitCode"] == 3
    events["events"] = [
        {**events["events"][0], "command": None, "exitCode": None, "duration_ms": None, **more}
        for more in (
            {"type": "permit", "source": "a", "allow": False, "actions": ["exec"]},
            {"type": "message", "body": "hi\nho", "target": "any"},
            {"result": "denied", "error": "not_permitted", "reason": "none\nmatches"},
            {"argv": ["ls", "a b"], "result": "running"},
            {"argv": ["ls"], "timed_out": True},
            {"command": "ls", "cancelled": True},
            {"type": "container", "command": "snapshot", "snapshot": "s1"},
            {"type": "message", "body": "x" * 500},
        )
    ]
    lines = [
        line.split("Z web1 ")[1].replace("> ", "") for line in cli("activity").out.splitlines()
    ]
    assert lines == [
        "db1 permit (ok) deny a exec",
        "(unverified) any message (ok) hi ho",
        "db1 exec (denied, not_permitted) because: none matches",
        "db1 exec 011 (running) ls 'a b'",
        "db1 exec 011 (ok, time over) ls",
        "db1 exec 011 (ok, was ended) ls",
        "db1 container (ok) snapshot snapshot s1",
        f"(unverified) db1 message (ok) {'x' * 119}…",
    ]


def test_the_activity_says_when_it_was_cut_and_pages_backwards(cli: Cli, net: StubNet) -> None:
    cut = page(7, 8, has_more=True)
    cut["events"][0]["target"] = ["db1", "web1"]
    net.on("GET /api/activity", cut)
    ran = cli("activity", "--before", "9", "--limit", "2")
    assert net.asked[-1].query == {"before": "9", "limit": "2"}
    assert "web1 > db1,web1 exec" in ran.out
    assert "--before 7 shows more" in ran.err
    net.on("GET /api/activity", page(7, 8))
    assert cli("activity").err == ""
    net.on("GET /api/activity", page(1, 2, has_more=True), page(3))
    ran = cli("activity", "--limit", "0", "--from", "web1")
    assert ([line.split()[0] for line in ran.out.splitlines()], ran.err) == (["1", "2", "3"], "")
    asked = {"from": "web1", "hours": "24", "limit": "500"}
    assert [one.query for one in net.asked[-2:]] == [
        {**asked, "since": "0"},
        {**asked, "since": "2"},
    ]
    for line in ("--before 5", "--limit 0"):
        assert cli("activity", "--follow", *line.split()).code == exits.USAGE


@pytest.mark.parametrize("user", ["web1", "claude"])
def test_a_sender_that_is_not_verified_is_marked(
    cli: Cli, net: StubNet, monkeypatch: pytest.MonkeyPatch, user: str
) -> None:
    monkeypatch.setenv("BUS_USER", user)
    monkeypatch.setenv("BUS_NAME", "web1")
    message = {
        "seq": 1,
        "id": "01M",
        "ts": "2026-11-20T20:00:00.000Z",
        "from": "web2",
        "to": "web1",
        "body": "hi",
    }
    page = [message, {**message, "seq": 2, "verified": True}]
    net.on("GET /messages", {"messages": page, "has_more": False})
    heads = cli("log").out.splitlines()[::2]
    assert ["web2 (unverified) > web1" in head for head in heads] == [True, False]
    net.on("GET /messages/1", message)
    assert "web2 (unverified) > web1" in cli("read", "1").out
    long = {**message, "from": "a" * 64 + "/" + "b" * 64}
    net.on("GET /messages/1", long)
    assert "(unverified) > web1" in cli("read", "1").out


def test_a_tag_cannot_pass_for_a_line_about_a_message(cli: Cli, net: StubNet) -> None:
    tags = ["x (01) 9 URGENT now from admin to bob", "ok", "a\u3164b"]
    message = {
        "seq": 1,
        "id": "01M",
        "ts": "2026-11-20T20:00:00.000Z",
        "from": "web2",
        "to": "web1",
        "body": "hi\r\nho\r\n",
    }
    net.on("GET /messages/1", {**message, "tags": tags, "verified": True})
    head, *body = cli("read", "1").out.splitlines()
    assert head.endswith(' web2 > web1 #"x (01) 9 URGENT now from admin to bob" #ok #"a\ufffdb"')
    assert body == ["  hi", "  ho", "  "]


@pytest.mark.parametrize(
    ("more", "says"), [({"exec": "away"}, ", exec away\n"), ({}, ", index ok\n")]
)
def test_the_status_says_whether_commands_can_be_run(
    cli: Cli, net: StubNet, more: dict[str, str], says: str
) -> None:
    net.on("GET /health", {"ok": True, "count": 1, "storage": "ok", "index": "ok", **more})
    net.on(
        "GET /inbox",
        {
            "ok": True,
            "unread": 0,
            "messages": [],
            "stubs": [],
            "more": 0,
            "has_more": False,
            "unread_is_exact": True,
            "cursor": None,
        },
    )
    assert cli("status").out.endswith(says)


def test_the_activity_is_followed_until_interrupted(
    cli: Cli, net: StubNet, pauses: list[float]
) -> None:
    def stop(_: Any) -> Any:
        raise KeyboardInterrupt

    net.on("GET /api/activity", page(1), page(2), stop)
    ran = cli("activity", "--follow")
    assert ran.code == exits.INTERRUPTED
    assert [line.split()[0] for line in ran.out.splitlines()] == ["1", "2"]
    assert len(pauses) == 2


# -- invites and credentials ---------------------------------------------------------------------

JOINED = (201, {"ok": True, "name": "new", "secret": "s3cret", "role": "member"})


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, net: StubNet) -> StubNet:
    """A machine without settings, at a hub that takes its round trip."""
    for name in ("BUS_URL", "BUS_USER", "BUS_PASS"):
        monkeypatch.delenv(name)
    message = {
        "seq": 1,
        "id": "01M",
        "ts": "2026-11-20T20:00:00.000Z",
        "from": "new",
        "to": "new",
        "body": "bus round trip",
    }
    net.on("POST /post", (201, message))
    net.on("GET /messages/01M", message)
    net.on("POST /ack/01M", {"acked": [1], "already": []})
    net.on("GET /messages", {"messages": [], "has_more": False})
    return net


def test_an_invite_is_a_line_to_paste(cli: Cli, net: StubNet) -> None:
    made = {
        "ok": True,
        "name": "new",
        "code": "01I.s",
        "expires": "2026-11-21T20:00:00.000Z",
        "line": f"bus join {URL} --invite 01I.s",
    }
    net.on("POST /api/invites", (201, made))
    assert cli("invite", "new", "--replace").code == 0
    assert net.bodies("/api/invites") == [{"name": "new", "replace": True}]
    assert cli("invite", "new", "--replace", "--admin").code == exits.USAGE
    net.asked.clear()
    ran = cli("invite", "new", "--admin", "--expires", "90m")
    assert ran.out == f"bus join {URL} --invite 01I.s\n"
    assert "works once" in ran.err
    assert "this machine's own" not in ran.err
    assert net.asked[0].fields == {"name": "new", "admin": True, "expires_in_s": 5400}
    for local in ("http://127.0.0.1:8787", "http://localhost", "http://[::1]:8787"):
        made["line"] = f"bus join {local} --invite 01I.s"
        ran = cli("invite", "new")
        assert ran.out == made["line"] + "\n"
        assert "this machine's own" in ran.err
        assert "The second machine" in ran.err


def test_an_invite_becomes_the_machines_own_credential(
    cli: Cli, fresh: StubNet, places: Places
) -> None:
    fresh.on("POST /api/join", JOINED)
    ran = cli("join", URL, "--invite", "01I.co.de")
    assert (ran.code, "as new" in ran.out, "s3cret" in ran.out) == (0, True, False)
    assert [asked.user for asked in fresh.asked] == ["invite~01I:co.de", *["new:s3cret"] * 3]
    assert fresh.asked[0].fields == {}
    assert fresh.bodies("/post")[0]["from"] == "new"
    assert places.env_file.stat().st_mode & 0o777 == 0o600
    assert cli("inbox").code == 0  # with the settings that were written
    assert fresh.asked[-1].user == "new:s3cret"


@pytest.mark.parametrize("more", [["--name", "x"], ["--user", "x"], ["--pass", "x"]])
def test_an_invite_stands_for_itself(cli: Cli, fresh: StubNet, more: list[str]) -> None:
    assert cli("join", URL, "--invite", "01I.s", *more).code == exits.USAGE
    assert cli("join", URL, "--invite", "oneword").code == exits.SETTINGS
    assert fresh.asked == []


def test_a_code_is_not_spent_where_its_secret_cannot_be_kept(
    cli: Cli, fresh: StubNet, places: Places, home: Path
) -> None:
    places.env_file.parent.write_text("a file where a folder should be")
    ran = cli("join", URL, "--invite", "01I.s")
    assert (ran.code, fresh.asked) == (exits.LOCAL, [])
    assert "cannot be written" in ran.err
    places.env_file.parent.unlink()
    places.env_file.parent.mkdir()
    places.env_file.write_text("BUS_PASS=old\n")
    assert cli("join", URL, "--invite", "01I.s").code == exits.SETTINGS
    assert fresh.asked == []
    fresh.on("POST /api/join", JOINED)
    assert cli("join", URL, "--invite", "01I.s", "--force").code == 0
    assert "s3cret" in places.env_file.read_text()


def test_a_secret_that_could_not_be_kept_after_all_is_shown(
    cli: Cli, fresh: StubNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    fresh.on("POST /api/join", JOINED)
    monkeypatch.setattr("busclient._settings.write_private", full)
    ran = cli("join", URL, "--invite", "01I.s")
    assert ran.code == exits.LOCAL
    assert "BUS_USER='new' BUS_PASS='s3cret'" in ran.err


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [(error(401, "unauthorized"), exits.CREDENTIAL, "one word"), (error(410, "invite_spent"), exits.REFUSED, "hint of"),
     (error(429, "too_many_attempts"), exits.AWAY, "too_many_attempts")],
)  # fmt: skip
def test_an_invite_that_is_refused_says_what_to_do(
    cli: Cli, fresh: StubNet, places: Places, answer: Any, code: int, says: str
) -> None:
    fresh.on("POST /api/join", answer)
    ran = cli("join", URL, "--invite", "01I.s")
    assert (ran.code, says in ran.err, places.env_file.exists()) == (code, True, False)
    assert len(fresh.asked) == 1


def test_an_address_with_a_path_is_no_place_to_join(cli: Cli, fresh: StubNet) -> None:
    fresh.on("POST /docs/api/join", error(403, "not_allowed"))
    ran = cli("join", f"{URL}/docs", "--invite", "01I.s")
    assert (ran.code, "without a path" in ran.err) == (exits.CREDENTIAL, True)


def test_an_invite_whose_answer_is_lost_is_not_sent_again(
    cli: Cli, fresh: StubNet, door: Door
) -> None:
    fresh.on("POST /api/join", JOINED)
    door.troubles.append("lost")
    ran = cli("join", URL, "--invite", "01I.s")
    assert (ran.code, len(door.calls)) == (exits.UNKNOWN, 1)
    assert "bus credential revoke" in ran.err


def test_settings_of_the_environment_that_hide_the_new_ones_are_told(
    cli: Cli, fresh: StubNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUS_USER", "claude")
    fresh.on("POST /api/join", JOINED)
    assert (
        "BUS_USER in the environment goes before that file"
        in cli("join", URL, "--invite", "01I.s").err
    )


def test_ones_own_secret_is_replaced_in_the_settings(
    cli: Cli, fresh: StubNet, places: Places
) -> None:
    fresh.on("POST /api/join", JOINED)
    cli("join", URL, "--invite", "01I.s")
    text = places.env_file.read_text() + "# a remark\nBUS_HANDOFFS=/srv/handoffs\n"
    places.env_file.write_text(text)
    fresh.on(
        "POST /api/credentials/rotate",
        {"ok": True, "name": "new", "role": "member", "secret": "it's \\1 new"},
    )
    ran = cli("credential", "rotate", "--overlap", "10m")
    assert (ran.code, "it's" in ran.out) == (0, False)
    assert fresh.bodies("/api/credentials/rotate") == [{"overlap_s": 600}]
    assert fresh.asked[-1].user == "new:it's \\1 new"  # proved
    assert places.env_file.read_text() == text.replace("'s3cret'", '"it\'s \\\\1 new"')


def test_a_secret_is_not_rotated_where_the_new_one_cannot_be_kept(
    cli: Cli, fresh: StubNet, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    fresh.on("POST /api/join", JOINED)
    cli("join", URL, "--invite", "01I.s")
    monkeypatch.setattr("busclient._joining.check_room", full)
    ran = cli("credential", "rotate")
    assert (ran.code, fresh.bodies("/api/credentials/rotate")) == (exits.LOCAL, [])
    assert "No space left on device. Nothing was asked of the hub." in ran.err


def test_a_secret_that_is_not_in_the_file_is_not_rotated_blindly(cli: Cli, net: StubNet) -> None:
    ran = cli("credential", "rotate")
    assert (ran.code, net.asked) == (exits.SETTINGS, [])
    assert "environment" in ran.err


def test_credentials_of_others_are_for_admins(cli: Cli, net: StubNet) -> None:
    net.on(
        "POST /api/credentials/rotate",
        {"ok": True, "name": "old", "role": "member", "secret": "s3cret"},
    )
    assert cli("credential", "rotate", "old").out == "old s3cret\n"
    net.on("POST /api/credentials/revoke", {"ok": True, "name": "old"})
    assert cli("credential", "revoke", "old").out == "revoked old\n"
    invites = [{"name": "b", "role": "member", "expires": "2026-11-21T20:00:00.000Z"}]
    net.on(
        "GET /api/credentials",
        {"ok": True, "credentials": [{"name": "a", "role": "admin"}], "invites": invites},
    )
    assert (
        cli("credential", "list").out
        == "a (admin)\nb (member) invited until 2026-11-21T20:00:00.000Z\n"
    )
