"""The hub through `ssh -W`: the system's ssh, with the user's own configuration, keys and agent.

A connection of HTTP is a process `ssh -W HUB:PORT HOST`. They all share one SSH connection
(ControlMaster), which stays up for ten minutes after the last call, also over several runs of
`bus`. Nothing listens on a local port, so no other user of this machine can come in by it or take
its place. Windows' ssh has no ControlMaster: there one process holds its own connection as long as
it runs.
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

from busclient._errors import LocalTrouble, SettingsError
from busclient._http.trouble import SshFailed
from busclient._places import Places

KEPT_S = 600
# a unix socket's path is at most 104 bytes on some systems, and ssh adds 17 to it for a while
_LONGEST_PATH = 80
_CHUNK = 65536


def command(host: str, target: str, folder: Path | None) -> list[str]:
    """Return the argument vector that joins standard input and output to `target` (`host:port`) as
    seen from `host`.
    """
    if host.startswith("-") or not host.isprintable() or set(host) & set(" /%$'\""):
        raise SettingsError(f"BUS_SSH_HOST is {host!r}, which is not a host name.")
    ssh = shutil.which("ssh")
    if ssh is None:
        raise LocalTrouble(
            "There is no `ssh` on this machine.",
            hint="Install the OpenSSH client, or use direct HTTP.",
        )
    options = [
        "BatchMode=yes",
        "ConnectTimeout=5",
        "ServerAliveInterval=15",
        "ServerAliveCountMax=2",
    ]
    # scripts/session-start-poll uses the same name, and so the same connection.
    socket_path = None if folder is None else folder / f"ssh-{host}"
    if socket_path is not None and os.name != "nt" and len(str(socket_path)) <= _LONGEST_PATH:
        options += ["ControlMaster=auto", f"ControlPath={socket_path}", f"ControlPersist={KEPT_S}"]
    return [ssh, "-T", *(part for option in options for part in ("-o", option)), "-W", target, host]


class Tunnels:
    """Connections to the hub as seen from one host.

    `folder` keeps the shared one: this user's state folder unless given.
    """

    def __init__(self, host: str, folder: Path | None = None) -> None:
        self.host = host
        if folder is None:
            with contextlib.suppress(OSError):
                folder = Places.of_user().make_state()
        self._folder = folder
        self._tunnels: list[_Tunnel] = []

    def open(self, host: str, port: int) -> socket.socket:
        """Return a socket that leads to a host and port as seen from there."""
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        tunnel = _Tunnel(command(self.host, target, self._folder))
        self._tunnels = [*(old for old in self._tunnels if old.process.poll() is None), tunnel]
        return tunnel.outside

    def trouble(self) -> SshFailed | None:
        """Return what the ssh of the last connection said, when it said something and has ended."""
        lines = [line for tunnel in self._tunnels[-1:] for line in tunnel.last_lines()]
        return SshFailed(self.host, lines) if lines else None


class _Tunnel:
    """An ssh process whose standard input and output are one socket here, on every system."""

    def __init__(self, arguments: list[str]) -> None:
        self.outside, self._inside = socket.socketpair()
        self.process = subprocess.Popen(  # noqa: S603  a vector that `command` has checked
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self._lines: deque[str] = deque(maxlen=3)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        for thread in (
            *(threading.Thread(target=job, daemon=True) for job in (self._send, self._receive)),
            self._listener,
        ):
            thread.start()

    def last_lines(self) -> list[str]:
        """Return what ssh said, when it has ended or ends within half a second; else nothing."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(0.5)
            self._listener.join(0.5)  # its last words may still be on the way
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
