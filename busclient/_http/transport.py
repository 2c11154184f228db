"""The one seam between the client and a hub: a transport adapter of `requests`.

A `Bus` talks to its hub through a `requests.Session` with one adapter mounted for everything:

- `DirectTransport`: HTTP and HTTPS on sockets, with a limit on a whole call (`deadline`), because a time-out on each
  read never ends a call to a hub that sends a byte a second;
- `busclient._http.ssh.SshTransport`: the same through `ssh -W`;
- `WsgiTransport`: straight into a WSGI application, for tests without a socket.
"""

from __future__ import annotations

import contextlib
import io
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPResponse, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class _Watch:
    """A call that must end at some time: what to shut then."""

    def __init__(self) -> None:
        self.sock: socket.socket | None = None
        self.is_over = False

    def end(self) -> None:
        self.is_over = True
        sock = self.sock
        if sock is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)  # wakes the reader, with TLS too


_watch: ContextVar[_Watch | None] = ContextVar("busclient_watch", default=None)


@contextlib.contextmanager
def deadline(total_s: float | None) -> Iterator[None]:
    """End the call made inside after so many seconds, however slowly its answer drips; None: never.

    Raises requests.Timeout then.
    """
    if total_s is None:
        yield
        return
    watch = _Watch()
    timer = threading.Timer(max(total_s, 0.001), watch.end)
    timer.daemon = True
    token = _watch.set(watch)
    timer.start()
    try:
        yield
        if watch.is_over:  # a socket that is shut while headers are read looks like their end
            raise requests.Timeout(f"no whole answer within {total_s:.1f} s") from TimeoutError()
    except requests.RequestException as error:
        if watch.is_over:
            raise requests.Timeout(f"no whole answer within {total_s:.1f} s") from TimeoutError(str(error))
        raise
    finally:
        timer.cancel()
        _watch.reset(token)


class Watched:
    """Lets `deadline` know on which socket an answer is awaited. A mix-in of connection classes."""

    sock: Any

    def getresponse(self) -> Any:
        watch = _watch.get()
        if watch is not None:
            watch.sock = self.sock
            if watch.is_over:
                raise TimeoutError("the time is over")
        return super().getresponse()  # type: ignore[misc]


class _PlainConnection(Watched, HTTPConnection):
    pass


class _TlsConnection(Watched, HTTPSConnection):
    pass


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class DirectTransport(HTTPAdapter):
    """HTTP and HTTPS on sockets. Retrying is the caller's: it also counts answers such as 502."""

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: Any) -> None:
        self.poolmanager = PoolManager(num_pools=connections, maxsize=maxsize, block=block, **pool_kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}


class WsgiTransport(BaseAdapter):
    """Calls a WSGI application in this process. An exception of the application comes out as it is."""

    def __init__(self, app: WsgiApp) -> None:
        super().__init__()
        self.app = app

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        begun: dict[str, Any] = {}

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
            begun.update(status=status, headers=headers)
            return lambda data: None

        chunks = self.app(_environ(request), start_response)
        body = _Body(chunks)
        reply = requests.Response()
        status, _, reply.reason = begun["status"].partition(" ")
        reply.status_code = int(status)
        reply.headers.update(dict(begun["headers"]))
        reply.raw = HTTPResponse(body, headers=begun["headers"], status=int(status), preload_content=False)
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


def _environ(request: requests.PreparedRequest) -> dict[str, Any]:
    parts = urlsplit(request.url or "")
    data = request.body or b""
    data = data.encode() if isinstance(data, str) else bytes(data)
    headers: Mapping[str, str] = request.headers
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
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
            environ["HTTP_" + name.upper().replace("-", "_")] = value if isinstance(value, str) else value.decode("latin-1")
    return environ
