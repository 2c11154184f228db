"""Whatever is not well formed is refused with a clear 4xx, and nothing of it is stored."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from bus.errors import BadJson
from bus.model.strict_json import load_object
from tests.conftest import Caller
from tests.web.conftest import new_hub, refusal

pytestmark = pytest.mark.usefixtures("nothing_stored")


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    """One hub for all: it stays as it was after every test here."""
    yield from new_hub(tmp_path_factory.mktemp("bad"))


GOOD = {"from": "alice", "body": "hello"}


def with_data(text: str) -> bytes:
    """A message whose `data` is this JSON."""
    return b'{"from":"alice","body":"x","data":{"a":' + text.encode() + b"}}"


def with_body(text: bytes) -> bytes:
    """A message whose `body` is this, as it stands between the quotes."""
    return b'{"from":"alice","body":"' + text + b'"}'


NOT_STRICT_JSON = {
    "empty": b"",
    "white space": b" \n",
    "a list": b"[]",
    "a list of messages": b'[{"from":"alice","body":"x"}]',
    "null": b"null",
    "true": b"true",
    "a number": b"1",
    "a string": b'"hello"',
    "cut off": b'{"from":"alice","body":"x"',
    "trailing comma": b'{"from":"alice","body":"x",}',
    "trailing text": b'{"from":"alice","body":"x"} x',
    "two objects": b'{"from":"alice","body":"x"}{"from":"alice","body":"x"}',
    "single quotes": b"{'from':'alice','body':'x'}",
    "a comment": b'{"from":"alice",/* */"body":"x"}',
    "invalid UTF-8": with_body(b"\xff"),
    "UTF-8 cut off": with_body(b"\xe2\x82"),
    "overlong UTF-8": with_body(b"\xc0\xaf"),
    "a surrogate as UTF-8": with_body(b"\xed\xa0\x80"),
    "byte order mark": b"\xef\xbb\xbf" + with_body(b"x"),
    "UTF-16": with_body(b"x").decode().encode("utf-16"),
    "UTF-16 without mark": with_body(b"x").decode().encode("utf-16-le"),
    "UTF-32": with_body(b"x").decode().encode("utf-32"),
    "NaN": with_data("NaN"),
    "Infinity": with_data("Infinity"),
    "-Infinity": with_data("-Infinity"),
    "1e400": with_data("1e400"),
    "-1e400": with_data("-1e400"),
    "more than 64 bits": with_data(str(2**64)),
    "5000 digits": with_data("9" * 5_000),
    "a number over 64 bits": with_data(str(2**64)),
    "a number under 64 bits": with_data(str(-(2**63) - 1)),
    "5000 digits in a field": b'{"from":"alice","body":"x","in_reply_to":' + b"9" * 5_000 + b"}",
    "a lone high surrogate": with_body(rb"\ud800"),
    "a lone low surrogate": with_body(rb"a\udc00b"),
    "surrogates in the wrong order": with_body(rb"\udc00\ud800"),
    "a lone surrogate in data": with_data(r'"\udfff"'),
    "a lone surrogate as a key": with_data(r'{"\ud800":1}'),
    "NUL, raw": with_body(b"a\0b"),
    "NUL, escaped": with_body(rb"a\u0000b"),
    "NUL in data": with_data(r'["\u0000"]'),
    "NUL in a key": with_data(r'{"\u0000":1}'),
    "NUL behind the object": with_body(b"x") + b"\0",
    "a raw newline in a string": with_body(b"a\nb"),
    "a raw ESC in a string": with_body(b"\x1b[2J"),
    "a duplicate key": b'{"from":"alice","from":"admin","body":"x"}',
    "a duplicate key, escaped": rb'{"from":"alice","\u0066rom":"admin","body":"x"}',
    "a duplicate key in data": with_data('{"b":1,"b":2}'),
    "17 levels": with_data("[" * 15 + "]" * 15),
    "100,000 brackets": with_data("[" * 100_000 + "]" * 100_000),
    "100,000 open brackets": b"[" * 100_000,
    "100,000 braces": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "5,001 numbers": with_data("[" + "1," * 5_000 + "1]"),
    "5,001 texts": with_data("[" + '"",' * 5_000 + "1]"),
    "5,001 keys": with_data("{" + ",".join(f'"{number}":1' for number in range(2_502)) + "}"),
    "a duplicate key in a large object": (
        b'{"from":"alice","body":"' + b"x" * 9_000 + b'","from":"admin"}'
    ),
    "a number too long in a large object": with_data(
        '{"a":"' + "x" * 9_000 + '","b":123456789012345678901}'
    ),
    "17 levels behind a long text": with_data('["' + "x" * 9_000 + '",' + "[" * 15 + "]" * 16),
    "a long text without an end": b'{"from":"alice","body":"' + b'\\"' * 9_000,
    "brackets behind a text with quotes": with_data(r'["\"",' + "[" * 20 + "]" * 21),
}


@pytest.mark.parametrize("body", NOT_STRICT_JSON.values(), ids=NOT_STRICT_JSON.keys())
@pytest.mark.parametrize("route", ["/post", "/ack", "/ack/1"])
def test_what_is_not_strict_json_is_refused(bus: Caller, route: str, body: bytes) -> None:
    code = "missing_field" if not body.strip() and route != "/post" else "bad_json"
    refusal(bus.post(route, data=body, content_type="application/json"), 400, code)


def test_hostile_quotes_cost_no_time(bus: Caller) -> None:
    started = time.monotonic()
    refusal(
        bus.post("/post", data=b"[" * 17 + b'"' + b'\\"' * 40_000, content_type="application/json"),
        400,
        "bad_json",
    )
    assert time.monotonic() - started < 2, (
        "a quadratic scan takes 20 s here, and hours for a megabyte"
    )


def test_megabytes_are_looked_through_in_pieces_and_only_as_far_as_needed() -> None:
    """Counting stops at the first too many, and others have their turns while a long text is passed
    over.
    """
    turns: list[int] = []
    numbers = b'{"a":[' + b"1," * 1_000_000 + b"1]}"
    with pytest.raises(BadJson, match="more than 5000"):
        load_object(numbers, rest=lambda: turns.append(1))
    assert turns == []
    assert load_object(b'{"a":"' + b'\\"' * 500_000 + b'"}', rest=lambda: turns.append(1)) == {
        "a": '"' * 500_000
    }
    assert len(turns) >= 20


WRONG_VALUES: dict[str, list[Any]] = {
    "from": [1, True, [], ["alice"], {}, "", " ", "any", "all", "a b", "a\n", "\na", ".a", "-a",
             "_a", "a/", "/a", "a/b/c",
             "a//b", "a/.b", "ä", "a\u200b", "a" * 65, "a/" + "b" * 65, "a@b", "a,b"],
    "to": [None, 1, True, {}, "", "a b", "a\n", "b/", "a" * 65, [], ["bob", 1], ["bob", ""],
           ["bob", ["carol"]], ["bob", "any"],
           ["all", "bob"], [f"n{number}" for number in range(65)], "a,b"],
    "body": [1, 1.5, True, [], ["x"], {}, {"text": "x"}, ""],
    "tags": [None, "build", 1, {}, [1], [None], [""], [" a"], ["a "], ["a\n"], ["a,b"], ["a\tb"],
             ["\x1b"], ["\u202e"],
             ["\U000e0041"], ["a" * 65], [f"t{number}" for number in range(17)]],
    "in_reply_to": [None, True, -1, 1.5, 10**18, 2**63, "", "x", "-1", "0" * 19, "0" * 25, "é" * 26,
                    [], [1], {}],
    "thread": [None, 1, [], {}, "", " a", "a\n", "a\x1b", "a" * 129],
    "priority": [None, 1, True, [], {}, "", "high", "URGENT", "normal "],
    "data": [None, 1, True, "{}", [], [{}]],
    "expires_in_s": [None, True, "60", 0, 0.5, -1, 31_622_401, 10**18, [], {}],
    "client_id": [None, 1, True, [], {}, "", "é", "a\nb", "a" * 256],
}  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value"),
    [(field, value) for field, values in WRONG_VALUES.items() for value in values],
    ids=lambda value: repr(value)[:30],
)
def test_a_wrong_value_is_refused_and_its_field_is_named(
    bus: Caller, field: str, value: Any
) -> None:
    body = refusal(bus.post("/post", json={**GOOD, field: value}), 400, "bad_field")
    assert body["field"] == field


@pytest.mark.parametrize("field", ["from", "to", "body"])
def test_null_is_no_value(bus: Caller, field: str) -> None:
    assert (
        refusal(bus.post("/post", json={**GOOD, field: None}), 400, "bad_field")["field"] == field
    )


@pytest.mark.parametrize("field", ["from", "to"])
@pytest.mark.parametrize("name", ["All", "ANY", "any/x", "all/"])
def test_a_name_that_looks_like_everybody_is_nobodys(bus: Caller, field: str, name: str) -> None:
    refusal(bus.post("/post", json={**GOOD, field: name}), 400, "bad_field")


@pytest.mark.parametrize("field", ["from", "body"])
def test_a_missing_field_is_named(bus: Caller, field: str) -> None:
    given: dict[str, Any] = {name: value for name, value in GOOD.items() if name != field}
    assert refusal(bus.post("/post", json=given), 400, "missing_field")["field"] == field


@pytest.mark.parametrize(
    ("field", "meant"),
    [
        ("form", "from"),
        ("tag", "tags"),
        ("expires_in", "expires_in_s"),
        ("From", "from"),
        ("", None),
        ("id", None),
        ("seq", None),
        ("ts", None),
        ("kind", None),
        ("auth", None),
        ("sum", None),
        ("__proto__", None),
        ("x" * 100_000, None),
    ],
)
def test_an_unknown_field_is_told_with_the_nearest_that_exists(
    bus: Caller, field: str, meant: str | None
) -> None:
    body = refusal(bus.post("/post", json={**GOOD, field: "x"}), 400, "unknown_field")
    assert meant is None or f"Did you mean `{meant}`?" in body["hint"]
    assert len(json.dumps(body)) < 1_000


TOO_LARGE: dict[str, tuple[dict[str, Any], int, int]] = {
    "body by one byte": ({**GOOD, "body": "x" * 65_537}, 65_537, 65_536),
    "body by one byte of UTF-8": ({**GOOD, "body": "é" * 32_768 + "x"}, 65_537, 65_536),
    "data": ({**GOOD, "data": {"a": "x" * 8_185}}, 8_193, 8_192),
}


@pytest.mark.parametrize(("message", "size", "limit"), TOO_LARGE.values(), ids=TOO_LARGE.keys())
def test_too_much_is_refused_with_both_sizes(
    bus: Caller, message: dict[str, Any], size: int, limit: int
) -> None:
    body = refusal(bus.post("/post", json=message), 413, "too_large")
    assert (body["size"], body["limit"]) == (size, limit)
    assert str(size) in body["message"]
    assert str(limit) in body["message"]


@pytest.mark.parametrize(
    ("path", "kind", "limit"),
    [
        ("/post", "application/json", 1024 * 1024),
        ("/post?from=alice", "text/plain", 1024 * 1024),
        ("/post", "application/x-www-form-urlencoded", 1024 * 1024),
        ("/post", "multipart/form-data; boundary=b", 1024 * 1024),
        ("/post", "application/x-ndjson", 8 * 1024 * 1024),
        ("/ack", "application/json", 1024 * 1024),
        ("/ack/1", "application/json", 1024 * 1024),
    ],
)
def test_a_request_one_byte_too_large_is_refused_with_both_sizes(
    bus: Caller, path: str, kind: str, limit: int
) -> None:
    body = refusal(bus.post(path, data=b" " * (limit + 1), content_type=kind), 413, "too_large")
    assert (body["size"], body["limit"]) == (limit + 1, limit)


def test_a_text_of_one_byte_too_much_is_refused_with_both_sizes(bus: Caller) -> None:
    body = refusal(
        bus.post("/post?from=alice", data=b"x" * 65_537, content_type="text/plain"),
        413,
        "too_large",
    )
    assert (body["size"], body["limit"]) == (65_537, 65_536)


BAD_TEXTS = {
    "invalid UTF-8": b"a\xff",
    "NUL": b"a\0b",
    "a surrogate": b"\xed\xa0\x80",
    "UTF-16": "hello".encode("utf-16"),
}


@pytest.mark.parametrize("text", BAD_TEXTS.values(), ids=BAD_TEXTS.keys())
def test_a_raw_text_that_is_not_clean_is_refused(bus: Caller, text: bytes) -> None:
    refusal(bus.post("/post?from=alice", data=text, content_type="text/plain"), 400, "bad_json")


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ("from=alice&from=bob", "bad_field", "from"),
        ("from=alice&body=x&body=x", "bad_field", "body"),
        ("from=alice&form=x", "unknown_field", "form"),
        ("from=alice&tags=a,b%0ac", "bad_field", "tags"),
        ("from=alice&to=bob,", "bad_field", "to"),
        ("from=alice&expires_in_s=soon", "bad_field", "expires_in_s"),
        ("from=alice&expires_in_s=1_0", "bad_field", "expires_in_s"),
        ("from=alice&expires_in_s=nan", "bad_field", "expires_in_s"),
        ("from=alice&expires_in_s=inf", "bad_field", "expires_in_s"),
        ("from=alice&expires_in_s=%D9%A3", "bad_field", "expires_in_s"),
        ("from=alice&in_reply_to=x", "bad_field", "in_reply_to"),
        ("from=alice&data=%5B%5D", "bad_json", None),
        ("from=alice&data=%7B%22a%22:1,%22a%22:2%7D", "bad_json", None),
        ("from=alice&thread=%ff", "bad_field", None),
        ("from=alice&thread=a%00b", "bad_json", None),
        ("from=alice%0a", "bad_field", "from"),
    ],
)
def test_a_bad_query_of_a_post_is_refused(
    bus: Caller, query: str, code: str, field: str | None
) -> None:
    body = refusal(bus.post(f"/post?{query}", data=b"text", content_type="text/plain"), 400, code)
    assert body.get("field") == field


def test_a_field_in_the_query_and_in_the_body_is_refused(bus: Caller) -> None:
    assert refusal(bus.post("/post?from=mallory", json=GOOD), 400, "bad_field")["field"] == "from"
    assert (
        refusal(
            bus.post("/post?from=a&body=b", data=b"c", content_type="text/plain"), 400, "bad_field"
        )["field"]
        == "body"
    )
    assert (
        refusal(
            bus.post("/ack?reader=mallory", json={"reader": "bob", "ids": [1]}), 400, "bad_field"
        )["field"]
        == "reader"
    )


BAD_FORMS = {
    "a field twice": b"from=alice&from=bob&body=x",
    "invalid UTF-8": b"from=alice&body=%ff",
    "raw bytes": "from=alice&body=é".encode(),
    "no pairs": b"hello",
    "65 fields": b"&".join(b"f%d=x" % number for number in range(65)),
}


@pytest.mark.parametrize("form", BAD_FORMS.values(), ids=BAD_FORMS.keys())
def test_a_bad_form_is_refused(bus: Caller, form: bytes) -> None:
    refusal(
        bus.post("/post", data=form, content_type="application/x-www-form-urlencoded"),
        400,
        "bad_field",
    )


def part(name: str, value: bytes, file: str = "") -> bytes:
    return b'--b\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n' % (
        name.encode(),
        file.encode(),
        value,
    )


BAD_MULTIPART = {
    "a field twice": part("from", b"alice") + part("from", b"bob"),
    "invalid UTF-8": part("from", b"alice") + part("body", b"\xff"),
    "a file that is no body": part("from", b"alice") + part("notes", b"x", '; filename="n"'),
    "a file and a field": (
        part("from", b"alice") + part("body", b"x") + part("body", b"x", '; filename="n"')
    ),
}


@pytest.mark.parametrize("parts", BAD_MULTIPART.values(), ids=BAD_MULTIPART.keys())
def test_a_bad_multipart_form_is_refused(bus: Caller, parts: bytes) -> None:
    refusal(
        bus.post(
            "/post", data=parts + b"--b--\r\n", content_type="multipart/form-data; boundary=b"
        ),
        400,
        "bad_field",
    )


@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary=other"])
def test_a_multipart_form_without_its_boundary_is_refused(bus: Caller, kind: str) -> None:
    refusal(
        bus.post("/post", data=part("from", b"alice") + b"--b--\r\n", content_type=kind),
        400,
        "missing_field",
    )


@pytest.mark.parametrize("kind", ["application/xml", "image/png", "application/jsonx", "video/mp4"])
def test_a_foreign_content_type_is_refused(bus: Caller, kind: str) -> None:
    refusal(bus.post("/post", data=json.dumps(GOOD), content_type=kind), 415, "unsupported_media")


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "deflate", "br", "zstd", "gzip, identity"])
@pytest.mark.parametrize(
    "kind",
    ["application/json", "application/x-ndjson", "text/plain", "multipart/form-data; boundary=b"],
)
def test_a_compressed_body_is_refused(bus: Caller, kind: str, coding: str) -> None:
    reply = bus.post(
        "/post", data=json.dumps(GOOD), content_type=kind, headers={"Content-Encoding": coding}
    )
    refusal(reply, 415, "unsupported_media")


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ("sinse=1", "unknown_field", "sinse"),
        ("since=1&since=2", "bad_field", "since"),
        ("format=text&format=json", "bad_field", "format"),
        ("since=", "bad_field", "since"),
        ("since=-1", "bad_field", "since"),
        ("since=x", "bad_field", "since"),
        ("since=1.5", "bad_field", "since"),
        ("since=9999999999999999999", "bad_field", "since"),
        ("since=%D9%A3", "bad_field", "since"),
        ("before=x", "bad_field", "before"),
        ("to=", "bad_field", "to"),
        ("to=a,b", "bad_field", "to"),
        ("to=a%0a", "bad_field", "to"),
        ("from=any", "bad_field", "from"),
        ("from=a%20b", "bad_field", "from"),
        ("unread_by=all", "bad_field", "unread_by"),
        ("unread_by=", "bad_field", "unread_by"),
        ("tag=", "bad_field", "tag"),
        ("tag=a,b", "bad_field", "tag"),
        ("tag=a%00", "bad_json", None),
        ("thread=", "bad_field", "thread"),
        ("limit=0", "bad_field", "limit"),
        ("limit=501", "bad_field", "limit"),
        ("limit=-1", "bad_field", "limit"),
        ("limit=ten", "bad_field", "limit"),
        ("limit=1e2", "bad_field", "limit"),
        ("limit=%C2%B2", "bad_field", "limit"),
        ("limit=" + "9" * 5_000, "bad_field", "limit"),
        ("wait=61", "bad_field", "wait"),
        ("wait=-1", "bad_field", "wait"),
        ("wait=nan", "bad_field", "wait"),
        ("wait=inf", "bad_field", "wait"),
        ("wait=soon", "bad_field", "wait"),
        ("order=newest", "bad_field", "order"),
        ("expired=yes", "bad_field", "expired"),
        ("format=xml", "bad_field", "format"),
        ("to=%ff", "bad_field", None),
        ("tag=%ED%A0%80", "bad_field", None),
    ],
)
def test_a_bad_query_of_a_read_is_refused(
    bus: Caller, query: str, code: str, field: str | None
) -> None:
    body = refusal(bus.get(f"/messages?{query}"), 400, code)
    assert body.get("field") == field


@pytest.mark.parametrize(
    "route", ["/", "/health", "/messages/1", "/messages/1/receipts", "/search", "/stream"]
)
def test_every_reading_route_refuses_a_parameter_it_does_not_know(bus: Caller, route: str) -> None:
    assert refusal(bus.get(f"{route}?colour=red"), 400, "unknown_field")["field"] == "colour"


@pytest.mark.parametrize(
    "route",
    [
        "/agents",
        "/agents/bob/heartbeat",
        "/ask",
        "/ask/1/answer",
        "/leases",
        "/digest",
    ],
)
def test_every_writing_route_refuses_a_parameter_where_it_takes_none(
    bus: Caller, route: str
) -> None:
    reply = bus.post(f"{route}?colour=red", json={})
    body = refusal(reply, 400, "unknown_field")
    assert (body["field"], body["hint"]) == ("colour", "It takes no parameters.")


@pytest.mark.parametrize("parameter", ["limit=1", "before=1", "wait=1", "order=desc"])
def test_a_stream_refuses_what_only_a_page_has(bus: Caller, parameter: str) -> None:
    refusal(bus.get(f"/stream?{parameter}"), 400, "unknown_field")


@pytest.mark.parametrize(
    ("given", "code", "field"),
    [
        ({}, "missing_field", "reader"),
        ({"reader": None, "ids": [1]}, "missing_field", "reader"),
        ({"ids": [1]}, "missing_field", "reader"),
        ({"reader": "bob"}, "missing_field", "ids"),
        ({"reader": "bob", "ids": [1], "through": 1}, "missing_field", "ids"),
        ({"reader": "any", "ids": [1]}, "bad_field", "reader"),
        ({"reader": "b\n", "ids": [1]}, "bad_field", "reader"),
        ({"reader": 1, "ids": [1]}, "bad_field", "reader"),
        ({"reader": "bob", "ids": 1}, "bad_field", "ids"),
        ({"reader": "bob", "ids": None}, "bad_field", "ids"),
        ({"reader": "bob", "ids": []}, "bad_field", "ids"),
        ({"reader": "bob", "ids": {}}, "bad_field", "ids"),
        ({"reader": "bob", "ids": [True]}, "bad_field", "ids"),
        ({"reader": "bob", "ids": [[1]]}, "bad_field", "ids"),
        ({"reader": "bob", "ids": ["x"]}, "bad_field", "ids"),
        ({"reader": "bob", "ids": [1] * 1_001}, "bad_field", "ids"),
        ({"reader": "bob", "through": None}, "bad_field", "through"),
        ({"reader": "bob", "through": [1]}, "bad_field", "through"),
        ({"reader": "bob", "id": 1}, "unknown_field", "id"),
        ({"Reader": "bob", "ids": [1]}, "unknown_field", "Reader"),
    ],
)
def test_a_bad_acknowledgement_is_refused(
    bus: Caller, given: dict[str, Any], code: str, field: str
) -> None:
    assert refusal(bus.post("/ack", json=given), 400, code)["field"] == field


@pytest.mark.parametrize(
    "ref", ["x", "-1", "1.5", "1%20", "%00", "%ff", "0" * 19, "any", "%F0%9F%98%80"]
)
@pytest.mark.parametrize("route", ["/messages/{}", "/messages/{}/receipts"])
def test_what_is_neither_an_id_nor_a_seq_is_refused(bus: Caller, route: str, ref: str) -> None:
    assert refusal(bus.get(route.format(ref)), 400, "bad_field")["field"] == "id"


@pytest.mark.parametrize(
    "ref", ["nosuch", "x", "-1", "1.5", "1%20", "%00", "%ff", "0" * 19, "any", "%F0%9F%98%80"]
)
def test_what_cannot_be_an_id_is_the_id_of_no_message_to_acknowledge(bus: Caller, ref: str) -> None:
    assert (
        "id"
        in refusal(bus.post(f"/ack/{ref}", json={"reader": "bob"}), 404, "not_found")["message"]
    )


@pytest.mark.parametrize("value", ["", "é", "a" * 256, "a\tb"])
def test_a_bad_idempotency_key_is_refused(bus: Caller, value: str) -> None:
    reply = bus.post("/post", json=GOOD, headers={"Idempotency-Key": value})
    assert refusal(reply, 400, "bad_field")["field"] == "Idempotency-Key"


def test_two_different_keys_in_one_request_are_refused(bus: Caller) -> None:
    reply = bus.post("/post", json={**GOOD, "client_id": "one"}, headers={"Idempotency-Key": "two"})
    assert refusal(reply, 400, "bad_field")["field"] == "client_id"
