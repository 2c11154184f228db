"""Files that come with messages: stored whole or not at all, and fetched by who may read them."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bus.config import Config
from tests.conftest import Unsent
from tests.fleet import As
from tests.web.conftest import Members, open_members, refusal

ZIP = b"PK\x03\x04" + bytes(range(256)) * 5_000
SCRIPT = b"<script>alert(1)</script>"


@pytest.fixture
def small(config: Config) -> Iterator[Members]:
    """A hub with little room for files."""
    limits = {"attachment_max_bytes": 2_000, "attachment_each_bytes": 3_000}
    settings = {**limits, "attachment_all_bytes": 4_000}
    yield from open_members(Config(data_dir=config.data_dir, fsync="never", **settings))


def send(caller: As, data: bytes, query: str = "name=a.bin&to=db1", **more: Any) -> Any:
    return caller.call("PUT", f"/files?{query}", data=data, **more)


def sent(caller: As, data: bytes, query: str = "name=a.bin&to=db1", **more: Any) -> dict[str, Any]:
    reply = send(caller, data, query, **more)
    assert reply.status_code == 201, reply.json
    found: dict[str, Any] = reply.json
    return found


def kept(members: Members) -> list[str]:
    """What is in the folder of attachments: sums, and parts of what was to come."""
    folder = members.hub.attachments.contents.folder
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.name != "lock")


def test_one_credential_has_so_many_downloads_at_once(config: Config) -> None:
    few = Config(data_dir=config.data_dir, fsync="never", attachment_downloads=2)
    for members in open_members(few):
        url = sent(members.web1, ZIP, "name=a&to=db1")["attachments"][0]["url"]
        slow = [members.db1.get(url) for _ in range(2)]  # nothing of them is read
        assert refusal(members.db1.get(url), 429, "over_quota")["quota"] == "downloads"
        assert members.db1.call("HEAD", url).status_code == 200
        assert members.web1.get(url).data == ZIP
        for one in slow:
            one.close()
        for _ in range(3):
            assert members.db1.get(url).data == ZIP


def test_a_file_comes_with_its_message_and_can_be_fetched(members: Members) -> None:
    message = sent(members.web1, ZIP, "name=build.zip&to=db1&body=Build+dropped&tags=a,b")
    assert (message["from"], message["to"], message["body"]) == ("web1", "db1", "Build dropped")
    assert message["tags"] == ["a", "b"]
    (one,) = message["attachments"]
    sum = hashlib.sha256(ZIP).hexdigest()
    assert one == {
        "id": one["id"],
        "name": "build.zip",
        "size": len(ZIP),
        "sha256": sum,
        "type": "application/zip",
        "url": f"/files/{one['id']}",
    }
    reply = members.db1.get(one["url"])
    assert reply.data == ZIP
    assert reply.headers["ETag"] == f'"{sum}"'
    assert reply.headers["Content-Length"] == str(len(ZIP))
    head = members.db1.call("HEAD", one["url"])
    assert (head.status_code, head.data) == (200, b"")
    assert head.headers["Content-Length"] == str(len(ZIP))
    same = members.db1.get(one["url"], headers={"If-None-Match": f'"{sum}"'})
    assert (same.status_code, same.data) == (304, b"")
    assert kept(members) == [sum]


def test_a_part_of_a_file(members: Members) -> None:
    url = sent(members.web1, ZIP)["attachments"][0]["url"]
    part = members.db1.get(url, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.data) == (206, ZIP[10:20])
    assert part.headers["Content-Range"] == f"bytes 10-19/{len(ZIP)}"
    other = members.db1.get(url, headers={"Range": "bytes=10-19", "If-Range": '"other"'})
    assert (other.status_code, other.data) == (200, ZIP)
    behind = members.db1.get(url, headers={"Range": f"bytes={len(ZIP)}-"})
    assert refusal(behind, 416, "no_such_range")["size"] == len(ZIP)


def test_a_form_with_several_files(members: Members) -> None:
    form = {
        "to": "db1",
        "body": "both",
        "one": (io.BytesIO(ZIP[:9_000]), "build.zip"),
        "two": (io.BytesIO(b"h\xc3\xa9llo"), "é.txt"),
        "priority": "urgent",
    }
    message = members.web1.post("/files", data=form, content_type="multipart/form-data").json
    assert (message["body"], message["priority"]) == ("both", "urgent")
    assert [one["name"] for one in message["attachments"]] == ["build.zip", "é.txt"]
    contents = [members.db1.get(one["url"]).data for one in message["attachments"]]
    assert contents == [ZIP[:9_000], "héllo".encode()]


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({"to": "db1"}, "missing_field"),
        ({"too": "db1", "f": (io.BytesIO(b"a"), "a")}, "unknown_field"),
        ({"to": "db1", "f": (io.BytesIO(b"a"), "../a")}, "bad_field"),
        ({"f": (io.BytesIO(b"a"), "a"), "priority": "high"}, "bad_field"),
        ({f"f{number}": (io.BytesIO(b"a"), "a") for number in range(17)}, "bad_field"),
    ],
)
def test_a_form_that_is_wrong_leaves_nothing(members: Members, form: Any, code: str) -> None:
    reply = members.web1.post("/files", data=form, content_type="multipart/form-data")
    refusal(reply, 400, code)
    assert kept(members) == []
    assert members.records("message") == []


@pytest.mark.parametrize("body", [b"--x", b"--x\r\n\r\nno head\r\n", b"--x\r\nA: b\r\n\r\n"])
def test_a_broken_form_is_refused(members: Members, body: bytes) -> None:
    reply = members.web1.post("/files", data=body, content_type="multipart/form-data; boundary=x")
    refusal(reply, 400, "bad_request")
    assert kept(members) == []


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "..%5Ca", "a%0Ab", "%20a", "%E2%80%AEa", "x" * 256]
)
def test_a_name_is_only_a_name(members: Members, name: str) -> None:
    refusal(send(members.web1, b"a", f"name={name}&to=db1"), 400, "bad_field")
    assert kept(members) == []


def test_a_name_is_quoted_for_whoever_saves_it(members: Members) -> None:
    url = sent(members.web1, b"a", "name=%C3%A9%22%3B%20x.txt&to=db1")["attachments"][0]["url"]
    shown = members.db1.get(url).headers["Content-Disposition"]
    assert shown == "attachment; filename=\"__; x.txt\"; filename*=UTF-8''%C3%A9%22%3B%20x.txt"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.html", b"<!doctype html>" + SCRIPT),
        ("a.svg", b'<svg xmlns="http://www.w3.org/2000/svg">' + SCRIPT + b"</svg>"),
        ("a.js", b"alert(1)"),
        ("a.png", SCRIPT),
        ("a.html", "<html>".encode("utf-16")),
    ],
)
def test_no_browser_runs_a_file(members: Members, name: str, data: bytes) -> None:
    url = sent(members.web1, data, f"name={name}&to=db1")["attachments"][0]["url"]
    reply = members.db1.get(url)
    assert reply.data == data
    assert reply.mimetype in ("text/plain", "application/octet-stream")
    assert reply.headers["Content-Disposition"].startswith("attachment;")
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"


def test_what_can_be_refused_is_refused_before_the_file_is_read(members: Members) -> None:
    unread = Unsent(1_000, AssertionError("the body was read"))

    def refused(query: str, status: int, code: str) -> None:
        body = {"input_stream": unread, "content_length": 1_000}
        refusal(members.web1.call("PUT", f"/files?{query}", **body), status, code)

    refused("name=a&to=db9&strict=1", 404, "unknown_recipient")
    refused("name=a&from=db1", 403, "not_your_name")
    refused("name=a&in_reply_to=99", 422, "unknown_reply")
    refused("name=a&priority=high", 400, "bad_field")
    refused("to=db1", 400, "missing_field")
    assert kept(members) == []


def test_a_file_that_is_too_large_or_too_much(small: Members) -> None:
    reply = send(small.web1, b"x" * 2_001)
    assert refusal(reply, 413, "too_large")["limit"] == 2_000
    endless = {"input_stream": io.BytesIO(b"x" * 9_000), "environ_overrides": {
        "wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}}  # fmt: skip
    refusal(small.web1.call("PUT", "/files?name=a&to=db1", **endless), 413, "too_large")
    sent(small.web1, b"a" * 2_000)
    assert refusal(send(small.web1, b"b" * 1_001), 429, "over_quota")["quota"] == "attachments"
    sent(small.db1, b"c" * 1_000)
    refusal(send(small.db1, b"d" * 1_001), 507, "no_room")
    assert len(kept(small)) == 2
    assert len(small.records("message")) == 2
    message = small.records("message")[0]
    assert small.web1.post(f"/messages/{message['id']}/retract", json={}).status_code == 200
    sent(small.web1, b"e" * 2_000)


def test_a_body_that_breaks_off_leaves_nothing(members: Members) -> None:
    short = {"data": b"x" * 10, "environ_overrides": {"CONTENT_LENGTH": "1000"}}
    refusal(members.web1.call("PUT", "/files?name=a&to=db1", **short), 400, "bad_request")
    assert kept(members) == []
    assert members.records("message") == []


def test_a_sum_that_was_said_is_checked(members: Members) -> None:
    sum = hashlib.sha256(b"right").hexdigest()
    wrong = send(members.web1, b"wrong", f"name=a&to=db1&sha256={sum}")
    assert refusal(wrong, 422, "sum_differs")["sha256"] == hashlib.sha256(b"wrong").hexdigest()
    assert kept(members) == []
    sent(members.web1, b"right", f"name=a&to=db1&sha256={sum}")


def test_a_repeated_key_is_one_message(members: Members) -> None:
    key = {"headers": {"Idempotency-Key": "k1"}}
    first, again = sent(members.web1, ZIP, **key), sent(members.web1, ZIP, **key)
    assert again["replayed"] is True
    assert (again["seq"], again["attachments"]) == (first["seq"], first["attachments"])
    refusal(send(members.web1, b"other", **key), 422, "key_reused")
    assert kept(members) == [first["attachments"][0]["sha256"]]


def test_a_file_is_kept_for_its_time_and_then_gone(members: Members) -> None:
    url = sent(members.web1, ZIP)["attachments"][0]["url"]
    members.later(30 * 86_400 - 1)
    tend(members)
    assert members.db1.get(url).data == ZIP
    members.later(30 * 86_400 + 3_601)
    assert refusal(members.db1.get(url), 410, "file_expired")["expired"]
    tend(members)
    assert kept(members) == []
    assert members.db1.get("/messages?to=db1").json["count"] == 1


def test_a_content_stays_as_long_as_one_message_needs_it(members: Members) -> None:
    first, second = sent(members.web1, ZIP), sent(members.db1, ZIP, "name=b&to=web1")
    assert len(kept(members)) == 1
    members.web1.post(f"/messages/{first['id']}/retract", json={})
    members.later(3_700)
    tend(members)
    refusal(members.db1.get(first["attachments"][0]["url"]), 410, "file_expired")
    assert members.web1.get(second["attachments"][0]["url"]).data == ZIP


def test_the_file_of_a_retracted_message_is_gone(members: Members) -> None:
    message = sent(members.web1, ZIP)
    members.web1.post(f"/messages/{message['id']}/retract", json={})
    refusal(members.db1.get(message["attachments"][0]["url"]), 410, "file_expired")
    members.later(3_700)
    tend(members)
    assert kept(members) == []


def test_a_sum_is_no_way_to_a_file(members: Members) -> None:
    one = sent(members.web1, ZIP)["attachments"][0]
    for id in (one["sha256"], "01M8FWXRQWQDY0JASEA8BQ5H47", "..", "lock"):
        refusal(members.db1.get(f"/files/{id}"), 404, "no_such_attachment")


def test_messages_tell_of_their_files_everywhere(members: Members) -> None:
    message = sent(members.web1, ZIP, "name=build.zip&to=db1&body=dropped")
    seq, mark = message["seq"], "FILE build.zip 1.3 MB `bus get"
    assert f"{mark} {seq}`" in members.db1.get(f"/messages/{seq}?format=text").text
    assert f"{mark} {seq}`" in members.db1.get("/inbox?format=text").text
    event = {"session_id": "s", "hook_event_name": "SessionStart", "cwd": "/"}
    hook = members.db1.post("/hooks/claude-code", json=event)
    assert mark in hook.get_data(as_text=True)


def test_a_restart_knows_the_files_and_clears_what_was_cut_short(
    members: Members, config: Config
) -> None:
    url = sent(members.web1, ZIP)["attachments"][0]["url"]
    folder = members.hub.attachments.contents.folder / "uploads"
    (folder / "01M8FWXRQWQDY0JASEA8BQ5H47").write_bytes(b"half of it")
    for other in open_members(config):
        assert other.db1.get(url).data == ZIP
        assert list(folder.iterdir()) == []
        other.hub.index.rebuild()
        assert other.db1.get(url).data == ZIP


def test_nginx_is_told_where_the_file_is(config: Config) -> None:
    for members in open_members(Config(data_dir=config.data_dir, fsync="never", accel=True)):
        one = sent(members.web1, ZIP)["attachments"][0]
        reply = members.db1.get(one["url"])
        assert reply.data == b""
        place = f"/.claude-bus/files/{one['sha256'][:2]}/{one['sha256']}"
        assert reply.headers["X-Accel-Redirect"] == place
        assert reply.headers["Content-Type"] == "application/zip"


def test_a_long_text_is_told_the_line_for_files(members: Members) -> None:
    for reply in (
        members.web1.post("/post", json={"body": "x" * 65_537}),
        members.web1.post("/post?to=db1", data=b"x" * 65_537),
        members.web1.post("/post?to=db1", data=b"x" * (1 << 21)),
    ):
        assert "-T FILE" in refusal(reply, 413, "too_large")["hint"]


def test_a_disk_that_is_nearly_full_takes_no_file(
    members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fstatvfs

    def full(fd: int) -> os.statvfs_result:
        found = list(real(fd))
        found[4] = 0  # f_bavail
        return os.statvfs_result(found)

    monkeypatch.setattr(os, "fstatvfs", full)
    refusal(send(members.web1, ZIP), 507, "no_room")
    assert kept(members) == []
    assert members.web1.post("/post", json={"to": "db1", "body": "goes on"}).status_code == 201


def tend(members: Members) -> None:
    """Do the chore as often as it takes to come by everything."""
    for _ in range(256):
        members.hub.attachments.tend()


def test_the_files_can_be_elsewhere(config: Config, tmp_path: Path) -> None:
    place = tmp_path / "large disk"
    for members in open_members(Config(data_dir=config.data_dir, fsync="never", files_dir=place)):
        one = sent(members.web1, ZIP)["attachments"][0]
        assert (place / one["sha256"][:2] / one["sha256"]).read_bytes() == ZIP
