"""A limit on a whole call: a time-out on each read never ends a call to a hub that sends a byte a
second.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextvars import ContextVar

from busclient._http.transport import Broken


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
def deadline(total_s: float) -> Iterator[None]:
    """End the call made inside after so many seconds, however slowly its answer drips.

    Raises Broken then.
    """
    watch = _Watch()
    timer = threading.Timer(max(total_s, 0.001), watch.end)
    timer.daemon = True
    token = _watch.set(watch)
    timer.start()
    try:
        yield
        if watch.is_over:  # a socket that is shut while headers are read looks like their end
            raise Broken(f"no whole answer within {total_s:.1f} s") from TimeoutError()
    except Broken as error:
        if watch.is_over:
            raise Broken(f"no whole answer within {total_s:.1f} s") from TimeoutError(str(error))
        raise
    finally:
        timer.cancel()
        _watch.reset(token)


def awaits_on(sock: socket.socket | None) -> None:
    """Let `deadline` know on which socket an answer is awaited; raises TimeoutError when the time
    is over already.
    """
    watch = _watch.get()
    if watch is not None:
        watch.sock = sock
        if watch.is_over:
            raise TimeoutError("the time is over")
