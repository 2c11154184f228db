"""POST /api/exec in all its forms, over a target that is a folder."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bus.errors import NoSuchCall
from bus.runner.client import RunnerClient
from tests.conftest import basic
from tests.fleet import SECRET, Fleet, a_fleet, as_base64, is_gone, wait_until
from tests.web.conftest import refusal


@pytest.fixture
def allowed(fleet: Fleet) -> Fleet:
    """web1 may do everything on box."""
    fleet.permit()
    return fleet


def lines_of(reply: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in reply.get_data().splitlines() if line.strip()]


# -- running -------------------------------------------------------------------------------------


def test_the_answer_has_what_the_command_gave(allowed: Fleet) -> None:
    reply = allowed.web1.exec("echo out; echo err >&2; exit 7")
    assert reply.status_code == 200
    answer = reply.json
    assert (answer["ok"], answer["exitCode"], answer["stdout"], answer["stderr"]) == (
        True,
        7,
        "out\n",
        "err\n",
    )
    assert (
        answer["truncated"],
        answer["timed_out"],
        answer["stdout_size"],
        answer["stderr_size"],
    ) == (False, False, 4, 4)
    assert len(answer["id"]) == 26
    assert answer["duration_ms"] >= 0


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"argv": ["printf", "%s|", "a b", "$HOME", "; id", "--", "-c"]}, "a b|$HOME|; id|--|-c|"),
        ({"command": "cat", "stdin": "to be read\n"}, "to be read\n"),
        ({"command": "cat", "stdin": "AAH/", "stdin_encoding": "base64"}, "AAH/"),
        ({"command": 'printf "$WORD"', "env": {"WORD": "a b;$(id)"}}, "a b;$(id)"),
        ({"command": "pwd", "cwd": "/sub"}, "/sub\n"),
        ({"command": "printf 'a\\0b'"}, "a\0b"),
    ],
)
def test_the_fields_of_a_command(allowed: Fleet, fields: dict[str, Any], expected: str) -> None:
    (allowed.folder / "box" / "sub").mkdir()
    answer = allowed.web1.exec(**fields).json
    assert answer["exitCode"] == 0, answer
    assert answer["stdout"] == expected or answer["stdout"].endswith(expected)


def test_bytes_that_are_no_text_come_as_base64(allowed: Fleet) -> None:
    answer = allowed.web1.exec("printf '\\377\\376'; echo text >&2").json
    assert (answer["stdout"], answer["stdout_encoding"]) == (as_base64(b"\xff\xfe"), "base64")
    assert (answer["stderr"], answer["stderr_encoding"]) == ("text\n", "utf-8")


def test_output_past_the_cap_is_cut_between_characters_and_its_size_told(tmp_path: Path) -> None:
    with a_fleet(tmp_path, exec_max_output=1024) as fleet:
        fleet.permit()
        answer = fleet.web1.exec(
            "printf a; for i in $(seq 1000); do printf '\\303\\244'; done"
        ).json
    assert (answer["truncated"], answer["stdout_size"], answer["stdout_encoding"]) == (
        True,
        2001,
        "utf-8",
    )
    assert answer["stdout"] == "a" + "ä" * 511


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_that_something_was_cut_is_told_of_either_stream(tmp_path: Path, stream: str) -> None:
    with a_fleet(tmp_path, exec_max_output=1024) as fleet:
        fleet.permit()
        answer = fleet.web1.exec(f"printf %2000s >/dev/{stream}").json
    assert (answer["truncated"], answer[f"{stream}_size"], len(answer[stream])) == (
        True,
        2000,
        1024,
    )


def test_a_command_that_takes_too_long_is_ended_with_all_it_started(allowed: Fleet) -> None:
    answer = allowed.web1.exec("echo $$; sleep 300 & echo $!; wait", timeout_s=0.6).json
    assert (answer["ok"], answer["timed_out"], answer["exitCode"]) == (True, True, None)
    for pid in map(int, answer["stdout"].split()):
        wait_until(lambda pid=pid: is_gone(pid))
    event = allowed.web1.events("type=exec")[-1]
    assert (event["result"], event["timed_out"]) == ("error", True)
    assert allowed.web1.get(f"/api/exec/{answer['id']}").json["state"] == "done"


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"argv": ["no-such-program-here"]}, 422, "no_such_program"),
        ({"command": "true", "cwd": "/not/there"}, 422, "no_such_folder"),
        ({"command": "true", "target": "nowhere"}, 404, "unknown_target"),
    ],
)
def test_what_cannot_run_is_told_apart_and_on_record(
    allowed: Fleet, fields: dict[str, Any], status: int, code: str
) -> None:
    allowed.permit(target="nowhere")
    refusal(allowed.web1.exec(**fields), status, code)
    event = allowed.web1.events("type=exec")[-1]
    assert (event["result"], event["error"]) == ("error", code)


def test_a_member_that_is_no_target_is_told_apart_only_to_one_with_a_right_there(
    fleet: Fleet,
) -> None:
    assert (
        "member"
        not in refusal(fleet.web1.exec("true", target="db1"), 403, "not_permitted")["message"]
    )
    for more in ({}, {"approval": "required"}):
        fleet.permit(target="db1", **more)
        for form in ({}, {"stream": True}, {"detach": True}):
            body = refusal(
                fleet.web1.exec("true", target="db1", **(form if not more else {})),
                404,
                "unknown_target",
            )
            assert body["message"] == "db1 is a member, but no target: add it to targets.toml."
    for reply in (
        fleet.admin.post("/api/container/start", json={"name": "db1"}),
        fleet.admin.get("/api/container/snapshots?name=db1"),
    ):
        assert "db1 is a member" in refusal(reply, 404, "unknown_target")["message"]
    fleet.permit(target="nowhere")
    assert (
        "member"
        not in refusal(fleet.web1.exec("true", target="nowhere"), 404, "unknown_target")["message"]
    )


def test_a_program_is_named_in_quotes_so_that_it_forges_no_line(allowed: Fleet) -> None:
    refused = allowed.web1.exec(argv=["no\nbus: all is well"]).json
    assert refused["error"] == "no_such_program" and "\n" not in refused["message"]
    assert "\n" not in allowed.web1.events("type=exec")[-1]["reason"]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, "missing_field"),
        ({"command": "true", "argv": ["true"]}, "missing_field"),
        ({"command": ""}, "bad_field"),
        ({"command": 7}, "bad_field"),
        ({"argv": None}, "bad_field"),
        ({"command": "a\0b"}, "bad_json"),
        ({"command": "x" * 65_537}, "too_large"),
        ({"argv": []}, "bad_field"),
        ({"argv": ["-c", "true"]}, "bad_field"),
        ({"argv": ["true", 1]}, "bad_field"),
        ({"argv": "true"}, "bad_field"),
        ({"argv": ["true"] * 1025}, "bad_field"),
        ({"argv": ["true", "x" * 65_536]}, "too_large"),
        ({"command": "true", "timeout_s": 0}, "bad_field"),
        ({"command": "true", "timeout_s": 3601}, "bad_field"),
        ({"command": "true", "timeout_s": True}, "bad_field"),
        ({"command": "true", "cwd": "tmp"}, "bad_field"),
        ({"command": "true", "cwd": "/a/../b"}, "bad_field"),
        ({"command": "true", "user": "-root"}, "bad_field"),
        ({"command": "true", "user": "root;id"}, "bad_field"),
        ({"command": "true", "env": {"A=B": "x"}}, "bad_field"),
        ({"command": "true", "env": {"BUS_EXEC_ID": "x"}}, "bad_field"),
        ({"command": "true", "env": ["A=B"]}, "bad_field"),
        ({"command": "true", "env": ""}, "bad_field"),
        ({"command": "true", "env": []}, "bad_field"),
        ({"command": "true", "env": {f"A{number}": "" for number in range(65)}}, "bad_field"),
        ({"command": "true", "env": {"A": "x" * 65_537}}, "too_large"),
        ({"command": "true", "stdin": "%", "stdin_encoding": "base64"}, "bad_field"),
        ({"command": "true", "stdin": "x", "stdin_encoding": "latin1"}, "bad_field"),
        ({"command": "true", "stream": 1}, "bad_field"),
        ({"command": "true", "stream": True, "detach": True}, "bad_field"),
        ({"command": "true", "client_id": ""}, "bad_field"),
        ({"comand": "true"}, "unknown_field"),
        ({"command": "true", "auth": "admin"}, "unknown_field"),
        ({"command": "true", "target": "box/alpha"}, "bad_field"),
        ({"command": "true", "target": "-box"}, "bad_field"),
        ({"command": "true", "target": ["box"]}, "bad_field"),
        ({"command": "true", "target": "any"}, "bad_field"),
    ],
)
def test_bad_input_is_told_and_runs_nothing(
    allowed: Fleet, fields: dict[str, Any], code: str
) -> None:
    before = len(allowed.records("call_started"))
    reply = allowed.web1.exec(**fields)
    refusal(reply, 413 if code == "too_large" else 400, code)
    assert len(allowed.records("call_started")) == before


# -- once ----------------------------------------------------------------------------------------


def test_a_repeated_call_runs_once_and_gets_the_stored_answer(allowed: Fleet) -> None:
    counting = "echo run >> counted; wc -l < counted"
    first = allowed.web1.post(
        "/api/exec", json={"target": "box", "command": counting}, headers={"Idempotency-Key": "k"}
    )
    second = allowed.web1.exec(counting, client_id="k")
    assert second.json == {**first.json, "state": "done", "replayed": True}
    assert (allowed.folder / "box" / "counted").read_text() == "run\n"


def test_of_many_at_once_under_one_key_one_runs(allowed: Fleet) -> None:
    def call(_: int) -> int:
        return int(allowed.web1.exec("echo run >> counted; sleep 0.2", client_id="k").status_code)

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(call, range(8)))
    assert (allowed.folder / "box" / "counted").read_text() == "run\n"
    assert set(statuses) <= {200, 409}
    assert 200 in statuses


def test_of_two_that_have_both_found_their_key_unused_one_runs(
    allowed: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, both = allowed.runner_hub.calls, threading.Barrier(2)
    authorise = calls.authorise

    def together(*given: Any) -> Any:
        found = authorise(*given)
        both.wait(20)
        return found

    monkeypatch.setattr(calls, "authorise", together)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: allowed.web1.exec("echo run >> counted", client_id="k"), range(2)))
    assert (allowed.folder / "box" / "counted").read_text() == "run\n"


def test_a_call_that_is_on_record_and_has_not_begun_is_still_running(
    allowed: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, recorded, go = allowed.runner_hub.calls, threading.Event(), threading.Event()
    begin = calls.begin

    def slowly(*given: Any) -> Any:
        begun = begin(*given)
        recorded.set()
        assert go.wait(20)
        return begun

    monkeypatch.setattr(calls, "begin", slowly)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(allowed.web1.exec, "echo hi", client_id="k")
        assert recorded.wait(20)
        refusal(allowed.web1.exec("echo hi", client_id="k"), 409, "still_running")
        go.set()
        assert first.result(20).json["stdout"] == "hi\n"


def test_a_key_is_for_one_request_and_one_caller(allowed: Fleet) -> None:
    allowed.permit(source="db1")
    first = allowed.web1.exec("echo one", client_id="k").json
    assert (
        refusal(allowed.web1.exec("echo two", client_id="k"), 422, "key_reused")["first"]
        == first["id"]
    )
    assert allowed.db1.exec("echo two", client_id="k").json["stdout"] == "two\n"
    assert allowed.web1.say("hi", sender="web1", client_id="k")["body"] == "hi"


def test_a_repeated_failure_is_the_same_failure(allowed: Fleet) -> None:
    first = refusal(
        allowed.web1.exec(argv=["no-such-program"], client_id="k"), 422, "no_such_program"
    )
    again = refusal(
        allowed.web1.exec(argv=["no-such-program"], client_id="k"), 422, "no_such_program"
    )
    assert again["id"] == first["id"]


def test_a_key_that_was_refused_is_not_used_up(fleet: Fleet) -> None:
    refusal(fleet.web1.exec("echo hi", client_id="k"), 403, "not_permitted")
    fleet.permit()
    assert fleet.web1.exec("echo hi", client_id="k").json["stdout"] == "hi\n"


def test_an_answer_whose_output_is_no_longer_kept_has_its_facts(allowed: Fleet) -> None:
    id = allowed.web1.exec("echo hi; exit 3", client_id="k").json["id"]
    (allowed.config.data_dir / "calls" / f"{id}.json").unlink()
    answer = allowed.web1.exec("echo hi; exit 3", client_id="k").json
    assert (answer["id"], answer["exitCode"], answer["stdout"], answer["stdout_size"]) == (
        id,
        3,
        None,
        3,
    )


# -- streams -------------------------------------------------------------------------------------


def test_a_stream_has_chunks_and_then_the_result(allowed: Fleet) -> None:
    reply = allowed.web1.exec(
        "echo one; sleep 0.1; echo two >&2; printf '\\377'; exit 4", stream=True
    )
    assert reply.mimetype == "application/x-ndjson"
    first, *chunks, last = lines_of(reply)
    assert first["state"] == "running"
    assert {"stdout": "one\n"} in chunks
    assert {"stderr": "two\n"} in chunks
    assert {"stdout": as_base64(b"\xff"), "encoding": "base64"} in chunks
    assert (last["result"]["exitCode"], last["result"]["id"]) == (4, first["id"])
    assert "stdout" not in last["result"]


def test_a_stream_that_is_ended_from_elsewhere_says_so(allowed: Fleet) -> None:
    got: list[Any] = []
    call = threading.Thread(
        target=lambda: got.append(lines_of(allowed.web1.exec("sleep 300", stream=True)))
    )
    call.start()
    id = wait_until(lambda: [record["call"] for record in allowed.records("call_started")])[0]
    wait_until(lambda: allowed.web1.delete(f"/api/exec/{id}").json["ended"])
    call.join(20)
    assert got[0][-1]["result"]["cancelled"] is True


def test_a_stream_never_splits_a_character(allowed: Fleet) -> None:
    reply = allowed.web1.exec("printf '\\342'; sleep 0.2; printf '\\202\\254'", stream=True)
    assert [line["stdout"] for line in lines_of(reply) if "stdout" in line] == ["€"]


def test_hanging_up_on_a_stream_ends_the_command(allowed: Fleet) -> None:
    reply = allowed.web1.client.open(
        "/api/exec",
        method="POST",
        headers={"Authorization": "Basic " + as_base64(f"web1:{allowed.web1.secret}".encode())},
        json={"target": "box", "command": "echo $$; sleep 300", "stream": True},
    )
    lines = reply.iter_encoded()
    seen = b""
    while b"stdout" not in seen:
        seen += next(lines)
    pid = int(json.loads(next(line for line in seen.splitlines() if b"stdout" in line))["stdout"])
    reply.close()
    wait_until(lambda: is_gone(pid))
    wait_until(lambda: allowed.web1.events("type=exec")[-1].get("cancelled"))


def test_a_quiet_stream_has_signs_of_life(allowed: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.runner.socket_server.ALIVE_EVERY_S", 0.02)
    headers = {"Authorization": basic("web1", SECRET)}
    body = {
        "target": "box",
        "command": "until [ -e go ]; do sleep 0.01; done",
        "stream": True,
        "timeout_s": 10,
    }
    lines = allowed.web1.client.post("/api/exec", headers=headers, json=body).iter_encoded()
    assert b"\n" in (next(lines), next(lines))
    (allowed.folder / "box" / "go").touch()
    assert b'"exitCode":0' in b"".join(lines)


def test_a_stream_that_may_not_begin_is_an_error_of_its_own(fleet: Fleet) -> None:
    refusal(fleet.web1.exec("true", stream=True), 403, "not_permitted")
    fleet.permit()
    reply = fleet.web1.exec("true", stream=True, cwd="/not/there")
    assert lines_of(reply)[-1]["error"]["error"] == "no_such_folder"


# -- detached ------------------------------------------------------------------------------------


def test_a_detached_call_is_answered_at_once_and_told_when_it_ends(allowed: Fleet) -> None:
    go = allowed.folder / "box" / "go"
    reply = allowed.web1.exec(
        "echo begun; until [ -e go ]; do sleep 0.01; done; exit 5",
        detach=True,
        **{"from": "web1/alpha"},
    )
    assert (reply.status_code, reply.json["state"]) == (202, "running")
    id = reply.json["id"]
    wait_until(lambda: allowed.web1.get(f"/api/exec/{id}").json["stdout"] == "begun\n")
    assert allowed.web1.get(f"/api/exec/{id}").json["state"] == "running"
    go.touch()
    message = wait_until(
        lambda: allowed.web1.get("/messages?unread_by=web1/alpha").json["messages"]
    )[0]
    assert (message["from"], message["verified"], message["tags"]) == ("bus", True, ["exec"])
    assert message["data"] == {"id": id, "target": "box", "exitCode": 5}
    # For those who have the command, and those who have curl.
    assert message["body"].endswith(
        f"ended with exit code 5. To see what it gave: bus call {id}, or GET /api/exec/{id}"
    )
    state = allowed.web1.get(f"/api/exec/{id}").json
    assert (state["state"], state["exitCode"], state["stdout"], state["command"]) == (
        "done",
        5,
        "begun\n",
        "echo begun; until [ -e go ]; do sleep 0.01; done; exit 5",
    )


def test_a_call_is_known_to_its_caller_its_target_and_admins(allowed: Fleet) -> None:
    allowed.permit(source="db1", target="den")
    id = allowed.db1.exec("echo secret", target="den").json["id"]
    assert allowed.db1.get(f"/api/exec/{id}").json["stdout"] == "secret\n"
    assert allowed.admin.get(f"/api/exec/{id.lower()}").json["stdout"] == "secret\n"
    refusal(allowed.web1.get(f"/api/exec/{id}"), 404, "no_such_call")
    refusal(allowed.web1.delete(f"/api/exec/{id}"), 404, "no_such_call")
    allowed.app.extensions["credentials"].add("den", allowed.db1.secret, "member")
    den = type(allowed.db1)(allowed.app, "den")
    assert den.get(f"/api/exec/{id}").json["stdout"] == "secret\n"
    refusal(den.delete(f"/api/exec/{id}"), 403, "not_allowed")
    refusal(allowed.web1.get("/api/exec/nonsense"), 404, "no_such_call")


def test_a_running_call_can_be_ended(allowed: Fleet) -> None:
    id = allowed.web1.exec("echo $$; sleep 300", detach=True).json["id"]
    pid = int(wait_until(lambda: allowed.web1.get(f"/api/exec/{id}").json["stdout"]))
    assert allowed.web1.delete(f"/api/exec/{id}").json == {"ok": True, "id": id, "ended": True}
    wait_until(lambda: allowed.web1.get(f"/api/exec/{id}").json["state"] == "done")
    assert is_gone(pid)
    assert allowed.web1.get(f"/api/exec/{id}").json["cancelled"] is True
    assert allowed.web1.delete(f"/api/exec/{id}").json["ended"] is False


# -- the worker and the service, each for itself -------------------------------------------------


def test_the_service_tells_of_a_call_and_ends_it_only_where_it_concerns_who_asks(
    allowed: Fleet,
) -> None:
    id = allowed.web1.exec("echo secret", detach=True).json["id"]
    service = RunnerClient(allowed.config.exec_socket_file)
    for op in ("state", "stop"):
        with pytest.raises(NoSuchCall):
            service.ask({"op": op, "id": id, "authorization": basic("db1", SECRET)})
        assert (
            service.ask({"op": op, "id": id, "authorization": basic("web1", SECRET)})["result"][
                "id"
            ]
            == id
        )


def test_while_the_service_is_away_only_it_could_say_who_may_call(allowed: Fleet) -> None:
    id = allowed.web1.exec("echo secret").json["id"]
    allowed.runner.stop_soon()
    wait_until(lambda: not allowed.config.exec_socket_file.exists())
    refusal(allowed.web1.exec("true"), 503, "exec_unavailable")
    refusal(allowed.web1.exec(""), 400, "bad_field")
    recorded = len(allowed.records("call_started"))
    refusal(allowed.db1.exec("true"), 503, "exec_unavailable")
    assert len(allowed.records("call_started")) == recorded
    refusal(allowed.db1.get(f"/api/exec/{id}"), 404, "no_such_call")
    refusal(allowed.db1.delete(f"/api/exec/{id}"), 404, "no_such_call")


# -- limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cap", "scope"), [("exec_per_target", "target"), ("exec_per_caller", "caller")]
)
def test_no_more_run_at_once_than_are_allowed(tmp_path: Path, cap: str, scope: str) -> None:
    with a_fleet(tmp_path, **{cap: 2}) as fleet:
        fleet.permit("*", "*")
        ids = [fleet.web1.exec("sleep 300", detach=True).json["id"] for _ in range(2)]
        reply = fleet.web1.exec("true")
        body = refusal(reply, 429, "too_many_running")
        assert (body["scope"], body["limit"]) == (scope, 2)
        assert int(reply.headers["Retry-After"]) >= 1
        other = fleet.db1.exec("true", target="den")
        assert other.status_code == 200
        fleet.web1.delete(f"/api/exec/{ids[0]}")
        wait_until(lambda: fleet.web1.exec("true").status_code == 200)


def test_a_waiting_command_holds_nobody_up(allowed: Fleet) -> None:
    thread = threading.Thread(
        target=lambda: allowed.web1.exec("until [ -e go ]; do sleep 0.01; done", timeout_s=20)
    )
    thread.start()
    wait_until(
        lambda: (
            allowed.admin.events("type=exec")[-1:]
            and allowed.admin.events("type=exec")[-1]["result"] == "running"
        )
    )
    assert allowed.web1.exec("echo quick").json["stdout"] == "quick\n"
    (allowed.folder / "box" / "go").touch()
    thread.join(20)
    assert not thread.is_alive()


def test_only_commands_can_be_ended(allowed: Fleet) -> None:
    id = allowed.admin.post("/api/container/snapshot", json={"name": "box"}).json["id"]
    assert allowed.admin.delete(f"/api/exec/{id}").json["ended"] is False


def test_a_repeated_failure_whose_answer_is_gone_is_still_that_failure(allowed: Fleet) -> None:
    first = refusal(
        allowed.web1.exec("true", cwd="/not/there", client_id="k"), 422, "no_such_folder"
    )
    (allowed.config.data_dir / "calls" / f"{first['id']}.json").unlink()
    again = refusal(
        allowed.web1.exec("true", cwd="/not/there", client_id="k"), 422, "no_such_folder"
    )
    assert (again["message"], again["id"], again["replayed"]) == (
        first["message"],
        first["id"],
        True,
    )


def test_what_a_message_tells_of_a_detached_call_is_not_what_it_was(allowed: Fleet) -> None:
    allowed.web1.exec(argv=["/opt/acme/rotate-root-key"], detach=True)
    message = wait_until(lambda: allowed.shared.get("/messages?tag=exec").json["messages"])[0]
    assert message["body"].startswith("The command on box failed: no_such_program.")
    assert "acme" not in str(message)


def test_a_refused_call_leaves_only_its_beginning_in_the_log(fleet: Fleet) -> None:
    fleet.web1.exec("x" * 60_000)
    fleet.web1.exec(argv=["x" * 5_000] * 10)
    assert all(len(str(record)) < 2_500 for record in fleet.records("call_started"))


def test_what_was_read_from_a_file_is_not_kept(allowed: Fleet) -> None:
    (allowed.folder / "box" / "note").write_text("x" * 100_000)
    allowed.web1.post("/api/file/read", json={"target": "box", "path": "/note"})
    assert not (allowed.config.data_dir / "calls").exists()
