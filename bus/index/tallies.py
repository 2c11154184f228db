"""How many records there are of each kind, and how calls ended: what would take a walk over the
whole log to count.
"""

from __future__ import annotations

import sqlite3
from collections import Counter

from bus.index.projection import Batch
from bus.model.records import KINDS, Record

SCHEMA = """
CREATE TABLE tallies (
    what TEXT NOT NULL,                   -- "record" or "call"
    label TEXT NOT NULL,                  -- of a record its kind, of a call "exec ok"
    count INTEGER NOT NULL,
    PRIMARY KEY (what, label)
) WITHOUT ROWID;
"""
_RECORD, _CALL = "record", "call"


class Tallies:
    """Counts records."""

    kinds: tuple[str, ...] = KINDS
    schema = SCHEMA

    def __init__(self, batch: Batch) -> None:
        self._db, self._kinds = batch.db, Counter[str]()
        batch.at_flush(self._write)

    def apply(self, record: Record) -> None:
        """Count a record."""
        self._kinds[record["kind"]] += 1

    def _write(self) -> None:
        for kind, count in self._kinds.items():
            _add(self._db, _RECORD, kind, count)
        self._kinds.clear()


def count_call(db: sqlite3.Connection, type: str, result: str) -> None:
    """Count a call that has ended."""
    _add(db, _CALL, f"{type} {result}", 1)


def records(db: sqlite3.Connection) -> dict[str, int]:
    """Return how many records there are of each kind that there is."""
    return dict(db.execute("SELECT label, count FROM tallies WHERE what = ?", (_RECORD,)))


def calls(db: sqlite3.Connection) -> list[tuple[str, str, int]]:
    """Return the type and the result of calls that ended, and how many there are of them."""
    rows = db.execute("SELECT label, count FROM tallies WHERE what = ? ORDER BY label", (_CALL,))
    return [(*label.split(" ", 1), count) for label, count in rows]


def _add(db: sqlite3.Connection, what: str, label: str, count: int) -> None:
    db.execute(
        "INSERT INTO tallies VALUES (?, ?, ?)"
        " ON CONFLICT (what, label) DO UPDATE SET count = count + excluded.count",
        (what, label, count),
    )
