"""What a projection is: one noun's tables, and what the records that it reads do to them.

A projection is a class with `kinds` (of the records that it reads), `schema` (SQL that makes its
tables; a change raises `SCHEMA` in building.py) and `apply`. `bus/index/projections.py` lists them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, Protocol

from bus.index.names import Names
from bus.model.records import Position, Record


class Batch:
    """What one transaction writes. Rows wait here and are written together."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db
        self.names = Names(db)
        self.messages = self.damaged = 0
        self._rows: dict[str, list[tuple[Any, ...]]] = {}
        self._writers: list[Callable[[], None]] = []

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the list of rows that wait to be written by this statement."""
        return self._rows.setdefault(sql, [])

    def at_flush(self, write: Callable[[], None]) -> None:
        """Have `write` called whenever the rows are written."""
        self._writers.append(write)

    def flush(self) -> None:
        """Write the rows that wait: whoever reads a table calls this before."""
        for sql, rows in self._rows.items():
            if rows:
                self.db.executemany(sql, rows)
                rows.clear()
        for write in self._writers:
            write()

    def finish(self, reached: Position) -> None:
        """Write everything, and that the log has been applied up to here."""
        self.flush()
        self.names.write()
        self.db.execute(
            "UPDATE place SET seq = ?, token = ?, messages = messages + ?, damaged = damaged + ?",
            (reached.seq, reached.token, self.messages, self.damaged),
        )


class Projection(Protocol):
    """See the head of this module."""

    kinds: tuple[str, ...]
    schema: str

    def __init__(self, batch: Batch) -> None: ...

    def apply(self, record: Record) -> None:
        """Apply a record of one of its kinds."""
