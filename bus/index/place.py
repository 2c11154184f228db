"""How far the log has been applied, and which of its lines are damaged."""

from __future__ import annotations

import sqlite3
from typing import Any

from bus.index.projection import Batch
from bus.model.records import Position, Record

SCHEMA = """
CREATE TABLE place (                      -- how far the log has been applied: one row
    only INTEGER PRIMARY KEY CHECK (only = 1),
    seq INTEGER NOT NULL,
    token TEXT NOT NULL,
    messages INTEGER NOT NULL,
    damaged INTEGER NOT NULL
);
INSERT INTO place VALUES (1, 0, '', 0, 0);
CREATE TABLE damage (
    segment INTEGER NOT NULL,
    end_offset INTEGER NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (segment, end_offset)
) WITHOUT ROWID;
"""


class Damage:
    """Counts the lines that cannot be read."""

    kinds: tuple[str, ...] = ("damaged",)
    schema = SCHEMA

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def apply(self, record: Record) -> None:
        """Note where a damaged line is."""
        row = (record["segment"], record["offset"], record["reason"])
        self._batch.rows("INSERT OR IGNORE INTO damage VALUES (?, ?, ?)").append(row)
        self._batch.damaged += 1


def read(db: sqlite3.Connection) -> Position:
    """Return the place up to which the log has been applied in this view."""
    row: tuple[Any, ...] = db.execute("SELECT seq, token FROM place").fetchone()
    return Position(*row)


def known_to(db: sqlite3.Connection) -> int:
    """Return the seq up to which every record is known in this view."""
    return read(db).seq


def counts(db: sqlite3.Connection) -> tuple[int, int]:
    """Return how many messages there are, and how many damaged lines."""
    row: tuple[int, int] = db.execute("SELECT messages, damaged FROM place").fetchone()
    return row
