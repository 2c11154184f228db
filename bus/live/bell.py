"""How a process that has appended wakes the others that listen on the same data folder: a datagram
to each.

    data/run/bells/<pid>-<random>   the socket of a process in which somebody waits
    data/run/bell                   a number that changes whenever such a socket is made

A ring costs a glance at that number while nobody listens. Who listens binds its socket first and
looks at the log then; who appends makes its record durable first and rings then: so either sees the
other. A ring can still be lost, where the one who appended is killed before it; listeners look by
themselves now and then for that.
"""

from __future__ import annotations

import logging
import mmap
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bus.system import modes
from bus.system.sockets import address_of

logger = logging.getLogger("bus.live.bell")


class Bell:
    """Rings, and hears. Any number of processes may have one on the same folder."""

    def __init__(self, run: Path) -> None:
        self._folder = run / "bells"
        self._folder.mkdir(mode=modes.FOLDER, parents=True, exist_ok=True)
        self._number = _mapped(run / "bell")
        self._number_known = -1
        self._others: set[str] = set()
        self._mine: set[str] = set()

    def ring(self) -> None:
        """Wake every other process that listens; called after an append.

        Raises nothing: it is news, not the post.
        """
        try:
            number = self._number[0]
            if number != self._number_known:
                self._others, self._number_known = set(os.listdir(self._folder)), number
            if others := self._others - self._mine:
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                    sender.setblocking(False)
                    for name in others:
                        self._ring_at(name, sender)
        except OSError as error:
            logger.warning("others could not be told that there is something new: %s", error)

    @contextmanager
    def listening(self) -> Iterator[Ear]:
        """Hear rings by other processes while the block runs; raises OSError."""
        name = f"{os.getpid()}-{secrets.token_hex(4)}"
        path = self._folder / name
        heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            with address_of(path) as address:
                heard.bind(address)
            self._mine.add(name)
            self._number[0] = secrets.randbits(62)
            yield Ear(heard)
        finally:
            heard.close()
            path.unlink(missing_ok=True)
            self._mine.discard(name)

    def _ring_at(self, name: str, sender: socket.socket) -> None:
        try:
            with address_of(self._folder / name) as address:
                sender.sendto(b"!", address)
        except BlockingIOError:
            pass  # so many rings wait for it that it will look
        except FileNotFoundError:
            self._others.discard(name)
        except ConnectionRefusedError:  # its process was killed
            self._others.discard(name)
            with suppress(OSError):
                (self._folder / name).unlink()


class Ear:
    """Where rings are heard."""

    def __init__(self, heard: socket.socket) -> None:
        self._heard = heard

    def wait(self, timeout_s: float) -> bool:
        """Wait for a ring, at most so long; returns whether there was one.

        Rings that came together are one.
        """
        is_heard = False
        self._heard.settimeout(timeout_s)
        with suppress(TimeoutError, BlockingIOError):
            while self._heard.recv(1):
                is_heard = True
                self._heard.setblocking(False)
        return is_heard


def _mapped(path: Path) -> memoryview:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, modes.FILE)
    try:
        if os.fstat(fd).st_size < mmap.PAGESIZE:
            modes.reserve(fd, mmap.PAGESIZE)
        return memoryview(mmap.mmap(fd, mmap.PAGESIZE)).cast("Q")
    finally:
        os.close(fd)
