"""One POST over plain HTTP: what the hook of a prompt is sent by."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from busclient._errors import BadAnswer, BusError, Unauthorized, Unreachable
from busclient._http import plain
from busclient._settings import Settings

Serve = Callable[[bytes], Settings]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Settings of a hub that answers with these bytes, whatever it is asked."""
    listening = socket.create_server(("127.0.0.1", 0))
    asked: list[bytes] = []

    def answer(data: bytes) -> None:
        connection, _ = listening.accept()
        with connection:
            asked.append(connection.recv(65_536))
            connection.sendall(data)

    threads: list[threading.Thread] = []

    def begin(data: bytes) -> Settings:
        threads.append(threading.Thread(target=answer, args=(data,)))
        threads[0].start()
        return settings(listening.getsockname()[1])

    begin.asked = asked  # type: ignore[attr-defined]
    yield begin
    for thread in threads:
        thread.join(10)
    listening.close()


def settings(port: int, host: str = "127.0.0.1", **more: str) -> Settings:
    environ = {"BUS_URL": f"http://{host}:{port}/hub", "BUS_USER": "ann", "BUS_PASS": "p:ß"}
    return Settings.find({**environ, "HOME": "/nonexistent", **more})


def test_it_asks_with_the_credential_and_returns_the_object(serve: Any) -> None:
    found = plain.post(
        serve(b'HTTP/1.0 200 OK\r\nX: 1\r\n\r\n{"ok":true}'), "/x", {"name": "a/b"}, {"f": 1}, 5
    )
    assert found == {"ok": True}
    head, _, body = serve.asked[0].decode().partition("\r\n\r\n")
    assert head.startswith("POST /hub/x?name=a%2Fb HTTP/1.0\r\n")
    assert "Authorization: Basic YW5uOnA6w58=" in head
    assert body == '{"f": 1}'


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b'HTTP/1.1 401 No\r\n\r\n{"ok":false,"error":"unauthorized"}', Unauthorized),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n<html>", BusError),
        (b'HTTP/1.1 200 OK\r\n\r\n{"ok":tr', BadAnswer),
        (b"HTTP/1.1 200 OK\r\n\r\n[1]", BadAnswer),
        (b"SSH-2.0-OpenSSH_9.2\r\n", BadAnswer),
        (b"", BadAnswer),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b" " * (1 << 20), Unreachable),
    ],
)
def test_what_is_no_good_answer_is_an_error(
    serve: Serve, answer: bytes, error: type[BusError]
) -> None:
    with pytest.raises(error):
        plain.post(serve(answer), "/x", {}, {}, 5)


def test_nobody_there_and_a_hub_that_says_nothing_are_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(Unreachable, match="timed out"):
            plain.post(settings(port), "/x", {}, {}, 0.05)
    with pytest.raises(Unreachable, match="does not answer"):
        plain.post(settings(port), "/x", {}, {}, 5)


def test_it_suits_only_a_hub_that_is_reached_straight(monkeypatch: pytest.MonkeyPatch) -> None:
    assert plain.suits(settings(80))
    assert not plain.suits(
        Settings.find({"BUS_URL": "https://h", "BUS_USER": "a", "BUS_PASS": "b"})
    )
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert not plain.suits(settings(80, "hub.example"))
    assert plain.suits(settings(80))  # a proxy has no business between this machine and itself
