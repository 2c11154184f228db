"""Ways to a hub's WSGI application in this process on which each call takes the next trouble that
was ordered.

`away`: the connection is refused. `lost`: the hub does its work and the answer is lost. A number: a
proxy answers with that status. Bytes: something answers 200 and these. (status, headers, bytes):
just that. None: no trouble.

There is one for each transport of the client: `Door` is an adapter of requests, `LightDoor` a
connection whose socket is not one.
"""

from __future__ import annotations

import http.client
import io
from collections import deque
from collections.abc import Iterator
from typing import Any, cast
from urllib.parse import urlsplit

import requests

from busclient import Settings
from busclient._http.light_transport import LightTransport
from busclient._http.requests_transport import RequestsTransport
from busclient._http.transport import Answer, Request, Transport
from busclient._http.wsgi import WsgiTransport, environ_of

URL = "http://hub.test"


def _spelled(trouble: Any) -> tuple[int, dict[str, str], bytes]:
    """The answer that stands in for the hub's."""
    if isinstance(trouble, tuple):
        return cast("tuple[int, dict[str, str], bytes]", trouble)
    status, body = (
        (200, trouble) if isinstance(trouble, bytes) else (trouble, b"<html>Bad Gateway</html>")
    )
    return status, {"Content-Type": "text/html"}, body


class Door(WsgiTransport):
    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self.troubles: deque[Any] = deque()
        self.calls: list[str] = []

    def send(
        self, request: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> requests.Response:
        trouble = self.troubles.popleft() if self.troubles else None
        self.calls.append(f"{request.method} {request.path_url}")
        if trouble == "away":
            raise requests.ConnectionError(ConnectionRefusedError(111, "Connection refused"))
        reply = super().send(request, *args, **kwargs)
        if trouble == "lost":
            assert reply.content
            raise requests.ConnectionError(http.client.RemoteDisconnected("no answer"))
        if trouble is not None:
            reply.status_code, headers, body = _spelled(trouble)
            reply.headers, reply.raw = (
                requests.structures.CaseInsensitiveDict(headers),
                io.BytesIO(body),
            )
        return reply


class LightDoor(LightTransport):
    def __init__(self, app: Any) -> None:
        super().__init__(Settings(url=URL, password="unused", name="unused"))
        self._proxy = None  # whatever the environment of the tests says
        self.app = app
        self.troubles: deque[Any] = deque()
        self.calls: list[str] = []
        self.trouble: Any = None

    def send(self, request: Request, connect_s: float, read_s: float) -> Answer:
        self.trouble = self.troubles.popleft() if self.troubles else None
        parts = urlsplit(request.url)
        self.calls.append(
            f"{request.method} {parts.path}" + (f"?{parts.query}" if parts.query else "")
        )
        return super().send(request, connect_s, read_s)

    def open(self, connect_s: float) -> http.client.HTTPConnection:
        if self.trouble == "away":
            raise ConnectionRefusedError(111, "Connection refused")
        connection = http.client.HTTPConnection("hub.test")
        connection.sock = _Wire(self)
        return connection


def transport_by(door: Door | LightDoor, settings: Settings) -> Transport:
    """The transport that a client has for a door."""
    return door if isinstance(door, LightDoor) else RequestsTransport(settings, door)


class _Wire:
    """What http.client takes for a socket: what is sent becomes a request to the application, its
    answer what is received.
    """

    def __init__(self, door: LightDoor) -> None:
        self.door, self.sent = door, b""

    def sendall(self, data: bytes) -> None:
        self.sent += data

    def makefile(self, _: str) -> io.BufferedIOBase:
        sent, self.sent = io.BytesIO(self.sent), b""
        method, target, _ = sent.readline().decode().split(" ", 2)
        headers = http.client.parse_headers(sent)
        answer = _Answered(self.door.app, environ_of(method, URL + target, headers, sent.read()))
        if self.door.trouble == "lost":
            answer.read()
            return io.BytesIO(b"")
        if self.door.trouble is None:
            return io.BufferedReader(answer)
        status, given, body = _spelled(self.door.trouble)
        lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in given.items())]
        return io.BytesIO(
            "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body
        )

    def settimeout(self, seconds: float | None) -> None:
        """Nothing here waits."""

    def fileno(self) -> int:
        raise ValueError(
            "no file"
        )  # so that no connection is used again: the hub has closed it meanwhile

    def close(self) -> None:
        """Nothing is held."""


class _Answered(io.RawIOBase):
    """An application's answer as it goes over the wire; a read gives one piece of it, as a socket
    would.
    """

    def __init__(self, app: Any, environ: dict[str, Any]) -> None:
        self._head = ""
        self._is_chunked = True
        self._chunks = app(environ, self._start)
        self._pieces = self._spelled(iter(self._chunks))
        self._rest = b""

    def _start(self, status: str, headers: list[tuple[str, str]], _: Any = None) -> Any:
        self._is_chunked = "content-length" not in {name.lower() for name, _ in headers}
        headers = [*headers, *([("Transfer-Encoding", "chunked")] if self._is_chunked else [])]
        self._head = "\r\n".join(
            [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers), "", ""]
        )

    def _spelled(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        first = next(chunks, b"")  # an application may begin its answer only now
        yield self._head.encode("latin-1")
        for chunk in _all(first, chunks):
            yield f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n" if self._is_chunked else chunk
        if self._is_chunked:
            yield b"0\r\n\r\n"

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = next(self._pieces, b"")
        taken, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(taken)] = taken
        return len(taken)

    def close(self) -> None:
        close = getattr(self._chunks, "close", None)
        if close is not None and not self.closed:
            close()
        super().close()


def _all(first: bytes, others: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from (chunk for chunk in others if chunk)
