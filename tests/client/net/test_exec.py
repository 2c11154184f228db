"""`bus.net.exec` and its streams against a stand-in that answers as docs/net.md says."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from busclient import (
    ApprovalRequired,
    BadAnswer,
    Bus,
    BusError,
    Chunk,
    NotPermitted,
    OutcomeUnknown,
    Settings,
    StillRunning,
    TargetBusy,
    TargetStopped,
    Unavailable,
)
from tests.client.doors import URL, Door
from tests.client.stubnet import (
    ASKED,
    EXEC,
    StubNet,
    ended,
    error,
    streamed,
)


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
