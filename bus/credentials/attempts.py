"""How often somebody may guess. Per worker: a hub of two workers allows twice as many."""

from __future__ import annotations

import threading
from math import ceil

from bus.errors import TooManyAttempts

FREE, EVERY_S = 10, 6  # wrong ones in a row, and then one more every so many seconds
_REMEMBERED = 10_000


class Attempts:
    """Counts wrong attempts in leaky buckets, those of all threads. Times are Unix seconds."""

    def __init__(self) -> None:
        self._buckets: dict[str, tuple[float, float]] = {}  # how full, and when that was
        self._changing = threading.Lock()

    def check(self, key: str, now: float) -> None:
        """Raise TooManyAttempts, with the seconds until one is allowed again, while this bucket is
        full.
        """
        over = self._level(key, now) - (FREE - 1)
        if over > 1e-6:
            error = TooManyAttempts("There were too many wrong codes.")
            error.retry_after_s = ceil(over * EVERY_S - 1e-6)
            raise error

    def note(self, key: str, now: float) -> None:
        """A wrong attempt."""
        with self._changing:
            if len(self._buckets) >= _REMEMBERED:
                self._buckets = {
                    key: bucket
                    for key, bucket in self._buckets.items()
                    if self._level(key, now) > 0
                }
            if len(self._buckets) >= _REMEMBERED:
                key = ""  # so many guess at once that they have to share
            self._buckets[key] = (self._level(key, now) + 1, now)

    def _level(self, key: str, now: float) -> float:
        level, since = self._buckets.get(key, (0.0, now))
        return max(0.0, level - max(0.0, now - since) / EVERY_S)
