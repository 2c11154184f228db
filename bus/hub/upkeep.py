"""When the index takes in what was appended: many records together, and never so late that a reader
waits long.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from bus.errors import Unavailable
from bus.index.database import Index
from bus.index.weights import weight_us
from bus.model.records import Fields

# A reader brings the index up, or `tend` does, or the post that finds it this many records behind.
_LAG_ALLOWED = 5_000
# Microseconds of work for the index that one block may leave to others: in all, and on average for
# each record.
_HEAVY_US, _HEAVY_EACH_US = 5_000, 500
_TENDED_AT_ONCE = 200  # records, 4 ms


class Upkeep:
    """Decides who brings the index up after an append."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def keep_up(self, block: Sequence[Fields]) -> None:
        """Bring the index up if it is far behind. Otherwise that is left to the next reader, or to
        `tend`.

        Whoever posts what is heavy for the index waits until it is there, so that nobody else has
        to.
        """
        is_heavy = sum(map(weight_us, block)) > max(_HEAVY_US, len(block) * _HEAVY_EACH_US)
        if is_heavy or self._index.lag() > _LAG_ALLOWED:
            with suppress(Unavailable):
                self._index.catch_up(wait=is_heavy)

    def tend(self, let_others: Callable[[], None]) -> None:
        """Bring the index up in small steps; a worker calls this now and then.

        `let_others` runs between two steps, so that requests go on.
        """
        with suppress(Unavailable):
            while self._index.lag() and self._index.catch_up(wait=False, at_most=_TENDED_AT_ONCE):
                let_others()
