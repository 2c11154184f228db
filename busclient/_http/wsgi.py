"""Straight into a WSGI application, for tests without a socket: an adapter of requests, for
`Bus(settings, transport=…)`.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
from requests.adapters import BaseAdapter
from urllib3 import HTTPResponse

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class WsgiTransport(BaseAdapter):
    """Calls a WSGI application in this process.

    An exception of the application comes out as it is.
    """

    def __init__(self, app: WsgiApp) -> None:
        super().__init__()
        self.app = app

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        begun: dict[str, Any] = {}

        def start_response(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None
        ) -> Callable[[bytes], object]:
            begun.update(status=status, headers=headers)
            return lambda data: None

        data = request.body or b""
        data = data.encode() if isinstance(data, str) else bytes(data)
        chunks = self.app(
            environ_of(request.method or "", request.url or "", request.headers, data),
            start_response,
        )
        body = _Body(chunks)
        reply = requests.Response()
        status, _, reply.reason = begun["status"].partition(" ")
        reply.status_code = int(status)
        reply.headers.update(dict(begun["headers"]))
        reply.raw = HTTPResponse(
            body, headers=begun["headers"], status=int(status), preload_content=False
        )
        reply.url, reply.request, reply.encoding = request.url or "", request, "utf-8"
        return reply

    def close(self) -> None:
        """Nothing is held."""


class _Body(io.RawIOBase):
    """A WSGI answer as a file; a read gives one chunk of the application's, as a socket would."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks, self._iterator, self._rest = chunks, iter(chunks), b""
        self._first()

    def _first(self) -> None:
        self._rest = next(self._iterator, b"")  # an application may begin its answer only now

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            chunk = next(self._iterator, None)
            if chunk is None:
                return 0
            self._rest = chunk
        taken, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(taken)] = taken
        return len(taken)

    def close(self) -> None:
        close = getattr(self._chunks, "close", None)
        if close is not None and not self.closed:
            close()
        super().close()


def environ_of(
    method: str, url: str, headers: Mapping[str, str | bytes], data: bytes
) -> dict[str, Any]:
    """Return the environment of a request, as a WSGI server would give it."""
    parts = urlsplit(url)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote(parts.path, "latin-1"),
        "QUERY_STRING": parts.query,
        "SERVER_NAME": parts.hostname or "hub",
        "SERVER_PORT": str(parts.port or 80),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_TYPE": headers.get("Content-Type", ""),
        "CONTENT_LENGTH": str(len(data)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": parts.scheme,
        "wsgi.input": io.BytesIO(data),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in headers.items():
        if name.lower() not in ("content-type", "content-length"):
            environ["HTTP_" + name.upper().replace("-", "_")] = (
                value if isinstance(value, str) else value.decode("latin-1")
            )
    return environ
