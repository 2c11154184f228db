"""How many connections each worker has, in memory that all of them share, so that the fullest lets
others go first.

Every worker waits on the same listening socket, and who wakes first takes a new connection. By
chance sixteen kept-alive clients then fall twelve to four on two workers, and the twelve wait three
times as long.
"""

from __future__ import annotations

import mmap

# more than BUS_WORKERS allows, twice over: during a reload the old workers are there as well
_SLOTS = 256


class Seats:
    """Made before the workers are forked.

    A slot holds the number of connections plus one; 0: no such worker.
    """

    def __init__(self) -> None:
        self._slots = memoryview(mmap.mmap(-1, _SLOTS * 8)).cast("Q")

    def of(self, number: int) -> Seat:
        """Return the seat of the worker with this number (gunicorn counts them up)."""
        return Seat(self._slots, number % _SLOTS)


class Seat:
    """What one worker says of itself, and whether a new connection is for another."""

    def __init__(self, slots: memoryview, at: int) -> None:
        self._slots, self._at = slots, at

    def open(self) -> None:
        """Say that this worker takes connections, and has none yet."""
        self._slots[self._at] = 1

    def count(self, change: int) -> None:
        """Say that so many connections came (or, below zero, went)."""
        if self._slots[self._at]:
            self._slots[self._at] += change

    def leave(self) -> None:
        """Say that this worker takes no connections any more."""
        self._slots[self._at] = 0

    def is_for_another(self) -> bool:
        """Return whether another worker has fewer connections."""
        mine = self._slots[self._at]
        return any(0 < theirs < mine for theirs in self._slots)
