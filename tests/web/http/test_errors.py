"""Every error has one shape, crashes included; and what every answer carries."""

from __future__ import annotations

import errno
import logging
import sqlite3

import pytest

from bus import errors
from tests.conftest import Caller, Unsent
from tests.web.conftest import refusal


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/messages/1/2",
        "/post/",
        "//post",
        "/ack/1/2",
        "/messages/1/receipts/x",
        "/é",
        "/%00",
        "/%ff",
        "/x%0ay",
        "/" + "x" * 5_000,
    ],
)
def test_what_is_no_route_is_said(bus: Caller, path: str) -> None:
    reply = bus.post(path, json={"from": "alice", "body": "x"})
    if path == "/post/":
        assert reply.status_code == 201
    else:
        assert len(refusal(reply, 404, "no_such_route")["message"]) < 1_000


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/post", "OPTIONS, POST"),
        ("PUT", "/post", "OPTIONS, POST"),
        ("DELETE", "/messages", "GET, HEAD, OPTIONS"),
        ("POST", "/messages", "GET, HEAD, OPTIONS"),
        ("GET", "/ack/1", "OPTIONS, POST"),
        ("PATCH", "/ack", "OPTIONS, POST"),
        ("POST", "/health", "GET, HEAD, OPTIONS"),
        ("TRACE", "/", "GET, HEAD, OPTIONS"),
        ("HEAD", "/post", "OPTIONS, POST"),
        ("BREW", "/stream", "GET, HEAD, OPTIONS"),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(
    bus: Caller, method: str, path: str, allowed: str
) -> None:
    reply = bus.call(method, path)
    assert reply.status_code == 405
    assert reply.headers["Allow"] == allowed
    if method != "HEAD":
        assert refusal(reply, 405, "method_not_allowed")["allowed"] == allowed.split(", ")


@pytest.mark.parametrize(
    ("method", "path", "part", "verb"),
    [
        ("GET", "/messages", "messages", "read"),
        ("GET", "/messages/1", "messages", "get"),
        ("POST", "/post", "messages", "post"),
        ("POST", "/ack/1", "acks", "ack"),
    ],
)
def test_a_crash_is_answered_without_its_details_and_logged_with_them(
    bus: Caller,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    method: str,
    path: str,
    part: str,
    verb: str,
) -> None:
    def crash(*args: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(getattr(bus.hub, part), verb, crash)
    with caplog.at_level(logging.ERROR):
        reply = bus.call(
            method,
            path,
            **(
                {"json": {"from": "a", "body": "b"} if verb == "post" else {"reader": "bob"}}
                if method == "POST"
                else {}
            ),
        )
    body = refusal(reply, 500, "internal")
    assert "secret" not in reply.get_data(as_text=True)
    assert body["reference"] in body["message"]
    assert body["reference"] in caplog.text
    assert "secret detail" in caplog.text


@pytest.mark.parametrize("kind", list(errors.family()), ids=lambda kind: kind.code)
@pytest.mark.parametrize(
    ("method", "path", "verb"), [("GET", "/messages", "read"), ("POST", "/post", "post")]
)
def test_every_error_of_the_family_has_the_shape(
    bus: Caller,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[errors.BusError],
    method: str,
    path: str,
    verb: str,
) -> None:
    def refuse(*args: object) -> None:
        raise kind("It is so.", hint="Do this.", size=7)

    monkeypatch.setattr(bus.hub.messages, verb, refuse)
    reply = bus.call(
        method, path, **({"json": {"from": "a", "body": "b"}} if method == "POST" else {})
    )
    more = {"retry_after_s": 5} if kind is errors.OverQuota else {}  # which differs by quota
    assert refusal(reply, kind.status, kind.code) == {
        "ok": False, "error": kind.code, "message": "It is so.", "hint": "Do this.",
        "docs": f"/docs#{kind.code}", "size": 7,
        **more,
    }  # fmt: skip
    assert ("Retry-After" in reply.headers) == (kind.retry_after_s is not None)
    assert ("WWW-Authenticate" in reply.headers) == (kind.status == 401)
    assert reply.headers["X-Robots-Tag"].startswith("noindex")


def test_every_code_is_there_once_and_has_a_hint_of_its_own_or_of_its_family() -> None:
    codes = [kind.code for kind in errors.family()]
    assert len(codes) == len(set(codes))
    assert all(kind.hint for kind in errors.family())
    assert {kind.code for kind in errors.family() if not 400 <= kind.status < 600} == {
        "approval_required"
    }


def test_a_full_disk_and_a_held_index_are_told_apart_from_crashes(
    bus: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = sqlite3.OperationalError("database is locked")
    full = OSError(errno.ENOSPC, "No space left on device")
    for error, status, code in ((locked, 503, "busy"), (full, 507, "no_room")):

        def fail(*args: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(bus.hub.messages, "read", fail)
        refusal(bus.get("/messages"), status, code)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200),
        ("/messages", 200),
        ("/messages/9", 404),
        ("/nothing", 404),
        ("/messages?x=1", 400),
        ("/robots.txt", 200),
        ("/docs", 200),
        ("/health?format=text", 200),
        ("/search?q=a", 200),
    ],
)
def test_every_answer_asks_not_to_be_kept_or_listed(bus: Caller, path: str, status: int) -> None:
    for method in ("GET", "HEAD"):
        reply = bus.call(method, path)
        assert reply.status_code == status
        assert reply.headers.getlist("X-Robots-Tag") == ["noindex, nofollow"]
        assert reply.headers.getlist("Cache-Control") == ["no-store"]


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/health",
        "/messages",
        "/messages/1",
        "/messages/1/receipts",
        "/search?q=hello",
        "/docs",
        "/openapi.json",
        "/robots.txt",
        "/stream?since=0",
    ],
)
def test_head_says_what_get_would_without_a_body(bus: Caller, path: str) -> None:
    bus.say()
    hub = bus.hub
    hub.waiting.is_closing = lambda: True
    head, get = bus.call("HEAD", path), bus.get(path)
    assert (head.status_code, head.mimetype, head.get_data()) == (
        get.status_code,
        get.mimetype,
        b"",
    )
    head.close()
    get.close()
    assert hub.waiting.total() == 0


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/post", {"POST", "OPTIONS"}),
        ("/messages", {"GET", "HEAD", "OPTIONS"}),
        ("/ack/1", {"POST", "OPTIONS"}),
    ],
)
def test_options_tells_the_methods(bus: Caller, path: str, allowed: set[str]) -> None:
    reply = bus.call("OPTIONS", path)
    assert (reply.status_code, reply.get_data()) == (200, b"")
    assert set(reply.headers["Allow"].split(", ")) == allowed


def test_a_body_that_stops_coming_is_given_up(bus: Caller, nothing_stored: None) -> None:
    """The server's socket says when; the answer says what to do."""
    for path in ("/post", "/ack", "/post?from=a"):
        reply = bus.post(
            path,
            input_stream=Unsent(100, TimeoutError("timed out")),
            content_type="application/json",
        )
        refusal(reply, 408, "too_slow")
