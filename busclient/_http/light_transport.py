"""The way to a hub for what starts often: HTTP by the standard library, without the 60 ms that
`requests` takes to load.

It does what `requests_transport` does, and one suite of tests holds the two together. What it
cannot do (a proxy of another kind than HTTP, a hub's name that is not ASCII) `suits` tells: that
goes by requests.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import select
import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import unquote, urlsplit

from busclient._http.deadline import awaits_on
from busclient._http.proxies import proxy_of, trust
from busclient._http.transport import Answer, Broken, Request, Transport
from busclient._settings import Settings

if TYPE_CHECKING:
    from busclient._http.ssh import Tunnels

_PIECE = 65536
_PLAIN_URL = re.compile(r"https?://[A-Za-z0-9.:\[\]_-]+(?:/[A-Za-z0-9._~%-]+)*")
_PORTS = {"http": 80, "https": 443}


def suits(settings: Settings) -> bool:
    """Return whether this transport can reach the hub of these settings."""
    proxy = proxy_of(settings)
    return _PLAIN_URL.fullmatch(settings.url) is not None and "/." not in settings.url and (
        proxy is None or urlsplit(proxy).scheme == "http"
    )  # fmt: skip


class LightTransport(Transport):
    """A way to the hub of `settings`, straight, through an HTTP proxy or through ssh."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._hub = settings, urlsplit(settings.url)
        proxy = proxy_of(settings)
        self._proxy = urlsplit(proxy) if proxy else None
        self._tunnels = _tunnels(settings.ssh_host) if settings.ssh_host is not None else None
        self._idle: http.client.HTTPConnection | None = None

    def send(self, request: Request, connect_s: float, read_s: float) -> Answer:
        connection = self._connection(connect_s)
        try:
            awaits_on(connection.sock)
            with contextlib.suppress(
                BrokenPipeError
            ):  # a hub may refuse before it has read all, and say why
                connection.request(
                    request.method, self._target(request.url), request.body, self._headers(request)
                )
            connection.sock.settimeout(read_s)
            response = connection.getresponse()
        except (OSError, http.client.HTTPException, ValueError) as error:
            connection.close()
            self._raise_broken(error)
        return _LightAnswer(response, connection, self._keep)

    def close(self) -> None:
        if self._idle is not None:
            self._idle.close()
            self._idle = None

    def open(self, connect_s: float) -> http.client.HTTPConnection:
        """Return a new connection to the hub; raises OSError and http.client.HTTPException.

        A seam for tests.
        """
        is_tls = self._hub.scheme == "https"
        door = self._proxy or self._hub
        host, port = door.hostname or "", door.port or _PORTS[door.scheme]
        if is_tls:
            context = trust(self._settings)
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, port, timeout=connect_s, context=context
            )
        else:
            connection = http.client.HTTPConnection(host, port, timeout=connect_s)
        if self._tunnels is not None:
            sock = self._tunnels.open(host, port)
            sock.settimeout(connect_s)
            connection.sock = context.wrap_socket(sock, server_hostname=host) if is_tls else sock
            return connection
        if not is_tls:
            # As bytes: a name that is text would load the codec of international names, 5 ms.
            name: Any = host.encode() if host.isascii() else host
            connection.sock = socket.create_connection((name, port), connect_s)
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection
        if self._proxy is not None:
            connection.set_tunnel(
                self._hub.hostname or "", self._hub.port or 443, self._proxy_headers()
            )
        connection.connect()
        return connection

    def _connection(self, connect_s: float) -> http.client.HTTPConnection:
        """Return a connection that nobody uses: the one that was kept, unless the hub has closed
        it, else a new one.
        """
        kept, self._idle = self._idle, None
        if kept is not None:
            if not _has_news(kept):
                kept.sock.settimeout(connect_s)
                return kept
            kept.close()
        try:
            return self.open(connect_s)
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, FileNotFoundError):
                raise  # no bundle of certificates: this machine's own trouble
            self._raise_broken(error, is_unsent=self._tunnels is None)

    def _keep(self, connection: http.client.HTTPConnection) -> None:
        """Keep a connection whose answer was read whole, for the next call."""
        if self._idle is None and connection.sock is not None:
            self._idle = connection
        else:
            connection.close()

    def _target(self, url: str) -> str:
        """Return what stands in the request's first line: a proxy is told the whole URL, unless TLS
        goes through it.
        """
        parts = urlsplit(url)
        path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        return url if self._proxy is not None and parts.scheme == "http" else path

    def _headers(self, request: Request) -> dict[str, str]:
        return {**request.headers, **(self._proxy_headers() if self._hub.scheme == "http" else {})}

    def _proxy_headers(self) -> dict[str, str]:
        """Return what a proxy asks for, when its URL holds a user and a password."""
        if self._proxy is None or self._proxy.username is None:
            return {}
        from base64 import b64encode  # noqa: PLC0415

        credential = f"{unquote(self._proxy.username)}:{unquote(self._proxy.password or '')}"
        return {"Proxy-Authorization": f"Basic {b64encode(credential.encode()).decode()}"}

    def _raise_broken(self, error: Exception, *, is_unsent: bool = False) -> NoReturn:
        """Raise Broken, with what ssh said where the hub is behind one."""
        if self._tunnels is not None and not isinstance(error, TimeoutError):
            said = self._tunnels.trouble()
            if said is not None:
                raise Broken(str(said)) from said
        raise Broken(str(error), is_unsent=is_unsent) from error


class _LightAnswer(Answer):
    def __init__(
        self,
        response: http.client.HTTPResponse,
        connection: http.client.HTTPConnection,
        keep: Callable[[http.client.HTTPConnection], None],
    ) -> None:
        self.status = response.status
        self._response, self._connection, self._keep = response, connection, keep
        self._is_over = False

    def header(self, name: str) -> str:
        return self._response.headers.get(name, "")

    def chunks(self, *, live: bool) -> Iterator[bytes]:
        try:
            yield from self._pieces()
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Broken(str(error)) from error
        self._is_over = True
        self._response.close()
        self._keep(self._connection)

    def _pieces(self) -> Iterator[bytes]:
        # http.client takes an early end for the end, so what is left is counted here. None:
        # chunked, or until the end.
        left = self._response.length
        while left != 0:
            data = self._response.read1(_PIECE if left is None else min(left, _PIECE))
            if not data:
                break
            yield data
            left = None if left is None else left - len(data)
        if left:
            raise http.client.IncompleteRead(b"", left)

    def close(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._connection.close()
            self._response.close()


def _tunnels(host: str) -> Tunnels:
    from busclient._http.ssh import Tunnels  # noqa: PLC0415

    return Tunnels(host)


def _has_news(connection: http.client.HTTPConnection) -> bool:
    """Return whether something came on a connection on which nothing is awaited: its end, nearly
    always.
    """
    try:
        return bool(select.select([connection.sock], [], [], 0)[0])
    except (OSError, ValueError):  # the number of the file is beyond what select knows
        return True
