"""`bus.net` and `bus.admin` against a stand-in that answers as docs/net.md says: what is sent, and
what troubles become.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

import busclient
from busclient import (
    ApprovalDenied,
    ApprovalRequired,
    BadAnswer,
    Bus,
    BusError,
    Chunk,
    Conflict,
    FileChanged,
    Impossible,
    NotFound,
    NotPermitted,
    NotYourName,
    OutcomeUnknown,
    Settings,
    StillRunning,
    TargetBusy,
    TargetStopped,
    TooMany,
    Unavailable,
    UnknownTarget,
    Unreachable,
)
from tests.client.doors import URL, Door
from tests.client.stubnet import StubNet, ended, error, streamed

EXEC = "POST /api/exec"
ASKED = error(202, "approval_required", id="01Q", expires="2026-11-20T20:00:00.000Z")


@pytest.fixture
def net() -> StubNet:
    return StubNet()


@pytest.fixture
def door(net: StubNet, door_to: Callable[[Any], Door]) -> Door:
    return door_to(net)


@pytest.fixture
def web1(door: Door, pauses: list[float]) -> Bus:
    """A session of the machine web1, with a credential of its own."""
    return Bus(
        Settings(url=URL, user="web1", password="pw", name="web1/alpha"),
        transport=door,
        sleep=pauses.append,
    )


def approval(state: str, **more: Any) -> dict[str, Any]:
    facts = {
        "id": "01Q",
        "state": state,
        "from": "web1",
        "target": "db1",
        "action": "exec",
        "argv": ["bash", "-c", "id"],
        **more,
    }
    return {"ok": True, "approval": facts}


# -- commands ------------------------------------------------------------------------------------


def test_a_command_gives_its_exit_code_and_its_bytes(web1: Bus, net: StubNet) -> None:
    raw = base64.b64encode(b"\xff\0").decode()
    net.on(
        EXEC,
        ended(
            exitCode=3,
            stdout=" 20:14\n",
            stderr=raw,
            stderr_encoding="base64",
            truncated=True,
            stderr_size=9,
            leaked=1,
        ),
    )
    result = web1.net.exec("db1", "uptime")
    assert (result.id, result.exit_code, result.stdout, result.stderr) == (
        "01A",
        3,
        b" 20:14\n",
        b"\xff\0",
    )
    assert (result.text, result.error_text, result.succeeded) == (" 20:14\n", "\ufffd\0", False)
    assert (result.truncated, result.stderr_size, result.leaked, result.duration_ms) == (
        True,
        9,
        1,
        84,
    )
    (sent,) = net.bodies("/api/exec")
    assert len(sent.pop("client_id")) == 32
    assert sent == {"from": "web1/alpha", "target": "db1", "command": "uptime"}


def test_everything_that_can_be_said_of_a_command_is_sent(web1: Bus, net: StubNet) -> None:
    net.on(EXEC, ended())
    web1.net.exec(
        "db1",
        ("ls", "-l"),
        timeout_s=5,
        cwd="/srv",
        user="1000",
        env={"A": "b"},
        stdin=b"a\xff",
        key="k",
    )
    web1.net.exec("db1", ["cat"], stdin="text")
    web1.net.exec("db1", ["cat"], stdin=b"nul\0")
    first, second, third = net.bodies("/api/exec")
    assert first == {
        "from": "web1/alpha", "target": "db1", "argv": ["ls", "-l"], "timeout_s": 5, "cwd": "/srv",
        "user": "1000",
        "env": {"A": "b"}, "stdin": "Yf8=", "stdin_encoding": "base64", "client_id": "k",
    }  # fmt: skip
    assert (second["stdin"], second["stdin_encoding"]) == ("text", "utf-8")
    assert (third["stdin"], third["stdin_encoding"]) == (
        "bnVsAA==",
        "base64",
    )  # strict JSON takes no NUL


def test_a_name_that_is_not_the_credentials_is_left_to_the_hub(net: StubNet, door: Door) -> None:
    net.on(EXEC, ended())
    for user, name in (("admin", "laptop1"), ("web", "web1"), ("web1", "web1")):
        Bus(Settings(url=URL, user=user, password="pw", name=name), transport=door).net.exec(
            "db1", "id"
        )
    assert [sent.get("from") for sent in net.bodies("/api/exec")] == [None, None, "web1"]


@pytest.mark.parametrize("trouble", ["away", "lost", 429, 502, 503, 504])
def test_a_command_whose_answer_is_lost_is_asked_for_again_under_its_key(
    web1: Bus, net: StubNet, door: Door, trouble: Any
) -> None:
    net.on(EXEC, ended(replayed=True))
    door.troubles.append(trouble)
    assert web1.net.exec("db1", "make install").replayed
    assert len({sent["client_id"] for sent in net.bodies("/api/exec")}) == 1
    assert len(door.calls) == 2


def test_a_first_call_that_still_runs_is_waited_for(
    web1: Bus, net: StubNet, pauses: list[float]
) -> None:
    net.on(
        EXEC,
        error(409, "still_running", id="01A"),
        error(409, "still_running", id="01A"),
        ended(stdout="x", replayed=True),
    )
    assert web1.net.exec("db1", "sleep 3").stdout == b"x"
    assert pauses == [2, 2]
    assert len({sent["client_id"] for sent in net.bodies("/api/exec")}) == 1


def test_a_first_call_that_runs_for_ever_is_given_up(
    web1: Bus, net: StubNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("busclient._net.net._GRACE_S", -1.0)
    net.on(EXEC, error(409, "still_running", id="01A"))
    with pytest.raises(StillRunning) as caught:
        web1.net.exec("db1", "sleep 3", timeout_s=1)
    assert caught.value.details["id"] == "01A"


def test_a_command_of_which_nobody_knows_how_it_ended_is_no_result(web1: Bus, net: StubNet) -> None:
    net.on(EXEC, {"ok": False, "id": "01A", "stdout": None, "stderr": None, "state": "unknown"})
    with pytest.raises(OutcomeUnknown, match="01A"):
        web1.net.exec("db1", "rm -r x")


def test_a_service_that_broke_off_is_asked_once_more_under_the_same_key(
    web1: Bus, net: StubNet, pauses: list[float]
) -> None:
    net.on(EXEC, error(502, "target_failed"), ended(stdout="done", replayed=True))
    assert web1.net.exec("db1", "x").stdout == b"done"
    net.on(EXEC, error(502, "target_failed"))
    with pytest.raises(OutcomeUnknown):
        web1.net.exec("db1", "x")
    assert len(net.asked) == 4
    keys = [sent["client_id"] for sent in net.bodies("/api/exec")]
    assert keys[0] == keys[1] != keys[2] == keys[3]


def test_a_service_that_broke_off_and_stays_away_is_not_taken_for_nothing_done(
    web1: Bus, net: StubNet
) -> None:
    net.on(EXEC, error(502, "target_failed"), error(503, "exec_unavailable"))
    with pytest.raises(OutcomeUnknown, match="target_failed"):
        web1.net.exec("db1", "x")


def test_output_that_the_hub_has_forgotten_is_told_from_none(web1: Bus, net: StubNet) -> None:
    net.on(EXEC, ended(stdout=None, stderr=None, replayed=True))
    assert not web1.net.exec("db1", "x").has_output
    net.on(EXEC, ended())
    assert web1.net.exec("db1", "x").has_output


@pytest.mark.parametrize(
    "answer",
    [{}, {"ok": True}, ended(stdout="%", stdout_encoding="base64"), ended(exitCode="x"), []],
)
def test_an_answer_that_is_no_result_is_told(web1: Bus, net: StubNet, answer: Any) -> None:
    net.on(EXEC, (200, answer))
    with pytest.raises(BadAnswer):
        web1.net.exec("db1", "x")


def test_a_detached_command_is_asked_for_until_it_has_ended(web1: Bus, net: StubNet) -> None:
    net.on(EXEC, (202, {"ok": True, "id": "01A", "state": "running"}))
    about = {"type": "exec", "from": "web1", "target": "db1", "asked": "2026-11-20T20:00:00.000Z"}
    running = {"ok": True, "id": "01A", "state": "running", **about}
    net.on(
        "GET /api/exec/01A",
        running,
        running,
        {**ended(exitCode=7, stdout="out"), **about, "state": "done"},
    )
    assert web1.net.exec_detached("db1", "make") == "01A"
    assert net.bodies("/api/exec")[0]["detach"] is True
    call = web1.net.call("01A")
    assert (call.state, call.result, call.sender, call.target) == ("running", None, "web1", "db1")
    call = web1.net.wait_for_call("01A", 60)
    assert call.result is not None
    assert (call.state, call.result.exit_code, call.result.stdout) == ("done", 7, b"out")


def test_a_call_that_failed_is_a_state_and_no_error_of_the_question(
    web1: Bus, net: StubNet
) -> None:
    net.on(
        "GET /api/exec/01A",
        {
            "ok": False,
            "id": "01A",
            "state": "error",
            "error": "no_such_program",
            "message": "no bash",
        },
    )
    call = web1.net.call("01A")
    assert (call.state, call.raw["error"]) == ("error", "no_such_program")


def test_ending_a_call(web1: Bus, net: StubNet) -> None:
    net.on(
        "DELETE /api/exec/01A",
        {"ok": True, "id": "01A", "ended": True},
        {"ok": True, "id": "01A", "ended": False},
    )
    assert web1.net.end_call("01A") is True
    assert web1.net.end_call("01A") is False


# -- streams -------------------------------------------------------------------------------------


def test_output_comes_in_order_and_then_the_result(web1: Bus, net: StubNet) -> None:
    half = base64.b64encode(b"\xc3").decode()
    net.on(
        EXEC,
        streamed(
            {"stdout": "a"},
            {"stderr": "b"},
            {"stdout": half, "encoding": "base64"},
            exitCode=4,
            stdout_size=2,
        ),
    )
    with web1.net.exec_stream("db1", ["x"]) as running:
        assert running.id == "01A"
        with pytest.raises(RuntimeError):
            _ = running.result
        assert list(running) == [
            Chunk("stdout", b"a"),
            Chunk("stderr", b"b"),
            Chunk("stdout", b"\xc3"),
        ]
    assert (running.result.exit_code, running.result.stdout_size, running.result.has_output) == (
        4,
        2,
        False,
    )
    assert net.bodies("/api/exec")[0]["stream"] is True
    assert net.hung_up == 0


def test_leaving_early_hangs_up(web1: Bus, net: StubNet) -> None:
    net.on(EXEC, streamed(*[{"stdout": "y\n"}] * 1000))
    with web1.net.exec_stream("db1", "yes") as running:
        next(iter(running))
    assert net.hung_up == 1


@pytest.mark.parametrize("trouble", ["away", "lost", 503])
def test_a_stream_that_does_not_begin_is_asked_for_again_under_its_key(
    web1: Bus, net: StubNet, door: Door, trouble: Any
) -> None:
    net.on(EXEC, streamed({"stdout": "x"}))
    door.troubles.append(trouble)
    with web1.net.exec_stream("db1", "x") as running:
        assert b"".join(chunk.data for chunk in running) == b"x"
    assert len({sent["client_id"] for sent in net.bodies("/api/exec")}) == 1
    assert len(door.calls) == 2


def test_a_stream_that_breaks_is_completed_from_what_the_hub_keeps(web1: Bus, net: StubNet) -> None:
    net.on(
        EXEC,
        [
            {"id": "01A", "state": "running"},
            {"stdout": "ab"},
            {"stderr": "x"},
            ConnectionResetError("cut"),
        ],
    )
    running = {"ok": True, "id": "01A", "state": "running"}
    net.on(
        "GET /api/exec/01A",
        running,
        {**ended(exitCode=5, stdout="abcd", stderr="x"), "state": "done"},
    )
    with web1.net.exec_stream("db1", "x") as stream:
        assert list(stream) == [
            Chunk("stdout", b"ab"),
            Chunk("stderr", b"x"),
            Chunk("stdout", b"cd"),
        ]
    assert stream.result.exit_code == 5
    assert len(net.bodies("/api/exec")) == 1


def test_a_stream_that_a_stopping_hub_let_go_is_followed_to_its_end(
    web1: Bus, net: StubNet
) -> None:
    stopping = {"error": error(503, "hub_stopping")[1], "status": 503}
    net.on(EXEC, [{"id": "01A", "state": "running"}, {"stdout": "ab"}, stopping])
    running = {"ok": True, "id": "01A", "state": "running"}
    net.on(
        "GET /api/exec/01A", running, running, {**ended(exitCode=5, stdout="abcd"), "state": "done"}
    )
    with web1.net.exec_stream("db1", "x") as stream:
        assert list(stream) == [Chunk("stdout", b"ab"), Chunk("stdout", b"cd")]
    assert stream.result.exit_code == 5


@pytest.mark.parametrize("leaked", [0, 3, None])
def test_what_could_not_be_ended_is_told_also_where_nobody_knows(
    web1: Bus, net: StubNet, leaked: int | None
) -> None:
    net.on(EXEC, ended(exitCode=None, timed_out=True, leaked=leaked))
    assert web1.net.exec("db1", "x").leaked == leaked


@pytest.mark.parametrize(
    "state",
    [
        {"ok": False, "state": "unknown"},
        {"ok": False, "state": "error", "error": "target_failed"},
        error(404, "no_such_call"),
    ],
)
def test_a_stream_that_breaks_without_an_end_says_that_nobody_knows(
    web1: Bus, net: StubNet, state: Any
) -> None:
    net.on(EXEC, [{"id": "01A", "state": "running"}, {"stdout": "ab"}])
    net.on("GET /api/exec/01A", state if isinstance(state, tuple) else {"id": "01A", **state})
    with web1.net.exec_stream("db1", "x") as stream:
        chunks = iter(stream)
        assert next(chunks) == Chunk("stdout", b"ab")
        with pytest.raises(OutcomeUnknown, match="01A"):
            next(chunks)


def test_the_stored_answer_of_a_stream_is_told_with_its_output(web1: Bus, net: StubNet) -> None:
    net.on(EXEC, [{"result": {**ended(stdout="out", stderr="err"), "replayed": True}}])
    with web1.net.exec_stream("db1", "x", key="k") as running:
        assert list(running) == [Chunk("stdout", b"out"), Chunk("stderr", b"err")]
    assert running.result.replayed
    net.on(EXEC, ended(stdout="as plain JSON", replayed=True))
    with web1.net.exec_stream("db1", "x", key="k") as running:
        assert list(running) == [Chunk("stdout", b"as plain JSON")]


@pytest.mark.parametrize("nested", [False, True])
def test_an_error_in_a_stream_is_raised(web1: Bus, net: StubNet, nested: bool) -> None:
    fields = error(409, "target_stopped")[1]
    net.on(
        EXEC,
        [
            {"id": "01A", "state": "running"},
            {"error": fields, "status": 409} if nested else {**fields, "status": 409},
        ],
    )
    with pytest.raises(TargetStopped), web1.net.exec_stream("db1", "x") as running:
        list(running)


@pytest.mark.parametrize("status", [502, 503])
def test_the_last_word_of_a_stream_is_raised_as_it_is(web1: Bus, net: StubNet, status: int) -> None:
    code, kind = {502: ("target_failed", OutcomeUnknown), 503: ("driver_unavailable", Unavailable)}[
        status
    ]
    net.on(
        EXEC,
        [{"id": "01A", "state": "running"}, {"error": error(status, code)[1], "status": status}],
    )
    net.on(
        "GET /api/exec/01A",
        {"ok": False, "id": "01A", "state": "error", "error": code, "message": "another"},
    )
    with pytest.raises(kind) as caught, web1.net.exec_stream("db1", "x") as running:
        list(running)
    assert (caught.value.message, caught.value.hint) == (f"this is {code}", f"hint of {code}")


def test_a_target_that_failed_is_told_so_when_the_hub_is_gone_too(web1: Bus, net: StubNet) -> None:
    net.on(
        EXEC,
        [
            {"id": "01A", "state": "running"},
            {"error": error(502, "target_failed")[1], "status": 502},
        ],
    )
    net.on("GET /api/exec/01A", error(404, "no_such_call"))
    with (
        pytest.raises(OutcomeUnknown, match="this is target_failed"),
        web1.net.exec_stream("db1", "x") as running,
    ):
        list(running)


def test_a_broken_stream_of_a_call_that_failed_gives_its_error(web1: Bus, net: StubNet) -> None:
    net.on(EXEC, [{"id": "01A", "state": "running"}, ConnectionResetError("cut")])
    facts = {
        "ok": False,
        "id": "01A",
        "state": "error",
        "error": "driver_unavailable",
        "message": "no host key",
        "hint": "mend it",
    }
    net.on("GET /api/exec/01A", facts)
    with (
        pytest.raises(Unavailable, match="no host key") as caught,
        web1.net.exec_stream("db1", "x") as running,
    ):
        list(running)
    assert (caught.value.code, caught.value.hint) == ("driver_unavailable", "mend it")


@pytest.mark.parametrize(
    ("code", "calls"),
    [
        ("driver_unavailable", 1),
        ("exec_unavailable", 2),
        ("unavailable", 4),
        ("too_many_questions", 1),
    ],
)
def test_what_only_a_person_can_mend_is_not_waited_for(
    web1: Bus, net: StubNet, pauses: list[float], code: str, calls: int
) -> None:
    net.on(EXEC, error(429 if code == "too_many_questions" else 503, code))
    with pytest.raises(Unavailable):
        web1.net.exec("db1", "x")
    assert len(net.asked) == calls
    assert code == "unavailable" or sum(pauses) <= 2


def test_a_busy_target_is_waited_for_a_minute(web1: Bus, net: StubNet, pauses: list[float]) -> None:
    net.on(EXEC, error(409, "target_busy"), error(409, "target_busy"), ended(exitCode=7))
    assert web1.net.exec("db1", "x").exit_code == 7
    assert len({sent["client_id"] for sent in net.bodies("/api/exec")}) == 1
    net.on(EXEC, error(409, "target_busy"))
    for call in (web1.net.exec, web1.net.exec_stream):
        pauses.clear()
        net.asked.clear()
        with pytest.raises(TargetBusy) as caught:
            call("db1", "x")
        assert "bus container start" in caught.value.hint
        assert sum(pauses) <= 60
        assert pauses == sorted(pauses)
        assert len(net.asked) < 10, "each attempt is on record"


def test_a_change_of_a_container_whose_turn_did_not_come_is_told_as_such(
    web1: Bus, net: StubNet
) -> None:
    net.on("POST /api/container/stop", (202, {"ok": True, "id": "01C", "state": "running"}))
    net.on(
        "GET /api/container/01C", {**error(409, "target_busy")[1], "id": "01C", "state": "error"}
    )
    with pytest.raises(TargetBusy):
        web1.admin.container("stop", "db1")


def test_large_text_goes_the_way_that_is_shorter(web1: Bus, net: StubNet) -> None:
    net.on(EXEC, ended())
    for text in ("é" * 800_000, "e" * 1_600_000, "é"):
        web1.net.exec("db1", ["cat"], stdin=text)
    assert [sent["stdin_encoding"] for sent in net.bodies("/api/exec")] == [
        "base64",
        "utf-8",
        "utf-8",
    ]


@pytest.mark.parametrize(
    ("answer", "says"),
    [(error(403, "not_permitted"), "bus permit"), (error(409, "target_stopped"),
                                                   "bus container start"),
     (error(422, "no_such_folder"), "--create-dirs"), (error(403, "not_allowed", role="shared"),
                                                       "data/admin.env"),
     (error(403, "not_allowed", role="member"), "hint of not_allowed")],
)  # fmt: skip
def test_hints_are_in_terms_of_this_client(web1: Bus, net: StubNet, answer: Any, says: str) -> None:
    net.on(EXEC, answer)
    with pytest.raises(BusError) as caught:
        web1.net.exec("db1", "x")
    assert says in caught.value.hint


def test_a_stream_that_is_refused_is_raised_at_once(web1: Bus, net: StubNet) -> None:
    net.on(EXEC, error(403, "not_permitted"))
    with pytest.raises(NotPermitted):
        web1.net.exec_stream("db1", "x")
    net.on(EXEC, ASKED)
    with pytest.raises(ApprovalRequired):
        web1.net.exec_stream("db1", "x")


@pytest.mark.parametrize(
    "lines", [[], ["text"], [{"state": "running"}], [{"id": "01A", "state": "running"}, [1]]]
)
def test_a_stream_that_is_none_is_told(web1: Bus, net: StubNet, lines: list[Any]) -> None:
    net.on(EXEC, lines)
    net.on("GET /api/exec/01A", error(404, "no_such_call"))
    with pytest.raises((BadAnswer, OutcomeUnknown)), web1.net.exec_stream("db1", "x") as running:
        list(running)


# -- approvals -----------------------------------------------------------------------------------


def test_a_question_to_an_admin_is_no_success(web1: Bus, net: StubNet) -> None:
    net.on(EXEC, ASKED)
    with pytest.raises(ApprovalRequired) as caught:
        web1.net.exec("db1", "id")
    assert (caught.value.id, caught.value.expires, caught.value.status) == (
        "01Q",
        "2026-11-20T20:00:00.000Z",
        202,
    )
    assert "bus approve 01Q" in caught.value.hint
    assert len(net.asked) == 1


def test_a_yes_is_waited_for_and_then_the_same_call_is_made(web1: Bus, net: StubNet) -> None:
    net.on(EXEC, ASKED, ended(stdout="root"))
    net.on("GET /api/approvals/01Q", approval("pending"), approval("pending"), approval("allowed"))
    assert web1.net.exec("db1", "id", wait_for_approval_s=300).stdout == b"root"
    first, second = net.bodies("/api/exec")
    assert first == second
    waits = [
        float(asked.query["wait"]) for asked in net.asked if asked.path == "/api/approvals/01Q"
    ]
    assert len(waits) == 3
    assert all(0 < wait <= 60 for wait in waits)


def test_a_no_and_a_silence_are_told_apart(web1: Bus, net: StubNet) -> None:
    net.on(EXEC, ASKED)
    net.on("GET /api/approvals/01Q", approval("denied"))
    with pytest.raises(ApprovalDenied):
        web1.net.exec("db1", "id", wait_for_approval_s=300)
    net.on("GET /api/approvals/01Q", approval("expired"))
    with pytest.raises(ApprovalRequired):
        web1.net.exec("db1", "id", wait_for_approval_s=300)
    net.on("GET /api/approvals/01Q", approval("pending"))
    with pytest.raises(ApprovalRequired):
        web1.net.exec("db1", "id", wait_for_approval_s=0.01)


def test_answering_questions(web1: Bus, net: StubNet) -> None:
    net.on("POST /api/approvals/01Q", approval("allowed"))
    net.on("GET /api/approvals/01Q", approval("allowed"))
    assert web1.admin.approve("01Q", expires_in_s=60).state == "allowed"
    assert net.bodies("/api/approvals/01Q")[0] == {"allow": True, "expires_in_s": 60}
    net.on("POST /api/approvals/01Q", error(409, "approval_closed", state="allowed"))
    assert web1.admin.approve("01Q").state == "allowed"  # as after an answer that was lost
    with pytest.raises(Conflict):
        web1.admin.approve("01Q", False)
    net.on("GET /api/approvals", {"ok": True, "approvals": [approval("pending")["approval"]]})
    (question,) = web1.net.approvals(state="pending")
    assert (question.argv, question.action) == (("bash", "-c", "id"), "exec")
    assert net.asked[-1].query == {"state": "pending"}


# -- files ---------------------------------------------------------------------------------------

FACTS = {"ok": True, "id": "01F", "size": 4, "sha256": "9f86", "mode": "0644", "uid": 0, "gid": 0}


def test_files_are_bytes_in_both_directions(web1: Bus, net: StubNet) -> None:
    net.on("POST /api/file/read", {**FACTS, "content": "AP8=", "encoding": "base64", "offset": 1})
    found = web1.net.read_file("db1", "/bin/x", offset=1, limit=2)
    assert (found.content, found.offset, found.size, found.sha256, found.mode, found.path) == (
        b"\0\xff",
        1,
        4,
        "9f86",
        "0644",
        "/bin/x",
    )
    assert net.bodies("/api/file/read") == [
        {"from": "web1/alpha", "target": "db1", "path": "/bin/x", "offset": 1, "limit": 2}
    ]
    net.on("POST /api/file/write", FACTS)
    web1.net.write_file("db1", "/x", b"\0\xff")
    done = web1.net.write_file(
        "db1", "/x", "é\n", mode="0600", uid=0, gid=5, create_dirs=True, if_sha256="", key="k"
    )
    assert done.sha256 == "9f86"
    first, second = net.bodies("/api/file/write")
    assert len(first.pop("client_id")) == 32
    assert first == {
        "from": "web1/alpha",
        "target": "db1",
        "path": "/x",
        "content": "AP8=",
        "encoding": "base64",
    }
    assert second == {
        "from": "web1/alpha", "target": "db1", "path": "/x", "content": "é\n", "encoding": "utf-8",
        "client_id": "k",
        "mode": "0600", "uid": 0, "gid": 5, "create_dirs": True, "if_sha256": "",
    }  # fmt: skip


def test_a_write_whose_answer_is_lost_is_made_once(web1: Bus, net: StubNet, door: Door) -> None:
    net.on("POST /api/file/write", FACTS)
    door.troubles.append("lost")
    web1.net.write_file("db1", "/x", "y")
    first, second = net.bodies("/api/file/write")
    assert first == second


# -- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [(403, "not_permitted", NotPermitted), (403, "not_allowed", busclient.Forbidden),
     (403, "approval_denied", ApprovalDenied),
     (404, "unknown_target", UnknownTarget), (404, "no_such_file", NotFound),
     (409, "target_stopped", TargetStopped),
     (409, "target_busy", TargetBusy),
     (409, "file_changed", FileChanged), (422, "no_such_program", Impossible),
     (429, "too_many_running", TooMany),
     (503, "exec_unavailable", Unavailable), (409, "newer_than_this_client", Conflict),
     (403, "newer", busclient.Forbidden),
     (422, "newer", busclient.Refused), (202, "newer", busclient.Refused),
     (500, "newer", busclient.HubFailed)],
)  # fmt: skip
def test_what_the_hub_says_becomes_an_error_of_its_kind(
    web1: Bus, net: StubNet, status: int, code: str, kind: type[BusError]
) -> None:
    net.on(EXEC, error(status, code, rule=None))
    with pytest.raises(kind) as caught:
        web1.net.exec("db1", "x")
    assert type(caught.value) is kind
    assert (caught.value.code, caught.value.details["rule"]) == (code, None)


def test_a_name_of_somebody_else_is_answered_with_advice_for_this_client(
    web1: Bus, net: StubNet
) -> None:
    net.on("POST /post", error(403, "not_your_name"))
    with pytest.raises(NotYourName) as caught:
        web1.post("x", to="bob")
    assert "BUS_NAME" in caught.value.hint


# -- admins, and looking -------------------------------------------------------------------------

RULE = {
    "source": "web1",
    "target": "db1",
    "allow": True,
    "by": "admin",
    "granted": "2026-11-20T20:00:00.000Z",
}


def test_permissions_are_given_taken_and_looked_at(web1: Bus, net: StubNet) -> None:
    net.on(
        "POST /api/permit",
        {"ok": True, "permission": {**RULE, "actions": ["exec"], "commands": [["git", "status"]]}},
    )
    rule = web1.admin.permit(
        "web1",
        "db1",
        actions=["exec"],
        commands=["git status"],
        needs_approval=True,
        expires_in_s=7200,
    )
    assert (rule.actions, rule.commands, rule.allow) == (("exec",), (("git", "status"),), True)
    web1.admin.permit("*", "db1")
    web1.admin.revoke("web1", "db1", actions=["file_read"])
    me = {"from": "web1/alpha"}
    assert net.bodies("/api/permit") == [
        {**me, "source": "web1", "target": "db1", "allow": True, "actions": ["exec"],
         "commands": ["git status"],
         "approval": "required", "expires_in_s": 7200},
        {**me, "source": "*", "target": "db1", "allow": True},
        {**me, "source": "web1", "target": "db1", "allow": False, "actions": ["file_read"]},
    ]  # fmt: skip
    net.on(
        "GET /api/permissions",
        {"ok": True, "permissions": [{**RULE, "action": "exec", "approval": "required"}]},
    )
    (rule,) = web1.net.permissions(target="db1")
    assert (rule.actions, rule.needs_approval) == (("exec",), True)
    net.on(
        "GET /api/permissions/check",
        {"ok": True, "allowed": False, "reason": "none matches", "rule": None},
    )
    assert web1.net.check_permission("db1", "exec", command="id") == (False, "none matches", None)
    assert net.asked[-1].query == {"target": "db1", "action": "exec", "command": "id"}


def test_a_container_that_takes_long_is_waited_for(web1: Bus, net: StubNet) -> None:
    running = {"ok": True, "id": "01C", "name": "db1", "state": "running"}
    net.on("POST /api/container/restore", (202, running))
    net.on(
        "GET /api/container/01C",
        running,
        {**running, "state": "done", "changed": True, "saved": "auto-1"},
    )
    done = web1.admin.container("restore", "db1", snapshot="before")
    assert (done.changed, done.saved, done.snapshot) == (True, "auto-1", None)
    net.on("POST /api/container/stop", {**running, "state": "done", "changed": False})
    assert not web1.admin.container(
        "stop", "db1", force=True, timeout_s=5, snapshot_first=False
    ).changed
    (restore,), (stop,) = net.bodies("/api/container/restore"), net.bodies("/api/container/stop")
    assert restore == {
        "from": "web1/alpha",
        "name": "db1",
        "snapshot": "before",
        "client_id": restore["client_id"],
    }
    assert stop == {
        "from": "web1/alpha", "name": "db1", "force": True, "timeout_s": 5, "snapshot_first": False,
        "client_id": stop["client_id"],
    }  # fmt: skip


@pytest.mark.parametrize("state", ["error", "unknown"])
def test_a_container_that_fails_later_is_no_success(web1: Bus, net: StubNet, state: str) -> None:
    net.on(
        "POST /api/container/start",
        (202, {"ok": True, "id": "01C", "name": "db1", "state": "running"}),
    )
    net.on(
        "GET /api/container/01C",
        {"ok": False, "id": "01C", "state": state, "message": "LXD says no"},
    )
    with pytest.raises(OutcomeUnknown, match="LXD says no"):
        web1.admin.container("start", "db1")


def test_containers_and_machines_are_listed(web1: Bus, net: StubNet) -> None:
    fields = {
        "name": "db1",
        "driver": "lxc",
        "state": "running",
        "addresses": ["10.0.3.7"],
        "snapshots": ["s"],
    }
    net.on(
        "GET /api/containers",
        {"ok": True, "containers": [fields], "unavailable": {"ssh": "no table"}},
    )
    found, unavailable = web1.admin.containers()
    assert (found[0].name, found[0].addresses, unavailable) == (
        "db1",
        ("10.0.3.7",),
        {"ssh": "no table"},
    )
    net.on(
        "GET /api/machines",
        {
            "ok": True,
            "machines": [{"name": "m", "kind": "machine", "driver": None, "online": None}],
        },
    )
    (machine,), unavailable = web1.net.machines()
    assert (machine.driver, machine.online, unavailable) == (None, None, {})


def event(seq: int, **more: Any) -> dict[str, Any]:
    return {
        "seq": seq,
        "id": f"01{seq}",
        "time": "2026-11-20T20:00:00.000Z",
        "from": "web1",
        "type": "exec",
        "target": "db1",
        **more,
    }


def page(*seqs: int, has_more: bool = False, next: int = 0) -> dict[str, Any]:
    return {
        "ok": True,
        "events": [event(seq) for seq in seqs],
        "has_more": has_more,
        "next": next or seqs[-1],
    }


def test_the_activity_is_followed_over_breaks_without_gap_or_repeat(
    web1: Bus, net: StubNet, door: Door, pauses: list[float]
) -> None:
    net.on("GET /api/activity", page(1, 2, has_more=True), page(3, has_more=True), page(4), page(5))
    events = web1.net.follow_activity(sender="web1", limit=2)
    assert [next(events).seq for _ in range(4)] == [1, 2, 3, 4]
    assert pauses == [2.0]  # one before the first new page; none while there is more
    door.troubles.extend(["away"] * 4)
    assert next(events).seq == 5
    assert [asked.query.get("since") for asked in net.asked] == [None, "2", "3", "4"]
    assert all(asked.query["from"] == "web1" for asked in net.asked)


def test_a_first_look_at_the_activity_that_fails_is_told(
    web1: Bus, net: StubNet, door: Door
) -> None:
    door.troubles.extend(["away"] * 4)
    with pytest.raises(Unreachable):
        next(web1.net.follow_activity())


# -- credentials ---------------------------------------------------------------------------------


def test_credentials_are_made_rotated_and_revoked(web1: Bus, net: StubNet) -> None:
    line = "bus join http://hub.test --invite 01I.s3cret"
    made = {
        "ok": True,
        "name": "new",
        "code": "01I.s3cret",
        "expires": "2026-11-21T20:00:00.000Z",
        "line": line,
    }
    net.on("POST /api/invites", (201, made))
    invite = web1.admin.invite("new", admin=True, expires_in_s=60)
    assert (invite.code, invite.line) == ("01I.s3cret", line)
    assert "s3cret" not in repr(invite)
    net.on(
        "POST /api/credentials",
        (201, {"ok": True, "name": "new", "secret": "s3cret", "role": "member"}),
    )
    assert "s3cret" not in repr(web1.admin.add_credential("new"))
    net.on("POST /api/credentials/rotate", {"ok": True, "name": "web1", "secret": "s3cret"})
    assert web1.admin.rotate(overlap_s=5).secret == "s3cret"
    net.on("POST /api/credentials/revoke", {"ok": True, "name": "new"})
    web1.admin.revoke_credential("new")
    net.on(
        "GET /api/credentials",
        {"ok": True, "credentials": [{"name": "a"}], "invites": [{"name": "b"}]},
    )
    assert (web1.admin.credentials(), web1.admin.invites()) == ([{"name": "a"}], [{"name": "b"}])
    assert [asked.fields for asked in net.asked if asked.method == "POST"] == [
        {"name": "new", "admin": True, "expires_in_s": 60}, {"name": "new"}, {"overlap_s": 5},
        {"name": "new"}
    ]  # fmt: skip


def test_what_would_make_a_second_secret_is_not_repeated(
    web1: Bus, net: StubNet, door: Door
) -> None:
    net.on("POST /api/credentials/rotate", {"ok": True, "name": "web1", "secret": "s"})
    door.troubles.append("lost")
    with pytest.raises(OutcomeUnknown):
        web1.admin.rotate()
    assert len(door.calls) == 1
    door.troubles.append("away")
    with pytest.raises(Unreachable):
        web1.admin.rotate()
