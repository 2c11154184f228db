"""Attachments: which message a file came with, and who needs which content."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from bus.index.projection import Batch
from bus.model import records
from bus.model.records import Record

SCHEMA = """
CREATE TABLE attachments (
    id TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,                 -- of its message
    sum TEXT NOT NULL,                    -- SHA-256 of its content
    size INTEGER NOT NULL,
    auth TEXT NOT NULL,                   -- the credential that sent it
    posted_ms INTEGER NOT NULL,
    retracted INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX attachments_by_seq ON attachments (seq);
CREATE INDEX attachments_by_sum ON attachments (sum, posted_ms) WHERE retracted = 0;
CREATE INDEX attachments_by_time ON attachments (posted_ms, auth, size) WHERE retracted = 0;
"""
_INSERT = "INSERT OR IGNORE INTO attachments VALUES (?, ?, ?, ?, ?, ?, 0)"


class Attachments:
    """Notes which files there are."""

    kinds: tuple[str, ...] = ("message", "message_retracted")
    schema = SCHEMA

    def __init__(self, batch: Batch) -> None:
        self._batch, self._rows = batch, batch.rows(_INSERT)

    def apply(self, record: Record) -> None:
        """Note the files of a message, or that it was taken back."""
        if record["kind"] == "message_retracted":
            self._batch.flush()
            self._batch.db.execute(
                "UPDATE attachments SET retracted = 1 WHERE seq = ?", (record["message"],)
            )
            return
        for one in record.get("attachments", ()):
            about = (one["id"], record["seq"], one["sha256"], one["size"])
            self._rows.append((*about, record.get("auth", ""), records.unix_ms(record["ts"])))


class Placed(NamedTuple):
    """A file: its message, its content, and when it was posted (Unix milliseconds)."""

    seq: int
    sum: str
    posted_ms: int


def by_id(db: sqlite3.Connection, id: str) -> Placed | None:
    """Return where a file is; None if there is none."""
    sql = "SELECT seq, sum, posted_ms FROM attachments WHERE id = ?"
    row = db.execute(sql, (id,)).fetchone()
    return None if row is None else Placed(*row)


def is_needed(db: sqlite3.Connection, sum: str, since_ms: int) -> bool:
    """Return whether a message since then, not retracted, carries this content."""
    sql = "SELECT 1 FROM attachments WHERE sum = ? AND posted_ms > ? AND retracted = 0 LIMIT 1"
    return db.execute(sql, (sum, since_ms)).fetchone() is not None


def used(db: sqlite3.Connection, auth: str, since_ms: int) -> tuple[int, int]:
    """Return the bytes of a credential's files since then, and of everybody's."""
    sql = (
        "SELECT COALESCE(SUM(CASE WHEN auth = ? THEN size END), 0), COALESCE(SUM(size), 0)"
        " FROM attachments WHERE posted_ms > ? AND retracted = 0"
    )
    mine, all = db.execute(sql, (auth, since_ms)).fetchone()
    return mine, all
