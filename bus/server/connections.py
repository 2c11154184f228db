"""The connections of a worker: how many there may be, how long each may take, and whether its
client is still there.

Whoever reaches the socket may open connections without any credential. So a connection that has not
brought a request with a good credential yet is the first to be closed when there are many, and its
first head must come soon. Among the others, those with no request under way make room when the
worker is nearly full.
"""

from __future__ import annotations

import resource
import select
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import gevent
import gevent.monkey

# For the log, the index, locks, and the service that runs commands: a worker full of connections
# must still do its work.
RESERVE = 192
_ENOUGH = 65_536
HEAD_S = 10.0  # the first head of a connection
# A client that neither sends nor takes anything for so long, while a request is under way
STALL_S = 60.0
BODY_S = 180.0  # a whole body, 16 MiB at most; of a file, each piece of 1 MiB
_LONG = ("/files", "/uploads")  # the paths that take files
_DISCARDED, _DISCARD_S = 16 << 20, 5.0  # of a body that nobody has read
_PIECE = 1 << 20
_LOOK_S = 1.0
_GONE = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR
_real_poll = gevent.monkey.get_original("select", "poll")


def raise_limit() -> int:
    """Take as many open files as the system lets this process have, and give that number."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(
            OSError, ValueError
        ):  # systemd's filter of system calls forbids it; the unit sets the number
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return _ENOUGH if soft == resource.RLIM_INFINITY else soft


def that_fit(wanted: int, open_files: int) -> int:
    """Return how many connections a worker may have: as many as wanted, unless there are too few
    open files.
    """
    return max(16, min(wanted, open_files - RESERVE))


class Connection:
    """One client's connection, and whether it has brought a request with a good credential."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.is_proven = False
        self.requests = 0


class Connections:
    """Those that a worker has now; `cap` is how many it may have."""

    def __init__(self, cap: int, keepalive_s: float) -> None:
        self._cap, self._keepalive_s = cap, keepalive_s
        self._all: dict[Any, Connection] = {}  # by greenlet
        # Between two requests, by what they wait in; the one that has waited longest is the first.
        self._idle: dict[BetweenRequests, None] = {}
        self._unproven: dict[BetweenRequests, None] = {}

    @contextmanager
    def one_more(self, client: Any) -> Iterator[None]:
        """Have a connection while the block runs; others make room for it."""
        self._make_room()
        greenlet = gevent.getcurrent()
        self._all[greenlet] = Connection(client)
        try:
            yield
        finally:
            del self._all[greenlet]

    def _make_room(self) -> None:
        if len(self._unproven) >= max(16, self._cap // 4):
            next(iter(self._unproven)).end()
        elif len(self._all) >= self._cap - max(1, self._cap // 8) and self._idle:
            next(iter(self._idle)).end()

    def here(self) -> Connection | None:
        """Return the connection whose request this greenlet answers."""
        return self._all.get(gevent.getcurrent())

    def between_requests(self) -> BetweenRequests:
        """Return what to wait in for a connection's next request."""
        connection = self.here()
        is_first = connection is not None and connection.requests == 0
        is_proven = connection is None or connection.is_proven
        # Later heads have as long as an idle connection: nginx must never find one closed that it
        # is about to use.
        seconds = min(HEAD_S, self._keepalive_s) if is_first else self._keepalive_s
        return BetweenRequests(seconds, self._idle if is_proven else self._unproven)

    def idle_for(self, seconds: float, after: float) -> list[BetweenRequests]:
        """Return those that have waited for so long, counted from `after` (of time.monotonic) at
        the earliest.
        """
        now = time.monotonic()
        return [
            wait
            for wait in (*self._idle, *self._unproven)
            if now - max(after, wait.since) > seconds
        ]

    @contextmanager
    def watching(self, on_gone: Callable[[], None]) -> Iterator[None]:
        """Call `on_gone` when the client of this greenlet's request goes away while the block runs.
        For nothing else to do.

        A client that has ended only its sending counts as gone: the two look alike, and nginx takes
        it so as well.
        """
        connection = self.here()
        if connection is None:
            yield
            return
        watch = _Watch(connection.client.fileno(), on_gone)
        try:
            yield
        finally:
            watch.close()


class BetweenRequests(gevent.Timeout):  # type: ignore[misc]
    """The time-out of a connection that has no request under way; it can be brought forward by
    throwing it.
    """

    def __init__(self, seconds: float, room: dict[BetweenRequests, None]) -> None:
        super().__init__(seconds, False)
        self._room = room

    def __enter__(self) -> BetweenRequests:
        self.greenlet, self.since = gevent.getcurrent(), time.monotonic()
        self._room[self] = None
        super().__enter__()
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> Any:
        self._room.pop(self, None)
        return super().__exit__(kind, error, trace)

    def end(self) -> None:
        """Close the connection."""
        self._room.pop(self, None)
        gevent.kill(self.greenlet, self)


class _Watch:
    """Looks for the end of what a client sends, without taking anything of it."""

    def __init__(self, fd: int, on_gone: Callable[[], None]) -> None:
        self._fd, self._on_gone = fd, on_gone
        loop = gevent.get_hub().loop
        self._came = loop.io(fd, 1)
        # A request that was sent ahead stays readable, and would hide the end behind it.
        self._again = loop.timer(_LOOK_S, _LOOK_S, ref=False)
        self._came.start(self._look)

    def _look(self) -> None:
        poll = _real_poll()
        poll.register(self._fd, _GONE)
        if poll.poll(0):
            self.close()
            self._on_gone()
        elif self._came is not None and self._came.active:
            self._came.stop()
            self._again.start(self._look)

    def close(self) -> None:
        for watcher in (self._came, self._again):
            watcher.stop()
            watcher.close()


class LongBody:
    """What the body of a request needs that is larger than others: `go_on` gives its client time
    for one more piece.

    A client that asks before it sends (`Expect: 100-continue`) is told to when the first piece is
    wanted: a request that is refused before is not sent.
    """

    def __init__(self, req: Any, sock: Any) -> None:
        self._req, self._sock = req, sock
        self._is_asked = bool(
            getattr(req, "_expected_100_continue", False)
        ) and req.path.startswith(_LONG)
        if self._is_asked:
            req._expected_100_continue = False
        req.body.go_on = self._go_on

    @property
    def is_begun(self) -> bool:
        """Whether the body comes: its client does not wait to be told."""
        return not self._is_asked

    def _go_on(self) -> None:
        if self._is_asked:
            self._is_asked = False
            self._sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._sock.latest = time.monotonic() + BODY_S


def discard_rest(body: Any) -> bool:
    """Read what nobody has read of a request's body, so that its connection can go on; False where
    there is too much.

    gunicorn does so in pieces of 1 KiB, and copies up to 1 MiB for each: half a minute of a worker
    for 16 MB.
    """
    if getattr(body, "failed", False):
        return False
    if getattr(body.reader, "length", None) == 0:
        return True
    left = _DISCARDED
    with gevent.Timeout(_DISCARD_S, False):
        while data := body.read(_PIECE):
            left -= len(data)
            if left < 0:
                return False
        return True
    return False
