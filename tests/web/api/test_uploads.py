"""Uploads in parts: what broke goes on, and becomes one message."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from tests.fleet import As
from tests.web.api.test_attachments import kept, tend
from tests.web.conftest import Members, refusal

DATA = b"0123456789" * 1_000


def begun(caller: As, **fields: Any) -> str:
    reply = caller.post("/uploads", json={"name": "a.txt", "size": len(DATA), **fields})
    assert reply.status_code == 201, reply.json
    return str(reply.json["id"])


def part(caller: As, id: str, offset: int, data: bytes, **more: Any) -> Any:
    headers = {"Upload-Offset": str(offset)}
    return caller.call("PATCH", f"/uploads/{id}", data=data, headers=headers, **more)


def whole(caller: As) -> str:
    id = begun(caller)
    assert part(caller, id, 0, DATA).json["offset"] == len(DATA)
    return id


def test_an_upload_goes_on_where_it_broke(members: Members) -> None:
    id = begun(members.web1, sha256=hashlib.sha256(DATA).hexdigest())
    broken = {"data": DATA[:4_000], "environ_overrides": {"CONTENT_LENGTH": str(len(DATA))}}
    headers = {"Upload-Offset": "0"}
    reply = members.web1.call("PATCH", f"/uploads/{id}", headers=headers, **broken)
    refusal(reply, 400, "bad_request")
    head = members.web1.call("HEAD", f"/uploads/{id}")
    assert head.headers["Upload-Offset"] == "4000"
    assert refusal(part(members.web1, id, 0, DATA), 409, "wrong_offset")["offset"] == 4_000
    early = members.web1.post("/files", json={"uploads": [id], "to": "db1"})
    assert refusal(early, 409, "upload_incomplete")["offset"] == 4_000
    assert part(members.web1, id, 4_000, DATA[4_000:]).json["offset"] == len(DATA)
    message = members.web1.post("/files", json={"uploads": [id], "to": "db1"}).json
    assert message["body"] == "a.txt"
    (one,) = message["attachments"]
    assert (one["id"], one["sha256"]) == (id, hashlib.sha256(DATA).hexdigest())
    assert members.db1.get(one["url"]).data == DATA
    assert kept(members) == [one["sha256"]]
    refusal(members.web1.get(f"/uploads/{id}"), 404, "no_such_upload")


def test_an_upload_is_posted_once(members: Members) -> None:
    id = whole(members.web1)
    fields = {"uploads": [id], "to": "db1", "client_id": "k1"}
    first, again = (members.web1.post("/files", json=fields) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json["replayed"] is True
    assert again.json["attachments"] == first.json["attachments"]
    other = members.web1.post("/files", json={**fields, "body": "other"})
    refusal(other, 422, "key_reused")
    refusal(members.web1.post("/files", json={**fields, "client_id": "k2"}), 404, "no_such_upload")
    assert len(members.records("message")) == 1


def test_a_crash_between_the_message_and_the_end_of_the_upload(
    members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = whole(members.web1)
    monkeypatch.setattr("bus.log.contents.Part.drop", lambda part: None)
    fields = {"uploads": [id], "to": "db1", "client_id": "k1"}
    first = members.web1.post("/files", json=fields).json
    monkeypatch.undo()
    refusal(members.web1.post("/files", json={**fields, "client_id": "k2"}), 404, "no_such_upload")
    again = members.web1.post("/files", json=fields).json
    assert (again["seq"], again["replayed"]) == (first["seq"], True)
    assert kept(members) == [first["attachments"][0]["sha256"]]


def test_an_upload_is_of_who_began_it(members: Members) -> None:
    id = whole(members.web1)
    for reply in (
        members.db1.get(f"/uploads/{id}"),
        part(members.db1, id, 0, b"x"),
        members.db1.delete(f"/uploads/{id}"),
        members.db1.post("/files", json={"uploads": [id], "to": "web1"}),
        members.admin.get("/uploads/..%2Flock"),
    ):
        assert reply.status_code == 404
    assert members.web1.delete(f"/uploads/{id}").json == {"ok": True, "id": id}
    refusal(members.web1.get(f"/uploads/{id}"), 404, "no_such_upload")


def test_an_upload_takes_one_request_at_a_time(members: Members) -> None:
    id = begun(members.web1)
    other, _ = members.hub.attachments.contents.open(id)
    refusal(part(members.web1, id, 0, DATA), 409, "upload_busy")
    other.close()
    assert part(members.web1, id, 0, DATA).status_code == 200


def test_an_upload_keeps_to_its_size_and_its_sum(members: Members) -> None:
    id = begun(members.web1, size=5)
    assert refusal(part(members.web1, id, 0, b"123456"), 413, "too_large")["limit"] == 5
    id = begun(members.web1, sha256="0" * 64)
    part(members.web1, id, 0, DATA)
    reply = members.web1.post("/files", json={"uploads": [id], "to": "db1"})
    refusal(reply, 422, "sum_differs")
    refusal(members.web1.get(f"/uploads/{id}"), 404, "no_such_upload")
    assert not any(len(name) == 64 for name in kept(members))


def test_an_upload_that_nobody_goes_on_with_is_removed(members: Members) -> None:
    id = begun(members.web1)
    part(members.web1, id, 0, b"half")
    members.later(86_000)
    tend(members)
    assert members.web1.get(f"/uploads/{id}").json["offset"] == 4
    members.later(87_000)
    tend(members)
    refusal(members.web1.get(f"/uploads/{id}"), 404, "no_such_upload")
    assert kept(members) == []


@pytest.mark.parametrize(
    "fields",
    [{"size": -1}, {"size": "5"}, {"name": "a/b"}, {"sha256": "x"}, {"size": 3 << 30}, {"to": "a"}],
)
def test_an_upload_that_cannot_be_is_not_begun(members: Members, fields: dict[str, Any]) -> None:
    reply = members.web1.post("/uploads", json={"name": "a", "size": 1, **fields})
    assert reply.status_code in (400, 413)
    assert kept(members) == []
