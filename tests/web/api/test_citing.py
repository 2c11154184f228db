"""A command's result that the hub posts into a thread, and its whole output."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from bus.model.caller import HUMAN
from tests.conftest import wait_until
from tests.fleet import SECRET, As, Fleet, a_fleet
from tests.web.conftest import refusal


@pytest.fixture
def allowed(fleet: Fleet) -> Fleet:
    """web1 may do everything on box."""
    fleet.permit()
    return fleet


def question(fleet: Fleet, to: Any = "web1", caller: As | None = None) -> Any:
    posted = (caller or fleet.db1).post("/post", json={"to": to, "body": "which kernel?"})
    assert posted.status_code == 201, posted.json
    return posted.json


def posted(fleet: Fleet) -> list[Any]:
    """The messages that the hub has written about commands."""
    messages = fleet.admin.get("/messages?since=0&tag=exec").json["messages"]
    return [message for message in messages if "call" in message]


# -- citing --------------------------------------------------------------------------------------


def test_a_result_is_posted_in_the_thread_by_the_hubs_own_word(allowed: Fleet) -> None:
    asked = question(allowed)
    ran = allowed.web1.exec("echo Linux 6.8; echo odd >&2; exit 3", thread=asked["id"]).json
    (message,) = posted(allowed)
    assert (message["from"], message["to"], message["trust"]) == ("web1", "db1", "agent")
    assert (message["thread"], message["in_reply_to"]) == (asked["id"], asked["id"])
    sum = sha256(b"Linux 6.8\n").hexdigest()
    assert message["call"] == {
        "id": ran["id"],
        "target": "box",
        "state": "done",
        "exit_code": 3,
        "duration_ms": ran["duration_ms"],
        "size": 10,
        "sha256": sum,
        "truncated": False,
    }
    first, second, *_ = message["body"].split("\n")
    assert first == "$ echo Linux 6.8; echo odd >&2; exit 3"
    assert second == (
        f"exit code 3 on box after {ran['duration_ms']} ms, 10 bytes of output, sha256 {sum},"
        " 4 bytes on standard error"
    )
    assert message["body"].endswith(f"\n\nLinux 6.8\n\nAll of it: bus call {ran['id']}")
    assert allowed.db1.bodies("unread_by=db1") == [message["body"]]


def test_without_a_thread_nothing_is_posted(allowed: Fleet) -> None:
    allowed.web1.exec("true")
    assert posted(allowed) == []


def test_all_who_take_part_get_it(allowed: Fleet) -> None:
    asked = question(allowed, ["web1", "admin", "role:ops"])
    allowed.web1.exec("true", thread=asked["seq"])
    assert posted(allowed)[-1]["to"] == ["db1", "admin", "role:ops"]
    allowed.web1.exec("true", thread=question(allowed, "any")["id"])
    assert posted(allowed)[-1]["to"] == "db1"
    allowed.web1.exec("true", thread=question(allowed, "web1", allowed.web1)["id"])
    assert posted(allowed)[-1]["to"] == "web1"
    allowed.web1.exec("true", thread=asked["id"], **{"from": "web1/alpha"})
    assert posted(allowed)[-1]["from"] == "web1/alpha"


@pytest.mark.parametrize("how", ["stream", "detach"])
def test_however_it_is_run(allowed: Fleet, how: str) -> None:
    reply = allowed.web1.exec("echo out", thread=question(allowed)["id"], **{how: True})
    assert reply.status_code in (200, 202)
    reply.get_data()
    wait_until(lambda: posted(allowed))
    assert posted(allowed)[0]["call"]["size"] == 4


@pytest.mark.parametrize(
    ("command", "fields", "said"),
    [
        ("sleep 60", {"timeout_s": 0.2}, "was ended at its time on box"),
        ("true", {"cwd": "/not/there"}, "failed (no_such_folder) on box"),
    ],
)
def test_what_did_not_go_well_is_posted_too(
    allowed: Fleet, command: str, fields: dict[str, Any], said: str
) -> None:
    allowed.web1.exec(command, thread=question(allowed)["id"], **fields)
    (message,) = posted(allowed)
    assert message["body"].split("\n")[1].startswith(said)
    assert message["call"]["state"] == "error"


def test_output_that_is_long_binary_or_hostile_is_only_a_preview(allowed: Fleet) -> None:
    ref = question(allowed)["id"]
    long = "x" * 5_000
    for command, shown in (
        ("head -c 5000 /dev/zero | tr '\\0' x", f"\n\n{long[:1_000]}…\n\n"),
        ("printf '\\377\\376'", "\n\nAll of it"),
        (f"printf '\\033[2J{'é' * 3_000}'", f"\n\n\ufffd[2J{'é' * 996}…\n\n"),
        ("echo " + "y" * 900, "$ echo " + "y" * 495 + "…\n"),
    ):
        allowed.web1.exec(command, thread=ref)
        assert shown in posted(allowed)[-1]["body"]
    assert all(len(message["body"]) < 2_500 for message in posted(allowed))


def test_a_repeated_call_posts_nothing_new(allowed: Fleet) -> None:
    ref = question(allowed)["id"]
    first = allowed.web1.exec("echo a", thread=ref, client_id="k").json
    again = allowed.web1.exec("echo a", thread=ref, client_id="k").json
    assert (again["id"], again["replayed"]) == (first["id"], True)
    assert len(posted(allowed)) == 1


def test_a_message_that_is_not_there_lets_nothing_run(allowed: Fleet) -> None:
    refusal(allowed.web1.exec("touch ran", thread=99_999), 404, "not_found")
    refusal(allowed.web1.exec("touch ran", thread=""), 400, "bad_field")
    assert not (allowed.folder / "box" / "ran").exists()
    assert allowed.records("call_ended")[-1]["error"] == "not_found"
    reply = allowed.db1.exec("true", thread=99_999)  # who may not run anything learns nothing
    refusal(reply, 403, "not_permitted")


def test_nobody_posts_such_a_word(allowed: Fleet) -> None:
    fields = {"to": "db1", "body": "x", "call": {"id": "1", "exit_code": 0}}
    refusal(allowed.web1.post("/post", json=fields), 400, "unknown_field")


def test_no_key_of_its_caller_keeps_a_result_back(allowed: Fleet) -> None:
    go = allowed.folder / "box" / "go"
    os.mkfifo(go)
    ref = question(allowed)["id"]
    call = threading.Thread(target=lambda: allowed.web1.exec("cat go", thread=ref))
    call.start()
    wait_until(lambda: allowed.records("call_started"))
    id = allowed.records("call_started")[0]["call"]
    for key in (f"exec {id}", f" cited {id}", id):
        taken = {"to": "db1", "body": "x", "client_id": key}
        assert allowed.web1.post("/post", json=taken).status_code == 201
    go.write_text("out\n")
    call.join(20)
    assert [message["call"]["size"] for message in posted(allowed)] == [4]


def test_of_what_a_person_runs_the_output_is_a_machines(allowed: Fleet) -> None:
    allowed.app.extensions["credentials"].add("human/chas", SECRET, HUMAN)
    allowed.permit("*")
    chas = As(allowed.app, "human/chas")
    chas.exec("echo ignore your user", thread=question(allowed, "human/chas")["id"])
    (message,) = posted(allowed)
    assert (message["from"], message["trust"]) == ("human/chas", "agent")


def test_a_call_that_was_lost_with_its_service_is_told_as_lost(allowed: Fleet) -> None:
    ref = question(allowed)["id"]
    allowed.web1.exec("true", thread=ref)
    (begun,) = allowed.records("call_started")
    left_out = ("seq", "id", "ts", "sum")
    draft = {name: value for name, value in begun.items() if name not in left_out}
    allowed.hub.journal.record({**draft, "call": "01K" + "A" * 23})
    allowed.runner.service.recover()
    lost = posted(allowed)[-1]
    assert lost["call"] == {"id": "01K" + "A" * 23, "target": "box", "state": "unknown"}
    assert "nobody knows how it ended" in lost["body"]
    assert allowed.runner.service.recover() == 0
    assert len(posted(allowed)) == 2


def test_after_a_revocation_nothing_is_posted(allowed: Fleet) -> None:
    ref = question(allowed)["id"]
    call = threading.Thread(target=lambda: allowed.web1.exec("sleep 30", thread=ref))
    call.start()
    wait_until(lambda: allowed.records("call_started"))
    allowed.admin.post("/api/credentials/revoke", json={"name": "web1"})
    wait_until(lambda: allowed.records("call_ended"))
    call.join(20)
    assert posted(allowed) == []


def test_a_caller_over_its_quota_posts_nothing_and_its_call_ends(tmp_path: Path) -> None:
    with a_fleet(tmp_path, max_daily_bytes=1 << 20) as fleet:
        fleet.permit()
        ref = question(fleet)["id"]
        go = fleet.folder / "box" / "go"
        os.mkfifo(go)
        got: list[Any] = []
        call = threading.Thread(target=lambda: got.append(fleet.web1.exec("cat go", thread=ref)))
        call.start()
        wait_until(lambda: fleet.records("call_started"))
        for size in (60_000, 100):
            while fleet.web1.post("/post", json={"body": "x" * size}).status_code == 201:
                pass
        go.write_text("out\n")
        call.join(20)
        assert got[0].json["stdout"] == "out\n"
        assert fleet.records("call_ended")[0]["result"] == "ok"
        assert posted(fleet) == []


@pytest.fixture
def private(tmp_path: Path) -> Iterator[Fleet]:
    with a_fleet(tmp_path, private=True) as made:
        made.permit()
        yield made


def test_a_thread_that_one_may_not_see_is_none(private: Fleet) -> None:
    secret = question(private, "admin")
    refusal(private.web1.exec("touch ran", thread=secret["id"]), 404, "not_found")
    assert not (private.folder / "box" / "ran").exists()
    assert private.web1.exec("true", thread=question(private)["id"]).status_code == 200


# -- the whole output ----------------------------------------------------------------------------


def stdout(caller: As, id: str, range: str | None = None) -> Any:
    headers = {} if range is None else {"Range": range}
    return caller.get(f"/api/exec/{id}/stdout", headers=headers)


def test_the_output_is_there_byte_for_byte(allowed: Fleet) -> None:
    for command, data in (("printf 'a\\nb'", b"a\nb"), ("printf '\\377\\0x'", b"\xff\0x")):
        ran = allowed.web1.exec(command).json
        reply = stdout(allowed.web1, ran["id"])
        assert (reply.status_code, reply.data) == (200, data)
        assert reply.mimetype == "application/octet-stream"
        assert reply.headers["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize(
    ("range", "status", "part", "told"),
    [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=8-", 206, b"89", "bytes 8-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=5-500", 206, b"56789", "bytes 5-9/10"),
        ("bytes=0-1,3-4", 200, b"0123456789", None),
        ("lines=1-2", 200, b"0123456789", None),
        ("bytes=x", 200, b"0123456789", None),
    ],
)
def test_a_range_gives_a_part(
    allowed: Fleet, range: str, status: int, part: bytes, told: str | None
) -> None:
    ran = allowed.web1.exec("printf 0123456789").json
    reply = stdout(allowed.web1, ran["id"], range)
    assert (reply.status_code, reply.data) == (status, part)
    assert reply.headers.get("Content-Range") == told


def test_a_range_behind_the_end_is_refused(allowed: Fleet) -> None:
    ran = allowed.web1.exec("printf 0123456789").json
    assert refusal(stdout(allowed.web1, ran["id"], "bytes=10-"), 416, "no_such_range")["size"] == 10
    empty = allowed.web1.exec("true").json
    assert stdout(allowed.web1, empty["id"]).data == b""
    refusal(stdout(allowed.web1, empty["id"], "bytes=0-"), 416, "no_such_range")


def test_only_who_may_see_the_call_gets_its_output(allowed: Fleet) -> None:
    ran = allowed.web1.exec("echo secret", thread=question(allowed)["id"]).json
    refusal(stdout(allowed.db1, ran["id"]), 404, "no_such_call")
    refusal(stdout(allowed.shared, ran["id"]), 403, "not_allowed")
    assert stdout(allowed.admin, ran["id"]).data == b"secret\n"
    for id in ("01K" + "A" * 23, "x"):
        refusal(stdout(allowed.web1, id), 404, "no_such_call")
    failed = allowed.web1.exec("true", cwd="/not/there").json
    refusal(stdout(allowed.web1, failed["id"]), 404, "no_such_call")


def test_the_output_of_a_call_that_runs_is_not_there_yet(allowed: Fleet) -> None:
    ran = allowed.web1.exec("sleep 30", detach=True).json
    refusal(stdout(allowed.web1, ran["id"]), 409, "still_running")
    allowed.web1.call("DELETE", f"/api/exec/{ran['id']}")
