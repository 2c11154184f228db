"""A long poll that outlives restarts of the hub."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from busclient._errors import HubFailed, TooManyWaiting, Unavailable, Unreachable

T = TypeVar("T")
_LONGEST_WAIT_S = 50.0  # of the 60 that the hub allows
_LAST_LOOK_S = 0.001  # when the hub was away at the end: is it still?


def poll(
    read: Callable[[float], list[T]], timeout_s: float, sleep: Callable[[float], None]
) -> list[T]:
    """Return what was waited for as soon as there are any; [] if there are none in time.

    `read` asks the hub, which may hold the answer back so many seconds. What the first call raises
    is raised, and what the last one does: in between, the hub may be restarting.
    """
    ends = time.monotonic() + timeout_s
    hold_s, breaks = 0.0, 0  # the first call only looks
    while True:
        left = max(ends - time.monotonic(), 0)
        found: list[T] = []
        try:
            found, breaks = read(hold_s), 0
        except TooManyWaiting as error:
            sleep(min(error.retry_after_s or 5.0, left))
        except (Unreachable, Unavailable, HubFailed):
            if not hold_s or left <= 0:
                raise
            breaks += 1
            sleep(min(0.1 * 2 ** min(breaks, 6), left))
        left = max(ends - time.monotonic(), 0)
        if found or (not left and not breaks):
            return found
        hold_s = min(left, _LONGEST_WAIT_S) or _LAST_LOOK_S
