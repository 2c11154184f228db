"""The way to a hub by `requests`: the library's default, with whatever adapter a user gives."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from typing import Any

import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ProxyError

from busclient._http.deadline import awaits_on
from busclient._http.proxies import asks_environment
from busclient._http.ssh import Tunnels
from busclient._http.transport import Answer, Broken, Request, Transport
from busclient._http.trouble import chain
from busclient._settings import Settings

_PIECE = 1 << 20
_BEFORE = (
    socket.gaierror,
    ConnectionRefusedError,
    ssl.SSLCertVerificationError,
    ConnectTimeoutError,
    NewConnectionError,
    ProxyError,
)


class RequestsTransport(Transport):
    """A way to the hub of `settings`; `adapter` in place of sockets or ssh."""

    def __init__(self, settings: Settings, adapter: BaseAdapter | None = None) -> None:
        if adapter is None:
            adapter = (
                DirectAdapter() if settings.ssh_host is None else SshAdapter(settings.ssh_host)
            )
        self._session = requests.Session()
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)
        self._session.auth = _as_it_is  # else ~/.netrc would have a say
        self._session.trust_env = asks_environment(settings)

    def send(self, request: Request, connect_s: float, read_s: float) -> Answer:
        try:
            return _RequestsAnswer(
                self._session.request(
                    request.method, request.url, headers=dict(request.headers), data=request.body,
                    timeout=(connect_s, read_s), stream=True, allow_redirects=False,
                )
            )  # fmt: skip
        except requests.RequestException as error:
            raise Broken(
                str(error), is_unsent=any(isinstance(cause, _BEFORE) for cause in chain(error))
            ) from error

    def close(self) -> None:
        self._session.close()


class _RequestsAnswer(Answer):
    def __init__(self, reply: requests.Response) -> None:
        self.status = reply.status_code
        self._reply = reply

    def header(self, name: str) -> str:
        return str(self._reply.headers.get(name, ""))

    def chunks(self, *, live: bool) -> Iterator[bytes]:
        # Chunked: each chunk as it comes. A proxy that does not chunk gives no sign where to stop,
        # so byte by byte.
        piece = (None if getattr(self._reply.raw, "chunked", False) else 1) if live else _PIECE
        try:
            yield from self._reply.iter_content(piece)
        except requests.RequestException as error:
            raise Broken(str(error)) from error

    def close(self) -> None:
        self._reply.close()


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


class _Watched:
    """Lets `deadline` know on which socket an answer is awaited. A mix-in of connection classes."""

    sock: Any

    def getresponse(self) -> Any:
        awaits_on(self.sock)
        return super().getresponse()  # type: ignore[misc]


class _PlainConnection(_Watched, HTTPConnection):
    pass


class _TlsConnection(_Watched, HTTPSConnection):
    pass


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class DirectAdapter(HTTPAdapter):
    """HTTP and HTTPS on sockets. Retrying is the caller's: it also counts answers such as 502."""

    def init_poolmanager(
        self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: Any
    ) -> None:
        self.poolmanager = PoolManager(
            num_pools=connections, maxsize=maxsize, block=block, **pool_kwargs
        )
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}


class SshAdapter(HTTPAdapter):
    """The same through one host's ssh."""

    def __init__(self, host: str) -> None:
        self.tunnels = Tunnels(host)
        super().__init__()

    def init_poolmanager(
        self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: Any
    ) -> None:
        self.poolmanager = PoolManager(
            num_pools=connections, maxsize=maxsize, block=block, **pool_kwargs
        )
        self.poolmanager.pool_classes_by_scheme = {
            scheme: self._pool_class(pool, connection)
            for scheme, pool, connection in (
                ("http", HTTPConnectionPool, HTTPConnection),
                ("https", HTTPSConnectionPool, HTTPSConnection),
            )
        }

    def _pool_class(self, pool: type[HTTPConnectionPool], connection: type[HTTPConnection]) -> Any:
        """Return a pool of connections that are opened by this adapter."""
        over_ssh = type(
            f"Ssh{connection.__name__}", (_OverSsh, connection), {"tunnels": self.tunnels}
        )
        return type(f"Ssh{pool.__name__}", (pool,), {"ConnectionCls": over_ssh})

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        try:
            return super().send(request, **kwargs)
        except requests.Timeout:
            raise
        except requests.ConnectionError as error:
            said = self.tunnels.trouble()
            if said is not None:
                raise requests.ConnectionError(said) from None
            raise error


class _OverSsh(_Watched):
    tunnels: Tunnels
    host: str
    port: int

    def _new_conn(self) -> socket.socket:
        sock = self.tunnels.open(self.host, self.port)
        sock.settimeout(self.timeout)  # type: ignore[attr-defined]
        return sock
