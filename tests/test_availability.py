"""A member, or somebody without a credential, tries to stop a real hub: what docs/security.md says
of that.

Each test looks at the means, never at the time that something takes; `scripts/bench availability`
measures.
"""

from __future__ import annotations

import resource
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from bus.credentials import Credentials
from tests.conftest import BASIC, PASSWORD, USER, RunningHub, wait_until

PLACES = 8

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("availability")]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """One worker, so that every request meets it."""
    folder: Path = tmp_path_factory.mktemp("hub") / "data"
    running = RunningHub(
        folder, BUS_WORKERS="1", BUS_MAX_WAITING=str(PLACES), BUS_SEGMENT_MAX_BYTES="4096"
    ).start()
    yield running
    running.kill()


def sent(hub: RunningHub, data: bytes) -> socket.socket:
    """A connection on which this was sent."""
    connection = socket.create_connection(("127.0.0.1", hub.port))
    connection.settimeout(30)
    connection.sendall(data)
    return connection


def request(line: str, body: bytes = b"") -> bytes:
    return (
        f"{line} HTTP/1.1\r\nHost: hub\r\nAuthorization: {BASIC}\r\nContent-Length:"
        f" {len(body)}\r\n\r\n".encode()
        + body
    )


def waiting(hub: RunningHub) -> int:
    return int(hub.get("/health").json()["waiting"])


POLL, STREAM = request("GET /messages?unread_by=bob&wait=60"), request("GET /stream?to=bob")


@pytest.mark.parametrize(
    "data",
    [POLL, STREAM, POLL + request("GET /api/me")],
    ids=["poll", "stream", "a request behind it"],
)
def test_places_are_given_back_when_clients_hang_up(hub: RunningHub, data: bytes) -> None:
    """Long before the 60 s that they asked for, and before a stream's next sign of life."""
    held = [sent(hub, data) for _ in range(PLACES)]
    wait_until(lambda: waiting(hub) == PLACES)
    assert hub.get("/messages?unread_by=eve&wait=1").json()["error"] == "too_many_waiting"
    for connection in held:
        connection.close()
    wait_until(lambda: waiting(hub) == 0, within_s=10)


def test_half_sent_requests_make_room(hub: RunningHub) -> None:
    """Without a credential, more of them than the worker has connections; then with a credential
    all goes on.
    """
    held = []
    try:
        for _ in range(1_200):
            held.append(sent(hub, b"GET /health HTTP/1.1\r\nHost: hub\r\nX-"))
        assert hub.say("through")["body"] == "through"
        assert hub.get("/health").json()["storage"] == "ok"
        # The first ones were closed for those after them.
        held[0].settimeout(10)
        assert held[0].recv(1) == b""
    finally:
        for connection in held:
            connection.close()


HALVES = {
    "JSON": ("application/json", b'{"from":"eve","body":"half"}'),
    "JSON by curl": ("application/x-www-form-urlencoded", b'{"from":"eve","body":"half"}'),
    "form": ("application/x-www-form-urlencoded", b"from=eve&body=half"),
    "NDJSON": ("application/x-ndjson", b'{"from":"eve","body":"half"}\n'),
    "no chunks": ("text/plain", b"zz\r\nhalf"),
    "the half of a chunk": ("text/plain", b"9\r\nhalf"),
    "a chunk too long": ("text/plain", b"4\r\nhalfhalf\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize("end", ["shut down", "reset"])
@pytest.mark.parametrize("kind", HALVES)
def test_half_a_body_is_no_message_and_no_crash(hub: RunningHub, kind: str, end: str) -> None:
    """What came of it would be a whole message, and is refused: the rest may have said the
    opposite.
    """
    media, body = HALVES[kind]
    length, path = (
        ("Transfer-Encoding: chunked", "/post?from=eve")
        if "chunk" in kind
        else ("Content-Length: 500", "/post")
    )
    head = (
        f"POST {path} HTTP/1.1\r\nHost: hub\r\nAuthorization: {BASIC}\r\nContent-Type:"
        f" {media}\r\n{length}\r\n\r\n"
    )
    before = hub.get("/health").json()["last_seq"]
    with sent(hub, head.encode() + body) as connection:
        if end == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            connection.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: connection.recv(65_536), b""))
            assert answer.startswith(b"HTTP/1.1 400") and b'"bad_request"' in answer
    assert hub.say("a whole one")["seq"] == before + 1
    assert "Traceback" not in hub.output.read_text()


def test_no_open_files_is_a_passing_error(hub: RunningHub) -> None:
    """Neither read-only nor a new index: 503 while it lasts, and then all goes on."""
    hub.say("before")
    (worker,) = hub.workers()
    index = (hub.data_dir / "index.db").stat().st_ino
    kept = requests.Session()
    kept.auth = (USER, PASSWORD)
    assert kept.get(hub.url + "/api/me").status_code == 200
    before = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (3, before[1]))
    try:
        # Files are full after a post of 4 KB, so the next one needs a new one.
        posts = [
            kept.post(hub.url + "/post", json={"from": "a", "to": "b", "body": "x" * 4_000})
            for _ in range(4)
        ]
        health = kept.get(hub.url + "/health")
    finally:
        resource.prlimit(worker, resource.RLIMIT_NOFILE, before)
    assert {reply.status_code for reply in posts} <= {201, 503}
    assert {reply.json()["error"] for reply in posts if reply.status_code == 503} <= {
        "busy",
        "unavailable",
    }
    assert health.json().get("storage", "ok") == "ok"
    assert hub.say("after")["body"] == "after"
    assert hub.get("/health").json()["storage"] == "ok"
    assert (hub.data_dir / "index.db").stat().st_ino == index
    assert hub.run("verify").returncode == 0


def test_a_body_that_nobody_read_costs_little(hub: RunningHub) -> None:
    """16 MB to a route that takes none: the answer comes, and the connection goes on."""
    session = requests.Session()
    session.auth = (USER, PASSWORD)
    assert session.post(hub.url + "/nowhere", data=b"1," * (8 << 20)).status_code == 404
    assert session.get(hub.url + "/api/me").status_code == 200


def test_one_credential_cannot_take_all_places(hub_at: Callable[..., RunningHub]) -> None:
    """Counted over both workers; another one goes on, and an admin sees it."""
    hub = hub_at(BUS_MAX_REQUESTS="12")
    Credentials(hub.data_dir / "credentials").add("web1", "a secret")
    Credentials(hub.data_dir / "credentials").add("root1", "a secret", "admin")

    def seen() -> tuple[int, int]:
        reply = requests.get(
            hub.url + "/api/credentials", auth=("root1", "a secret"), timeout=30
        ).json()
        return (
            next(entry["requests"] for entry in reply["credentials"] if entry["name"] == USER),
            reply["quotas"]["requests"],
        )

    held = [sent(hub, POLL if number % 2 else STREAM) for number in range(12)]
    try:
        wait_until(lambda: seen() == (12, 12))
        for _ in range(4):  # whichever worker it meets
            reply = hub.get("/api/me")
            assert (reply.status_code, reply.json()["error"], "Retry-After" in reply.headers) == (
                429,
                "over_quota",
                True,
            )
            posted = requests.post(
                hub.url + "/post",
                json={"to": "dan", "body": "x"},
                auth=("web1", "a secret"),
                timeout=30,
            )
            assert posted.status_code == 201
    finally:
        for connection in held:
            connection.close()
    wait_until(lambda: seen()[0] == 0)
    assert hub.get("/api/me").status_code == 200


def test_one_credential_cannot_take_all_waiting_places(hub_at: Callable[..., RunningHub]) -> None:
    """Counted over both workers; another one waits, and the first goes on with all that does not
    wait.
    """
    hub = hub_at(BUS_MAX_WAITING_EACH="6", BUS_MAX_WAITING="12")
    Credentials(hub.data_dir / "credentials").add("web1", "a secret")
    held = [sent(hub, POLL if number % 2 else STREAM) for number in range(6)]
    try:
        wait_until(lambda: waiting(hub) == 6)
        for _ in range(4):  # whichever worker it meets
            for path in ("/messages?unread_by=dan&wait=30", "/stream?unread_by=dan"):
                reply = hub.get(path)
                found = reply.json()
                assert (reply.status_code, found["error"], found["quota"], found["limit"]) == (
                    429,
                    "over_quota",
                    "waiting",
                    6,
                )
                assert "Retry-After" in reply.headers
        assert hub.say("goes on")["body"] == "goes on"
        stream = requests.get(
            hub.url + "/stream", auth=("web1", "a secret"), stream=True, timeout=30
        )
        assert stream.status_code == 200
        stream.close()
    finally:
        for connection in held:
            connection.close()
    wait_until(lambda: waiting(hub) == 0)
    assert hub.get("/messages?unread_by=dan&wait=0.1").status_code == 200
