"""POST /post as NDJSON: many messages in one request, each judged on its own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import Caller
from tests.web.conftest import last_seq, refusal


def lines(*messages: Any) -> bytes:
    return b"".join(
        message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n"
        for message in messages
    )


def post(
    bus: Caller, body: bytes, query: str = "", **headers: str
) -> tuple[int, list[dict[str, Any]]]:
    """The status and the results of a batch."""
    reply = bus.post(
        f"/post{query}", data=body, content_type="application/x-ndjson", headers=headers
    )
    assert reply.mimetype == "application/x-ndjson", reply.get_data()
    return reply.status_code, [json.loads(line) for line in reply.get_data().splitlines()]


def message(number: int, **fields: Any) -> dict[str, Any]:
    return {"from": "alice", "to": "bob", "body": f"m{number}", **fields}


def test_there_is_one_result_a_line_in_order(bus: Caller) -> None:
    status, results = post(bus, lines(*(message(number) for number in range(3))))
    assert status == 201
    assert [(result["ok"], result["line"], result["seq"],
             result["body"]) for result in results] == [
        (True, 1, 1, "m0"), (True, 2, 2, "m1"), (True, 3, 3, "m2"),
    ]  # fmt: skip
    assert bus.bodies("unread_by=bob") == ["m0", "m1", "m2"]


def test_a_bad_line_is_refused_on_its_own_and_named(bus: Caller) -> None:
    bad = [
        b"not json\n",
        b"\n",
        b"[1]\n",
        b'{"from":"alice","body":"\xff"}\n',
        b'{"from":"alice","body":"\\u0000"}\n',
    ]
    status, results = post(
        bus,
        lines(
            message(0),
            *bad,
            message(1, colour="red"),
            message(2, body="x" * 65_537),
            message(3, in_reply_to=77),
            message(4),
        ),
    )
    assert status == 201
    assert [(result["line"], result.get("error"), result.get("status")) for result in results] == [
        (1, None, None), *((line, "bad_json", 400) for line in range(2, 7)),
        (7, "unknown_field", 400), (8, "too_large", 413),
        (9, "unknown_reply", 422), (10, None, None),
    ]  # fmt: skip
    assert results[7]["size"] == 65_537
    assert all(
        {"ok", "error", "message", "hint", "docs"} <= result.keys()
        for result in results
        if not result["ok"]
    )
    assert bus.bodies("unread_by=bob") == ["m0", "m4"]


@pytest.mark.usefixtures("nothing_stored")
def test_when_every_line_is_bad_the_status_says_so(bus: Caller) -> None:
    status, results = post(bus, b"{}\nx\n")
    assert status == 400
    assert [result["error"] for result in results] == ["missing_field", "bad_json"]


def test_a_thousand_messages_are_one_request_and_one_more_is_too_many(bus: Caller) -> None:
    refusal(
        bus.post(
            "/post", data=lines(*map(message, range(1_001))), content_type="application/x-ndjson"
        ),
        413,
        "too_large",
    )
    assert last_seq(bus) == 0
    status, results = post(bus, lines(*map(message, range(1_000))))
    assert (status, len(results), last_seq(bus)) == (201, 1_000, 1_000)


def test_the_last_newline_may_be_missing_and_lines_may_end_in_crlf(bus: Caller) -> None:
    assert (
        post(bus, lines(message(0)).replace(b"\n", b"\r\n") + json.dumps(message(1)).encode())[0]
        == 201
    )
    assert bus.bodies("unread_by=bob") == ["m0", "m1"]


@pytest.mark.usefixtures("nothing_stored")
@pytest.mark.parametrize("body", [b"", b" "])
def test_an_empty_batch_is_refused(bus: Caller, body: bytes) -> None:
    refusal(bus.post("/post", data=body, content_type="application/x-ndjson"), 400, "bad_json")


def test_the_query_gives_what_a_line_leaves_out(bus: Caller) -> None:
    _, results = post(
        bus, lines({"body": "one"}, {"body": "two", "to": "carol"}), "?from=alice&to=bob&tags=a,b"
    )
    assert [(result["from"], result["to"], result["tags"]) for result in results] == [
        ("alice", "bob", ["a", "b"]),
        ("alice", "carol", ["a", "b"]),
    ]


def test_a_message_of_the_batch_can_be_replied_to_in_the_next(bus: Caller) -> None:
    _, (first,) = post(bus, lines(message(0)))
    _, (second,) = post(bus, lines(message(1, in_reply_to=first["id"])))
    assert second["thread"] == first["id"]


def test_a_repeated_batch_is_answered_with_the_first_messages(bus: Caller) -> None:
    batch = lines(message(0), b"bad\n", message(1, client_id="mine"))
    _, first = post(bus, batch, **{"Idempotency-Key": "batch-7"})
    status, again = post(bus, batch, **{"Idempotency-Key": '"batch-7"'})
    assert status == 201
    assert [result.get("client_id") for result in first] == ["batch-7#1", None, "mine"]
    assert [result.get("seq") for result in again] == [result.get("seq") for result in first]
    assert [result.get("replayed") for result in again] == [True, None, True]
    assert last_seq(bus) == 2


def test_a_repeated_batch_with_another_line_is_refused_there(bus: Caller) -> None:
    key = {"Idempotency-Key": "batch"}
    post(bus, lines(message(0), message(1)), **key)
    status, results = post(bus, lines(message(0), message(9), message(2)), **key)
    assert status == 201
    assert [(result.get("replayed"), result.get("error"),
             result.get("status")) for result in results] == [
        (True, None, None), (None, "key_reused", 422), (None, None, None),
    ]  # fmt: skip
    assert last_seq(bus) == 3


def test_a_key_twice_in_one_batch_is_one_message(bus: Caller) -> None:
    _, results = post(
        bus, lines(message(0, client_id="k"), message(0, client_id="k"), message(1, client_id="k"))
    )
    assert [(result.get("seq"), result.get("replayed"),
             result.get("error")) for result in results] == [
        (1, None, None), (1, True, None), (None, None, "key_reused"),
    ]  # fmt: skip


@pytest.mark.usefixtures("nothing_stored")
def test_a_key_too_long_to_be_told_apart_is_refused(bus: Caller) -> None:
    status, (result,) = post(bus, lines(message(0)), **{"Idempotency-Key": "k" * 254})
    assert (status, result["error"], result["field"]) == (400, "bad_field", "client_id")


def test_millions_of_lines_are_counted_before_they_are_made(bus: Caller) -> None:
    body = refusal(
        bus.post("/post", data=b"\n" * 2_000_000, content_type="application/x-ndjson"),
        413,
        "too_large",
    )
    assert body["size"] == 2_000_000
