"""Work for an answer that is worth nothing later: it ends in time, or is given up.

A limit holds for what runs in the block, in this thread or greenlet. Whoever waits or repeats
something down there asks here; nobody has to pass the limit on.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_end: ContextVar[float | None] = ContextVar("end", default=None)


class TooLate(Exception):
    """The time for the answer is over."""


def now() -> float:
    """Return the time by which limits are kept, in seconds."""
    return time.monotonic()


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """What is done in the block has so long."""
    token = _end.set(now() + seconds)
    try:
        yield
    finally:
        _end.reset(token)


def is_on() -> bool:
    """Return whether there is a limit."""
    return _end.get() is not None


def left(most: float) -> float:
    """Return how many seconds there are, `most` if that is less or there is no limit; never less
    than 0.
    """
    end = _end.get()
    return most if end is None else max(0.0, min(most, end - now()))


def check() -> None:
    """Raise TooLate if the time is over."""
    end = _end.get()
    if end is not None and now() >= end:
        raise TooLate
