"""GET /stream and long polls: without gap or repeat, awake across processes, and never more than
the cap.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.conftest import PASSWORD, USER, Caller, RunningHub, wait_until
from tests.web.conftest import refusal

HubAt = Callable[..., RunningHub]


# -- the forms, in this process ------------------------------------------------------------------


def opened(bus: Caller, query: str = "", **headers: str) -> Any:
    """A stream, and its chunks as they come."""
    reply = bus.client.open(
        f"/stream?{query}", headers={"Authorization": _basic(), **headers}, buffered=False
    )
    assert reply.status_code == 200, reply.get_data()
    return reply, (chunk.decode() for chunk in reply.iter_encoded() if chunk)


def _basic() -> str:
    return requests.auth._basic_auth_str(USER, PASSWORD)


def seqs(chunk: str) -> list[int]:
    return [int(line.split()[1]) for line in chunk.splitlines() if line.startswith("id: ")]


def test_an_event_has_its_seq_as_id_and_the_message_as_data(bus: Caller) -> None:
    saved = bus.say("two\nlines \u2028")
    for told in ("delivery", "recipients", "warnings"):
        del saved[told]
    reply, chunks = opened(bus, "since=0")
    assert reply.mimetype == "text/event-stream"
    assert reply.headers["X-Accel-Buffering"] == "no"
    assert next(chunks) == ": alive\n\n"
    id, event, data, *end = next(chunks).split("\n")
    assert (id, event, end) == ("id: 1", "event: message", ["", ""])
    assert json.loads(data.removeprefix("data: ")) == saved
    reply.close()


@pytest.mark.parametrize(
    ("query", "accept", "kind"),
    [
        ("", "application/x-ndjson", "application/x-ndjson"),
        ("format=ndjson", "text/plain", "application/x-ndjson"),
        ("", "text/plain", "text/plain"),
        ("format=text", "*/*", "text/plain"),
        ("", "*/*", "text/event-stream"),
        ("", "text/event-stream", "text/event-stream"),
        ("format=sse", "text/plain", "text/event-stream"),
        ("", "text/html", "text/event-stream"),
    ],
)
def test_the_form_is_chosen_by_accept_or_format(
    bus: Caller, query: str, accept: str, kind: str
) -> None:
    reply, _ = opened(bus, query, Accept=accept)
    assert reply.mimetype == kind
    reply.close()


def test_ndjson_is_a_message_a_line_and_blank_lines_say_that_it_lives(bus: Caller) -> None:
    saved = [bus.say("one"), bus.say("two")]
    reply, chunks = opened(bus, "since=0&format=ndjson")
    assert next(chunks) == "\n"
    assert [json.loads(line)["id"] for line in next(chunks).splitlines()] == [
        message["id"] for message in saved
    ]
    assert next(chunks) == "\n"
    reply.close()


@pytest.mark.parametrize(
    ("query", "headers", "first"),
    [
        ("since=2", {}, [3, 4, 5]),
        ("since=2", {"Last-Event-ID": "4"}, [5]),
        ("", {"Last-Event-ID": "3"}, [4, 5]),
        ("since=3", {"Last-Event-ID": ""}, [4, 5]),
        ("unread_by=bob", {}, [2, 3, 4, 5]),
        ("unread_by=bob", {"Last-Event-ID": "3"}, [4, 5]),
        ("to=bob&since=0&tag=b", {}, [2, 4]),
        ("since=0&from=carol", {}, [3]),
    ],
)
def test_a_stream_starts_behind_its_cursor(
    bus: Caller, query: str, headers: dict[str, str], first: list[int]
) -> None:
    for number in range(1, 6):
        bus.say(
            f"m{number}",
            tags=["b"] if number in (2, 4) else [],
            sender="carol" if number == 3 else "alice",
        )
    bus.ack({"id": 1})
    reply, chunks = opened(bus, query, **headers)
    assert next(chunks) == ": alive\n\n"
    assert seqs(next(chunks)) == first
    reply.close()


def test_an_id_is_a_place_to_start_too(bus: Caller) -> None:
    saved = [bus.say(), bus.say()]
    reply, chunks = opened(bus, **{"Last-Event-ID": saved[0]["id"]})
    next(chunks)
    assert seqs(next(chunks)) == [2]
    reply.close()


def test_without_a_cursor_a_stream_gives_what_comes_from_now_on(bus: Caller) -> None:
    bus.say("before")
    reply, chunks = opened(bus)
    assert next(chunks) == ": alive\n\n"
    bus.say("after")
    assert seqs(next(chunks)) == [2]
    assert next(chunks) == ": alive\n\n"
    bus.say("later")
    assert seqs(next(chunks)) == [3]
    reply.close()


def test_more_than_a_page_comes_without_gap_or_repeat(bus: Caller) -> None:
    lines = b"".join(
        json.dumps({"from": "alice", "body": f"m{number}"}).encode() + b"\n"
        for number in range(1_000)
    )
    for _ in range(2):
        bus.post("/post", data=lines, content_type="application/x-ndjson")
    reply, chunks = opened(bus, "since=0")
    seen: list[int] = []
    while len(seen) < 2_000:
        seen += seqs(next(chunks))
    assert seen == list(range(1, 2_001))
    reply.close()


def test_a_stream_acknowledges_nothing(bus: Caller) -> None:
    bus.say()
    reply, chunks = opened(bus, "unread_by=bob")
    next(chunks)
    assert seqs(next(chunks)) == [1]
    reply.close()
    assert bus.bodies("unread_by=bob") == ["hello"]
    assert bus.get("/messages/1/receipts").json["receipts"]["bob"]["fetched"] is not None


def test_a_closed_stream_gives_its_place_back(bus: Caller) -> None:
    for _ in range(20):
        reply, chunks = opened(bus)
        next(chunks)
        assert bus.hub.waiting.total() == 1
        reply.close()
    assert bus.hub.waiting.total() == 0


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [({"Last-Event-ID": "x"}, 400, "bad_field"), ({"Last-Event-ID": "0" * 26}, 404, "not_found")],
)
def test_a_bad_place_to_resume_is_refused_before_the_stream_begins(
    bus: Caller, headers: dict[str, str], status: int, code: str
) -> None:
    refusal(bus.get("/stream", headers=headers), status, code)
    assert bus.hub.waiting.total() == 0


# -- with real processes -------------------------------------------------------------------------


class Follower:
    """A client of a stream: what came is in `text`; `close` hangs up."""

    def __init__(self, hub: RunningHub, query: str, **headers: str) -> None:
        self.reply = hub.get(f"/stream?{query}", headers=headers, stream=True)
        assert self.reply.status_code == 200, self.reply.text
        self.text = ""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with suppress(requests.RequestException, AttributeError, ValueError, OSError):
            for chunk in self.reply.iter_content(chunk_size=None):
                self.text += chunk.decode()

    def close(self) -> None:
        # A plain close would wait for the thread that reads.
        with suppress(OSError, AttributeError):
            self.reply.raw._fp.fp.raw._sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(20)
        assert not self._thread.is_alive()
        self.reply.close()


def from_sse(text: str) -> list[int]:
    """The seqs of the whole events in a text that may have been cut off anywhere."""
    return [
        int(line[4:])
        for event in text.split("\n\n")[:-1]
        for line in event.split("\n")
        if line.startswith("id: ")
    ]


def from_ndjson(text: str) -> list[int]:
    return [json.loads(line)["seq"] for line in text.split("\n")[:-1] if line]


def from_text(text: str) -> list[int]:
    """A message is whole when the line behind its one-line body has begun."""
    heads = [line for line in text.split("\n")[:-1] if line and not line.startswith("  ")]
    bodies = [line for line in text.split("\n")[:-1] if line.startswith("  ")]
    return [int(line.split()[0]) for line in heads[: len(bodies)]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("format", "read", "resume"),
    [
        ("sse", from_sse, "Last-Event-ID"),
        ("ndjson", from_ndjson, "since"),
        ("text", from_text, "since"),
    ],
)
def test_a_stream_that_is_cut_off_resumes_without_gap_or_repeat_while_posts_go_on(
    hub: RunningHub, format: str, read: Callable[[str], list[int]], resume: str
) -> None:
    total = 240
    posters = [
        threading.Thread(
            target=lambda name=name: [
                hub.say(f"m{number}", sender=name, to="any") for number in range(total // 3)
            ]
        )
        for name in ("alice", "bob", "carol")
    ]
    for poster in posters:
        poster.start()
    seen: list[int] = []
    cuts = 0
    while len(seen) < total:
        last = str(seen[-1] if seen else 0)
        query, headers = (
            (f"format={format}", {resume: last})
            if resume == "Last-Event-ID"
            else (f"format={format}&since={last}", {})
        )
        follower = Follower(hub, query, **headers)
        wanted = min(total - len(seen), 25)
        wait_until(lambda follower=follower, wanted=wanted: len(read(follower.text)) >= wanted)
        follower.close()
        seen += read(follower.text)
        cuts += 1
    for poster in posters:
        poster.join()
    assert seen == list(range(1, total + 1))
    assert cuts > 3


@pytest.mark.slow
def test_a_quiet_stream_says_that_it_lives(hub_at: HubAt) -> None:
    hub = hub_at(BUS_KEEPALIVE_S="0.1")
    follower = Follower(hub, "")
    wait_until(lambda: follower.text.count(": alive\n\n") > 3)
    assert follower.text.replace(": alive\n\n", "") == ""
    follower.close()


@pytest.fixture
def two_hubs(hub_at: HubAt, tmp_path: Path) -> tuple[RunningHub, RunningHub]:
    """Two hubs with a worker each on one data folder: what one is told, the other one must
    notice.
    """
    one = hub_at(tmp_path / "data", BUS_WORKERS="1")
    return one, hub_at(tmp_path / "data", BUS_WORKERS="1")


@pytest.mark.slow
@pytest.mark.parametrize("query", ["unread_by=bob", "to=bob", "tag=now"])
def test_a_wait_ends_when_another_worker_takes_the_message(
    two_hubs: tuple[RunningHub, RunningHub], query: str
) -> None:
    here, there = two_hubs
    since = 0
    for _ in range(5):
        replies: list[tuple[Any, float]] = []
        path = f"/messages?{query}&wait=30&since={since}"
        poll = threading.Thread(
            target=lambda path=path, replies=replies: replies.append(
                (here.get(path).json(), time.monotonic())
            )
        )
        poll.start()
        wait_until(lambda: there.get("/health").json()["waiting"] == 1)
        there.say("not this", to="carol")
        saved, posted = there.say("this", tags=["now"]), time.monotonic()
        poll.join(20)
        given, answered = replies[0]
        assert [message["id"] for message in given["messages"]] == [saved["id"]]
        assert answered - posted < 1
        since = saved["seq"]


@pytest.mark.slow
def test_a_stream_gives_what_another_worker_takes(two_hubs: tuple[RunningHub, RunningHub]) -> None:
    here, there = two_hubs
    follower = Follower(here, "since=0")
    for number in range(1, 6):
        there.say()
        wait_until(lambda number=number: from_sse(follower.text) == list(range(1, number + 1)), 2)
    follower.close()


@pytest.fixture
def small_hub(hub_at: HubAt) -> RunningHub:
    """Two workers that let four wait, together."""
    return hub_at(BUS_MAX_WAITING="4", BUS_KEEPALIVE_S="0.1", BUS_WORKERS="2")


def held(hub: RunningHub, number: int) -> list[Follower]:
    followers = [Follower(hub, "") for _ in range(number)]
    wait_until(lambda: hub.get("/health").json()["waiting"] == number)
    return followers


def fits(hub: RunningHub) -> bool:
    return hub.get("/messages?unread_by=bob&wait=0.01").status_code == 200


@pytest.mark.slow
def test_one_more_than_the_cap_is_told_at_once_over_all_workers(small_hub: RunningHub) -> None:
    followers = held(small_hub, 4)
    for path in ("/stream", "/messages?unread_by=bob&wait=30") * 3:
        started = time.monotonic()
        reply = small_hub.get(path)
        assert time.monotonic() - started < 2
        assert (reply.status_code, reply.json()["error"]) == (503, "too_many_waiting")
        assert int(reply.headers["Retry-After"]) > 0
    assert small_hub.say()["seq"] == 1
    assert small_hub.get("/messages?unread_by=bob").json()["count"] == 1
    for follower in followers:
        wait_until(lambda follower=follower: from_sse(follower.text) == [1])
        follower.close()


@pytest.mark.slow
def test_who_hangs_up_leaves_a_place_for_another(small_hub: RunningHub) -> None:
    followers = held(small_hub, 4)
    assert not fits(small_hub)
    followers.pop().close()
    wait_until(lambda: fits(small_hub))
    for follower in followers:
        follower.close()
    wait_until(lambda: small_hub.get("/health").json()["waiting"] == 0)
    for follower in held(small_hub, 4):
        follower.close()


@pytest.mark.slow
def test_the_places_of_a_killed_worker_are_free_again(small_hub: RunningHub) -> None:
    followers = held(small_hub, 4)
    for pid in small_hub.workers():
        os.kill(pid, signal.SIGKILL)
    for follower in followers:
        follower.close()
    wait_until(lambda: answers(small_hub) and fits(small_hub))
    for follower in held(small_hub, 4):
        follower.close()


def answers(hub: RunningHub) -> bool:
    try:
        return hub.answers()
    except requests.RequestException:
        return False


@pytest.mark.slow
def test_forty_that_wait_do_not_hold_up_a_post(hub: RunningHub) -> None:
    followers = held(hub, 40)
    started = time.monotonic()
    for _ in range(10):
        hub.say()
    assert time.monotonic() - started < 5
    for follower in followers:
        wait_until(lambda follower=follower: len(from_sse(follower.text)) == 10)
        follower.close()


@pytest.mark.slow
def test_a_hub_that_stops_answers_those_who_wait(hub: RunningHub) -> None:
    once, replies = {"Connection": "close"}, []
    poll = threading.Thread(
        target=lambda: replies.append(hub.get("/messages?unread_by=bob&wait=60", headers=once))
    )
    poll.start()
    follower = Follower(hub, "", **once)
    wait_until(lambda: hub.get("/health").json()["waiting"] == 2)
    started = time.monotonic()
    hub.stop()
    assert time.monotonic() - started < 15
    poll.join(5)
    assert (replies[0].status_code, replies[0].json()["count"]) == (200, 0)
    follower.close()


# -- what gunicorn refuses before the hub sees it ------------------------------------------------

UNREADABLE = {
    "garbage": b"garbage\r\n\r\n",
    "binary": b"\x00\x01\x02\xff\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "no version": b"GET /health\r\n\r\n",
    "a bad version": b"GET /health HTTP/9.9\r\n\r\n",
    "a bad method": b"G@T /health HTTP/1.1\r\n\r\n",
    "a line too long": b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n",
    "a header without a name": b"GET /health HTTP/1.1\r\n: x\r\n\r\n",
    "a header without a colon": b"GET /health HTTP/1.1\r\nHost\r\n\r\n",
    "a space before the colon": b"GET /health HTTP/1.1\r\nHost : x\r\n\r\n",
    "NUL in a header": b"GET /health HTTP/1.1\r\nHost: a\0b\r\n\r\n",
    "a header too long": b"GET /health HTTP/1.1\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    "too many headers": b"GET /health HTTP/1.1\r\n" + b"X: x\r\n" * 1_000 + b"\r\n",
    "two lengths": b"POST /post HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    "a length that is none": b"POST /post HTTP/1.1\r\nContent-Length: ten\r\n\r\n",
    "a negative length": b"POST /post HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    "length and chunks": (
        b"POST /post HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
}


def sent(hub: RunningHub, data: bytes) -> bytes:
    """What the hub answers to these bytes until it hangs up."""
    with socket.create_connection(("127.0.0.1", hub.port), timeout=10) as connection:
        with suppress(OSError):
            connection.sendall(data)
        received = b""
        with suppress(ConnectionResetError):
            while chunk := connection.recv(65_536):
                received += chunk
        return received


@pytest.mark.slow
def test_what_is_no_http_gets_an_answer_in_the_error_shape(hub: RunningHub) -> None:
    for name, data in UNREADABLE.items():
        head, _, body = sent(hub, data).partition(b"\r\n\r\n")
        assert head.split()[1:2] == [b"400"], (name, head)
        assert b"application/json" in head, name
        given = json.loads(body)
        assert (given["ok"], given["error"], given["docs"]) == (
            False,
            "bad_request",
            "/docs#bad_request",
        ), name
        assert given["message"] and given["hint"], name
    assert hub.get("/health").json()["last_seq"] == 0


@pytest.mark.slow
def test_chunks_are_counted_as_they_come(hub: RunningHub) -> None:
    def endless(size: int) -> Iterator[bytes]:
        for _ in range(size // 65_536 + 1):
            yield b" " * 65_536

    small = hub.post(
        "/post",
        data=iter([b'{"from":"alice",', b'"body":"in chunks"}']),
        headers={"Content-Type": "application/json"},
    )
    assert (small.status_code, small.json()["body"]) == (201, "in chunks")
    for kind, limit in (("application/json", 1 << 20), ("application/x-ndjson", 8 << 20)):
        reply = hub.post("/post", data=endless(limit), headers={"Content-Type": kind})
        assert (reply.status_code, reply.json()["error"], reply.json()["limit"]) == (
            413,
            "too_large",
            limit,
        )
    assert hub.get("/health").json()["last_seq"] == 1
