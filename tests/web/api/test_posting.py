"""POST /post: what a message may hold, and the forms in which curl sends it."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from bus.index.database import Index
from tests.conftest import USER, Caller
from tests.web.conftest import refusal


def test_a_message_is_answered_with_its_id_and_time_and_can_be_read_back(bus: Caller) -> None:
    reply = bus.post(
        "/post", json={"from": "alice", "to": "bob", "body": "hello", "tags": ["build"]}
    )
    assert reply.status_code == 201
    saved = reply.json
    assert {key: saved[key] for key in ("from", "to", "body", "tags", "priority", "auth")} == {
        "from": "alice", "to": "bob", "body": "hello", "tags": ["build"], "priority": "normal",
        "auth": USER,
    }  # fmt: skip
    assert len(saved["id"]) == 26
    assert saved["ts"].endswith("Z")
    for told in ("delivery", "recipients", "warnings"):
        del saved[told]
    assert bus.get(f"/messages/{saved['id']}").json == saved
    assert bus.get(f"/messages/{saved['seq']}").json == saved
    assert bus.get(f"/messages/{saved['id'].lower()}").json == saved


def test_two_fields_are_enough_and_the_message_goes_to_everybody(bus: Caller) -> None:
    saved = bus.post("/post", json={"from": "alice", "body": "hello"}).json
    assert (saved["to"], saved["tags"], saved["priority"]) == ("any", [], "normal")


@pytest.mark.parametrize(
    ("to", "kept"),
    [
        ("all", "any"),
        ("any", "any"),
        (["any"], "any"),
        (["all", "all"], "any"),
        (["bob"], "bob"),
        (["bob", "bob"], "bob"),
        (["bob", "carol", "bob"], ["bob", "carol"]),
        ("bob/alpha", "bob/alpha"),
        ("0.a_b-C", "0.a_b-C"),
        ("b" * 64 + "/" + "s" * 64,) * 2,
    ],
)
def test_to_is_one_name_or_several_or_everybody(bus: Caller, to: Any, kept: Any) -> None:
    assert bus.say(to=to)["to"] == kept


BODIES = [
    "x",
    "\n",
    "a\r\nb\n",
    " \t ",
    "\x1b[31mred\x07",
    "é\u2028\u202e\ufeff\ufffd",
    "😀👩‍👩‍👧",
    "\U000e0041\U0010ffff",
    '"\\/{}[]',
    "x" * 65_536,
    "é" * 32_768,
    "\x01\x7f\x85",
]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_a_body_is_kept_byte_for_byte_in_every_form(bus: Caller, body: str) -> None:
    raw = body.encode()
    bus.say(body)
    bus.post(
        "/post",
        data=json.dumps({"from": "alice", "to": "bob", "body": body}, ensure_ascii=False).encode(),
        content_type="application/json",
    )
    bus.post("/post?from=alice&to=bob", data=raw, content_type="text/plain")
    bus.post("/post?from=alice&to=bob", data=raw, content_type="application/x-www-form-urlencoded")
    bus.post(
        "/post",
        data={"from": "alice", "to": "bob", "body": body},
        content_type="application/x-www-form-urlencoded",
    )
    bus.post(
        "/post",
        data={"from": "alice", "to": "bob", "body": (io.BytesIO(raw), "note.md")},
        content_type="multipart/form-data",
    )
    bus.post(
        "/post",
        data=json.dumps({"from": "alice", "to": "bob", "body": body}),
        content_type="application/x-ndjson",
    )
    assert bus.bodies("unread_by=bob") == [body] * 7


def test_a_query_carries_the_fields_and_the_body_is_the_text(bus: Caller) -> None:
    query = {
        "from": "alice", "to": "bob,carol", "tags": "build, ok,", "priority": "urgent",
        "thread": "release 7", "data": '{"n":1}',
        "expires_in_s": "60", "client_id": "k1",
    }  # fmt: skip
    saved = bus.post(
        "/post", query_string=query, data=b"# note\nline\n", content_type="text/markdown"
    ).json
    assert (saved["to"], saved["tags"], saved["body"]) == (
        ["bob", "carol"],
        ["build", "ok"],
        "# note\nline\n",
    )
    assert (saved["priority"], saved["thread"], saved["data"], saved["client_id"]) == (
        "urgent",
        "release 7",
        {"n": 1},
        "k1",
    )
    assert "expires" in saved


def test_a_query_alone_is_a_message_too(bus: Caller) -> None:
    assert (
        bus.post("/post?from=alice&to=bob&body=caf%C3%A9+%EF%BF%BD%26").json["body"]
        == "café \ufffd&"
    )


@pytest.mark.parametrize(
    "kind",
    [
        "application/x-www-form-urlencoded",
        "text/plain",
        "application/octet-stream",
        "",
        "application/json; charset=utf-8",
    ],
)
def test_json_is_known_by_its_brace_when_curl_calls_it_otherwise(bus: Caller, kind: str) -> None:
    reply = bus.post(
        "/post", data=b' {"from":"alice","to":"bob","body":"hello"}', content_type=kind
    )
    assert reply.status_code == 201, reply.json
    assert bus.bodies("unread_by=bob") == ["hello"]


def test_with_fields_in_the_query_a_text_that_looks_like_json_stays_text(bus: Caller) -> None:
    saved = bus.post(
        "/post?from=alice",
        data=b'{"from":"mallory"}',
        content_type="application/x-www-form-urlencoded",
    ).json
    assert (saved["from"], saved["body"]) == ("alice", '{"from":"mallory"}')


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_form_carries_every_field(bus: Caller, kind: str) -> None:
    parent = bus.say()
    form = {
        "from": "alice",
        "to": "bob,carol",
        "body": "a=b&c",
        "tags": "x,y",
        "in_reply_to": str(parent["seq"]),
        "data": '{"a":[1]}',
    }
    saved = bus.post("/post", data=form, content_type=kind).json
    assert (saved["to"], saved["body"], saved["tags"], saved["data"]) == (
        ["bob", "carol"],
        "a=b&c",
        ["x", "y"],
        {"a": [1]},
    )
    assert saved["in_reply_to"] == parent["id"]


def test_data_of_every_json_type_is_kept(bus: Caller) -> None:
    data = {
        "a": [1, 2.5, -3, 1e300, True, None, "é", {"": {}}],
        "big": [2**64 - 1, -(2**63)],
        "deep": [[[[[[[[[[[[["14 levels"]]]]]]]]]]]]],
    }
    saved = bus.say(data=data)
    assert bus.get(f"/messages/{saved['id']}").json["data"] == data


def test_brackets_in_texts_are_no_levels(bus: Caller) -> None:
    assert (
        bus.say(body='[{"' * 5_000, data={"a": "[" * 1_000, "b": '\\"[' * 500})["body"]
        == '[{"' * 5_000
    )


def test_tags_are_kept_once_each_up_to_sixteen(bus: Caller) -> None:
    tags = [f"tag {number}" for number in range(16)]
    assert bus.say(tags=tags)["tags"] == tags
    assert bus.say(tags=["a", "b", "a", "ä" * 64])["tags"] == ["a", "b", "ä" * 64]


def test_a_reply_inherits_the_thread_of_its_parent(bus: Caller) -> None:
    root = bus.say("root")
    first = bus.say("first", in_reply_to=root["id"])
    second = bus.say("second", in_reply_to=first["seq"])
    other = bus.say("other", in_reply_to=root["id"].lower(), thread="elsewhere")
    assert (first["in_reply_to"], first["thread"]) == (root["id"], root["id"])
    assert (second["in_reply_to"], second["thread"]) == (first["id"], root["id"])
    assert (other["in_reply_to"], other["thread"]) == (root["id"], "elsewhere")
    assert bus.say("third", in_reply_to=other["id"])["thread"] == "elsewhere"
    assert bus.bodies(f"thread={root['id']}") == ["root", "first", "second"]
    assert bus.bodies("thread=elsewhere") == ["other", "third"]


@pytest.mark.parametrize("ref", [0, 99, "99", "0" * 26])
@pytest.mark.usefixtures("nothing_stored")
def test_a_reply_to_what_is_not_there_is_refused(bus: Caller, ref: Any) -> None:
    body = refusal(
        bus.post("/post", json={"from": "alice", "body": "x", "in_reply_to": ref}),
        422,
        "unknown_reply",
    )
    assert body["field"] == "in_reply_to"


def test_a_reply_to_a_record_that_is_no_message_is_refused(bus: Caller) -> None:
    bus.ack(bus.say())
    refusal(
        bus.post("/post", json={"from": "alice", "body": "x", "in_reply_to": 2}),
        422,
        "unknown_reply",
    )


def test_an_expiry_is_told_as_a_time(bus: Caller, later: Any) -> None:
    saved = bus.say(expires_in_s=60)
    assert saved["ts"] < saved["expires"]
    assert bus.say(expires_in_s=31_622_400)["expires"] > saved["expires"]
    assert bus.say(expires_in_s=1.5)["expires"] > saved["ts"]
    assert "expires_in_s" not in saved


def test_the_answer_says_how_each_recipient_is_doing(bus: Caller) -> None:
    assert bus.say(to="bob")["delivery"] == {
        "bob": {"last_seen": None, "last_fetch": None, "unread": 1}
    }
    assert bus.bodies("unread_by=bob") == ["hello"]
    bus.get("/messages?unread_by=carol")
    report = bus.say(to=["bob", "carol", "dave"])["delivery"]
    assert list(report) == ["bob", "carol", "dave"]
    assert report["bob"]["unread"] == 2
    assert report["bob"]["last_fetch"] is not None
    assert report["bob"]["last_seen"] >= report["bob"]["last_fetch"]
    assert report["carol"]["last_seen"] is not None
    assert report["carol"]["last_fetch"] is None
    assert report["dave"] == {"last_seen": None, "last_fetch": None, "unread": 1}


def test_the_answer_counts_what_was_posted_and_acknowledged_a_moment_ago(bus: Caller) -> None:
    counts = [bus.say(to="bob")["delivery"]["bob"]["unread"] for _ in range(3)]
    assert counts == [1, 2, 3]
    assert bus.get("/messages?unread_by=bob").json["count"] == 3
    bus.ack(bus.say(to="bob", client_id="k"), "bob")
    repeated = bus.say(to="bob", client_id="k")["delivery"]["bob"]
    assert repeated["unread"] == 3
    assert repeated["last_seen"] is not None
    assert (
        bus.say(to=["bob", "alice"], sender="alice")["delivery"]["alice"]["unread"] == 0
    )  # one's own is never unread


def test_a_broadcast_says_how_many_others_read_here(bus: Caller) -> None:
    assert bus.say(to="any")["delivery"] == {"any": {"readers": 0}}
    for reader in ("alice", "bob", "carol/s1"):
        bus.get(f"/messages?unread_by={reader}")
    assert bus.say(to="any")["delivery"] == {"any": {"readers": 2}}


def test_one_message_to_several_is_one_record(bus: Caller) -> None:
    saved = bus.say(to=["bob", "carol"])
    assert bus.bodies("unread_by=bob") == bus.bodies("unread_by=carol") == ["hello"]
    bus.ack(saved, "bob")
    assert bus.bodies("unread_by=bob") == []
    assert bus.bodies("unread_by=carol") == ["hello"]
    assert bus.get("/health").json["count"] == 1


def test_a_post_that_the_index_cannot_hold_now_is_a_post_all_the_same(
    bus: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Index, "catch_up", lambda self, **how: False)
        assert bus.say("kept")["seq"] == 1
        assert bus.get("/health").json["index_lag"] == 1
    assert bus.bodies("unread_by=bob") == ["kept"]


def test_a_large_object_is_read_as_a_small_one(bus: Caller) -> None:
    """Also where a text holds what looks like more of the object."""
    body = 'a "quoted": [text], {with} \\ backslashes\\\\, \u00e9 and \n: ' * 400
    data = {
        "n": [0, -1, 1.5, 1e300, 2**64 - 1, -(2**63), True, None],
        "text": '","from":"admin"',
        "é": {"a": {}, "b": []},
    }
    stored = bus.say(body, data=data)
    assert (stored["body"], stored["data"], stored["from"]) == (body, data, "alice")
