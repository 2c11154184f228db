"""The one place that writes.

Nothing else calls `append` of a log, brings the index up after it, or wakes who waits.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from bus.errors import Busy
from bus.hub.daily_quotas import DailyQuotas
from bus.hub.upkeep import Upkeep
from bus.index.database import Index
from bus.live.waiting import WaitingRoom
from bus.log.base import Appended, Draft, Log
from bus.model import records
from bus.model.records import Fields, Record


class Journal:
    """Appends records, and reads an index that has everything that was appended.

    `clock` returns the time in seconds since 1970. Without `daily`, no quota applies.
    `on_appended` is told how long each append took, in seconds.
    """

    def __init__(
        self,
        log: Log,
        index: Index,
        waiting: WaitingRoom,
        clock: Callable[[], float] = time.time,
        daily: DailyQuotas | None = None,
        on_appended: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self.log, self.index, self.waiting, self.clock = log, index, waiting, clock
        self.upkeep, self._on_appended = Upkeep(index), on_appended
        self._append = self._stored if daily is None else daily.guarding(self._stored)

    def record(self, fields: Mapping[str, Any]) -> Record:
        """Append one record, and return it as it is in the log. The index has it on return."""
        return self.append([fields])[0].record

    def append(self, block: Sequence[Mapping[str, Any]]) -> list[Appended]:
        """Append a block: all of it is in the log and in the index on return, or none of it.

        For what decides about rights: the next check of a right must see it. Raises OverQuota, and
        what `Log.append` raises.
        """
        appended = self._append([dict(fields) for fields in block])
        self.index.catch_up()
        self.waiting.ring()
        return appended

    def append_soon(self, block: Sequence[Fields]) -> list[Appended]:
        """Append a block that the index may take in a little later, with others; raises as `append`
        does.
        """
        appended = self._append(block)
        self.waiting.ring()
        self.upkeep.keep_up(block)
        return appended

    def take_in(self, block: Sequence[Fields]) -> list[Appended]:
        """Append what the operator imports: no quota applies to it."""
        appended = self._stored(block)
        self.waiting.ring()
        return appended

    def _stored(self, block: Sequence[Fields]) -> list[Appended]:
        began = time.perf_counter()
        appended = self.log.append([Draft(fields, records.unique_key(fields)) for fields in block])
        self._on_appended(time.perf_counter() - began)
        return appended

    @contextmanager
    def current(self) -> Iterator[sqlite3.Connection]:
        """The index with everything that the log has; raises Busy if it cannot be brought up.

        A page of messages may be a little old. A right may not: it may just have been taken away.
        """
        behind = Busy("Permissions cannot be read now: the index is behind the log.")
        if not self.index.catch_up():
            raise behind
        known_to = self.index.known_to()
        with self.index.as_is() as db:
            # The file may have been replaced in between, by one that is not as far.
            if self.index.known_to() < known_to:
                raise behind
            yield db

    def new_id(self) -> str:
        """Return a new id for a call or an approval."""
        return next(records.new_ids(self.clock()))

    def time(self) -> float:
        """Return the time in seconds since 1970."""
        return self.clock()

    def now_ms(self) -> int:
        """Return the time in milliseconds since 1970."""
        return int(self.clock() * 1000)

    def utc(self, in_s: float = 0) -> str:
        """Return the time, or the time in so many seconds, as records have it."""
        return records.utc(self.clock() + in_s)
