"""What everything that records rights and calls stands on: log and index, a clock, and the bell for those who wait."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from bus.errors import Busy, Unavailable
from bus.index import calls as queries
from bus.index.database import Index
from bus.log.base import Appended, Draft, Log
from bus.model import records
from bus.model.records import Record


class Journal:
    """Appends, and reads an index that has everything that was appended."""

    def __init__(
        self,
        log: Log,
        index: Index,
        ring: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._log, self._index, self._ring, self._clock = log, index, ring, clock
        self.append: Callable[[Sequence[Draft]], list[Appended]] = log.append  # see Core.append

    def new_id(self) -> str:
        """A new id for a call or an approval."""
        return next(records.new_ids(self._clock()))

    @contextmanager
    def _current(self) -> Iterator[sqlite3.Connection]:
        """The index with everything that the log has; raises Busy where it cannot be brought up.

        What is a little old would do for a page of messages, and not for a right: a grant may just have been taken back.
        """
        if not self._index.catch_up():
            raise Busy("What is granted cannot be read now: the index is behind the log.")
        with self._index.reading() as db:
            yield db

    def _append(self, draft: dict[str, Any]) -> Record:
        return self._append_all([draft])[0].record

    def _append_all(self, block: Sequence[dict[str, Any]]) -> list[Appended]:
        """Append in one block: all of it is on record on return, or none."""
        appended = self.append(block)
        # With waiting: the next check of a right must see what was just recorded.
        self._index.catch_up()
        self._ring()
        return appended

    def is_over(self, record: Record) -> bool:
        """Whether the credential that made this record was revoked since, or its name given to another."""
        with self._current() as db:
            return queries.is_over(db, record)

    def last_tenure(self) -> int:
        """The newest tenure of any name: it grows when somebody is revoked."""
        with self._index.reading() as db:
            return queries.last_tenure(db)

    def tenure_of(self, name: str) -> int | None:
        """Which holder of a name, one after the other, has it now; see `Caller.tenure`."""
        try:
            with self._current() as db:
                return queries.tenure(db, name)
        except Unavailable:
            return None

    def _now(self) -> str:
        return records.utc(self._clock())
