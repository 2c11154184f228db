"""The socket of the service that runs commands: nobody who may open it can use it up."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import orjson
import pytest

from bus.runner import socket_server
from tests.fleet import Fleet, a_fleet, wait_until

MOST = 3


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    monkeypatch.setattr(socket_server, "MOST_CONNECTIONS", MOST)
    monkeypatch.setattr(socket_server, "REQUEST_S", 1.0)
    with a_fleet(tmp_path) as made:
        made.permit()
        yield made


def opened(fleet: Fleet, sends: bytes) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(fleet.config.exec_socket_file))
    connection.sendall(sends)
    return connection


@pytest.mark.parametrize("sends", [b"", b'{"op":"call",'], ids=["nothing", "half a request"])
def test_those_who_do_not_finish_their_request_make_room(fleet: Fleet, sends: bytes) -> None:
    with ExitStack() as held:
        for _ in range(MOST):
            held.enter_context(closing(opened(fleet, sends)))
        refused = fleet.web1.exec("true")
        assert (refused.status_code, refused.json["error"]) == (503, "busy")
        assert int(refused.headers["Retry-After"]) >= 1
        wait_until(lambda: fleet.web1.exec("true").status_code == 200)


def test_a_request_that_comes_byte_by_byte_is_not_waited_for(fleet: Fleet) -> None:
    with closing(opened(fleet, b"{")) as slow:
        slow.settimeout(0.05)

        def is_dropped() -> bool:
            try:
                slow.sendall(b" ")
                return slow.recv(1) == b""
            except TimeoutError:
                return False
            except OSError:
                return True

        wait_until(is_dropped)


def test_a_worker_whose_request_is_late_hears_that_nothing_was_done(fleet: Fleet) -> None:
    with closing(opened(fleet, b'{"op":"call",')) as late, late.makefile("rb") as answer:
        line = orjson.loads(answer.readline())
        assert (line["status"], line["error"]["error"]) == (503, "busy")
        assert answer.read() == b""


def test_a_long_request_that_is_refused_unread_hears_why(fleet: Fleet) -> None:
    fleet.permit(actions=["file_write"])
    with ExitStack() as held:
        for _ in range(MOST):
            held.enter_context(closing(opened(fleet, b"")))
        content = "x" * 8_000_000
        refused = fleet.web1.post(
            "/api/file/write", json={"target": "box", "path": "/f", "content": content}
        )
        assert (refused.status_code, refused.json["error"]) == (503, "busy")
    assert not (fleet.folder / "box" / "f").exists()


def test_a_connection_that_gets_no_thread_takes_no_place(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = threading.Thread.start
    failed = []

    def start(thread: threading.Thread) -> None:
        if len(failed) <= MOST and "process_request_thread" in thread.name:
            failed.append(thread.name)
            raise RuntimeError("can't start new thread")
        plain(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    for _ in range(MOST + 1):
        refusal = fleet.web1.exec("true")
        assert (refusal.status_code, refusal.json["error"]) == (502, "target_failed")
    assert fleet.web1.exec("true").status_code == 200
