"""The web workers' end of the line to the service: what they make of answers that are not whole."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest

from bus.errors import BusError, ExecUnavailable, FileChanged, Internal, TargetFailed
from bus.runner import client
from bus.runner.client import RunnerClient
from bus.runner.protocol import error_line, raised
from bus.system.sockets import address_of

Says = Callable[[bytes], RunnerClient]


@pytest.fixture
def says(tmp_path: Path) -> Iterator[Says]:
    """A service that takes one request and answers these bytes."""
    doors: list[socket.socket] = []

    def start(answer: bytes) -> RunnerClient:
        path = tmp_path / "exec.sock"
        door = socket.socket(socket.AF_UNIX)
        doors.append(door)
        with address_of(path) as address:
            door.bind(address)
        door.listen()

        def serve() -> None:
            connection, _ = door.accept()
            with connection, connection.makefile("rb") as request:
                request.readline()
                connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        return RunnerClient(path)

    yield start
    for door in doors:
        door.close()


def test_whether_it_is_there_is_asked_once_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "exec.sock"
    assert not RunnerClient(path).is_there()
    service = RunnerClient(path)
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(path))
        door.listen()
        monkeypatch.setattr(client, "_NEWS_FOR_S", 60.0)
        assert [service.is_there() for _ in range(20)] == [True] * 20
        door.settimeout(0)
        door.accept()[0].close()
        with pytest.raises(BlockingIOError):
            door.accept()
    assert service.is_there()  # the news of before
    service._ask_after = 0.0
    assert not service.is_there()


def test_signs_of_life_are_passed_over(says: Says) -> None:
    assert says(b'\n\n{"result":{"ok":true}}\n').ask({}) == {"result": {"ok": True}}


def test_a_stream_that_breaks_off_is_no_end(says: Says) -> None:
    lines = says(b'{"id":"x","state":"running"}\n{"stdout":"a"}\n').lines({})
    assert [next(lines), next(lines)] == [{"id": "x", "state": "running"}, {"stdout": "a"}]
    with pytest.raises(TargetFailed):
        next(lines)


@pytest.mark.parametrize(
    "answer", [b"", b"\n", b"\n{", b'{"result":', b'{"result":{}}garbage', b"\xff\n"]
)
def test_an_answer_that_is_not_whole_may_or_may_not_have_been_done(
    says: Says, answer: bytes
) -> None:
    with pytest.raises(TargetFailed, match="broke off"):
        says(answer).ask({})


def test_an_error_comes_as_that_error_with_its_facts(says: Says) -> None:
    line = orjson.dumps(error_line(FileChanged("It changed.", sha256="ab")))
    with pytest.raises(FileChanged, match=r"It changed\.") as caught:
        says(line + b"\n").ask({})
    assert caught.value.details == {"sha256": "ab"}


def test_an_error_of_a_newer_service_is_no_crash() -> None:
    error = raised(
        {"ok": False, "error": "of_the_future", "message": "?", "hint": "?", "docs": "?"}
    )
    assert isinstance(error, Internal)
    assert isinstance(error, BusError)


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(ExecUnavailable):
        RunnerClient(tmp_path / "none.sock").ask({})


def test_a_socket_in_a_folder_with_a_long_name(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as door, address_of(folder / "exec.sock") as address:
        door.bind(address)
        door.listen()
        with address_of(folder / "exec.sock") as again, socket.socket(socket.AF_UNIX) as caller:
            caller.connect(again)
    assert (folder / "exec.sock").exists()
