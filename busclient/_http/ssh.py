"""The hub through `ssh -W`: the system's ssh, with the user's own configuration, keys and agent.

A connection of HTTP is a process `ssh -W HUB:PORT HOST`. They all share one SSH connection (ControlMaster), which stays
up for ten minutes after the last call, also over several runs of `bus`. Nothing listens on a local port, so no other
user of this machine can come in by it or take its place. Windows' ssh has no ControlMaster: there one process holds
its own connection as long as it runs.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import threading
from collections import deque
from pathlib import Path
from typing import Any, NoReturn

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection

from busclient._errors import LocalTrouble, SettingsError
from busclient._http.transport import Watched
from busclient._http.trouble import SshFailed
from busclient._places import Places

KEPT_S = 600
_LONGEST_PATH = 80  # a unix socket's path is at most 104 bytes on some systems, and ssh adds 17 to it for a while
_CHUNK = 65536


def command(host: str, target: str, folder: Path | None) -> list[str]:
    """The argument vector that joins standard input and output to `target` (`host:port`) as seen from `host`."""
    if host.startswith("-") or not host.isprintable() or set(host) & set(" /%$'\""):
        raise SettingsError(f"BUS_SSH_HOST is {host!r}, which is no host name.")
    ssh = shutil.which("ssh")
    if ssh is None:
        raise LocalTrouble("There is no `ssh` on this machine.", hint="Install the OpenSSH client, or use direct HTTP.")
    options = ["BatchMode=yes", "ConnectTimeout=5", "ServerAliveInterval=15", "ServerAliveCountMax=2"]
    # scripts/session-start-poll uses the same name, and so the same connection.
    socket_path = None if folder is None else folder / f"ssh-{host}"
    if socket_path is not None and os.name != "nt" and len(str(socket_path)) <= _LONGEST_PATH:
        options += ["ControlMaster=auto", f"ControlPath={socket_path}", f"ControlPersist={KEPT_S}"]
    return [ssh, "-T", *(part for option in options for part in ("-o", option)), "-W", target, host]


class SshTransport(HTTPAdapter):
    """A transport for `Bus` that reaches the hub through one host's ssh."""

    def __init__(self, host: str, folder: Path | None = None) -> None:
        self.host = host
        if folder is None:
            with contextlib.suppress(OSError):
                folder = Places.of_user().make_state()
        self._folder = folder
        self._tunnels: list[_Tunnel] = []
        super().__init__()

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: Any) -> None:
        self.poolmanager = PoolManager(num_pools=connections, maxsize=maxsize, block=block, **pool_kwargs)
        self.poolmanager.pool_classes_by_scheme = {
            scheme: self._pool_class(pool, connection)
            for scheme, pool, connection in (
                ("http", HTTPConnectionPool, HTTPConnection),
                ("https", HTTPSConnectionPool, HTTPSConnection),
            )
        }

    def _pool_class(self, pool: type[HTTPConnectionPool], connection: type[HTTPConnection]) -> Any:
        """A pool of connections that are opened by this transport."""
        over_ssh = type(f"Ssh{connection.__name__}", (_OverSsh, connection), {"transport": self})
        return type(f"Ssh{pool.__name__}", (pool,), {"ConnectionCls": over_ssh})

    def open(self, target: str) -> socket.socket:
        """A socket that leads to `target` as seen from the host."""
        tunnel = _Tunnel(command(self.host, target, self._folder))
        self._tunnels = [*(old for old in self._tunnels if old.process.poll() is None), tunnel]
        return tunnel.outside

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        try:
            return super().send(request, **kwargs)
        except requests.Timeout:
            raise
        except requests.ConnectionError as error:
            self._explain(error)

    def _explain(self, error: requests.ConnectionError) -> NoReturn:
        """Raise the error again with what ssh said, when it said something."""
        lines = [line for tunnel in self._tunnels[-1:] for line in tunnel.last_lines()]
        if lines:
            raise requests.ConnectionError(SshFailed(self.host, lines)) from None
        raise error


class _OverSsh(Watched):
    transport: SshTransport
    host: str
    port: int

    def _new_conn(self) -> socket.socket:
        name = f"[{self.host}]" if ":" in self.host else self.host
        sock = self.transport.open(f"{name}:{self.port}")
        sock.settimeout(self.timeout)  # type: ignore[attr-defined]
        return sock


class _Tunnel:
    """An ssh process whose standard input and output are one socket here, on every system."""

    def __init__(self, arguments: list[str]) -> None:
        self.outside, self._inside = socket.socketpair()
        self.process = subprocess.Popen(  # noqa: S603  a vector that `command` has checked
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self._lines: deque[str] = deque(maxlen=3)
        for job in (self._send, self._receive, self._listen):
            threading.Thread(target=job, daemon=True).start()

    def last_lines(self) -> list[str]:
        """What ssh said, when it has ended or ends within half a second; else nothing."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(0.5)
        return list(self._lines) if self.process.poll() is not None else []

    def _send(self) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            while data := self._inside.recv(_CHUNK):
                self.process.stdin.write(data)
                self.process.stdin.flush()
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        self._end()

    def _receive(self) -> None:
        assert self.process.stdout is not None
        with contextlib.suppress(OSError):
            while data := os.read(self.process.stdout.fileno(), _CHUNK):
                self._inside.sendall(data)
        with contextlib.suppress(OSError):
            self._inside.shutdown(socket.SHUT_RDWR)
        self.process.stdout.close()

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            text = line.decode(errors="replace").strip()
            if text and not text.startswith("Warning: Permanently added"):
                self._lines.append(text)
        self.process.stderr.close()

    def _end(self) -> None:
        """The caller has hung up: let ssh end, and see that it does."""
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            self.process.terminate()
            self.process.wait()
        self._inside.close()
