"""What becomes of messages: their marks (retracted, superseded) and their deadlines."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from bus.index.floors import floor
from bus.index.projection import Batch
from bus.index.ranges import Mail, settle
from bus.index.topics import reached
from bus.model import records
from bus.model.filter import recipients
from bus.model.records import EVERYBODY, Record

SCHEMA = """
CREATE TABLE deadlines (                  -- messages with `ack_by`, until all is said of them
    seq INTEGER PRIMARY KEY,
    ack_by_ms INTEGER NOT NULL,
    sender TEXT NOT NULL,
    reported TEXT                         -- when its sender was told; NULL: not yet
);
CREATE INDEX deadlines_ahead ON deadlines (ack_by_ms) WHERE reported IS NULL;
"""


class Deadline(NamedTuple):
    """When a message must be acknowledged (Unix milliseconds), and when its sender was told."""

    seq: int
    ack_by_ms: int
    reported: str | None


class Tracking:
    """Marks messages, and keeps their deadlines."""

    kinds: tuple[str, ...] = ("message", "message_retracted", "deadline_passed")
    schema = SCHEMA

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._deadlines = batch.rows("INSERT OR IGNORE INTO deadlines VALUES (?, ?, ?, NULL)")

    def apply(self, record: Record) -> None:
        """Mark a message, or note or settle its deadline."""
        kind = record["kind"]
        if kind == "message":
            self._apply_message(record)
            return
        self._batch.flush()
        seq = record["message"]
        if kind == "message_retracted":
            take_back(self._batch.db, seq, record["ts"])
        elif record["unread_by"]:
            sql = "UPDATE deadlines SET reported = ? WHERE seq = ?"
            self._batch.db.execute(sql, (record["ts"], seq))
        else:
            self._batch.db.execute("DELETE FROM deadlines WHERE seq = ?", (seq,))

    def _apply_message(self, record: Record) -> None:
        if "ack_by" in record:
            ms = records.unix_ms(record["ack_by"])
            self._deadlines.append((record["seq"], ms, record["from"]))
        if "supersedes" in record:
            self._batch.flush()
            self._batch.db.execute(
                "UPDATE messages SET json = json_set(json, '$.superseded_by', ?) WHERE id = ?",
                (record["id"], record["supersedes"]),
            )


def take_back(db: sqlite3.Connection, seq: int, ts: str) -> None:
    """Take a message out of all mailboxes, and mark it. Nobody has it unread any more."""
    row = db.execute("SELECT json FROM messages WHERE seq = ?", (seq,)).fetchone()
    if row is None:
        return
    message = json.loads(row[0])
    lasting, now_ms = int("expires" not in message), records.unix_ms(ts)
    names = [*recipients(message), *reached(db, seq)]
    for name in names:
        if name != EVERYBODY:
            settle(db, Mail(name, lasting, now_ms, floor(db, name)), seq)
    db.execute("DELETE FROM deadlines WHERE seq = ? AND reported IS NULL", (seq,))
    for name in names:
        for lasting in (0, 1):
            db.execute(
                "DELETE FROM inbox WHERE recipient = ? AND lasting = ? AND seq = ?",
                (name, lasting, seq),
            )
        db.execute(
            "DELETE FROM ranked WHERE recipient = ? AND priority = ? AND seq = ?",
            (name, message["priority"], seq),
        )
        db.execute(
            "DELETE FROM expiring WHERE recipient = ? AND level = 0 AND place = ?", (name, seq)
        )
    db.execute(
        "UPDATE messages SET json = json_set(json, '$.retracted', ?) WHERE seq = ?",
        (ts, seq),
    )


def due(db: sqlite3.Connection, now_ms: int, limit: int) -> list[Deadline]:
    """Return the deadlines that have passed and of which nobody was told, oldest first."""
    rows = db.execute(
        "SELECT seq, ack_by_ms, reported FROM deadlines WHERE reported IS NULL AND ack_by_ms <= ?"
        " ORDER BY ack_by_ms LIMIT ?",
        (now_ms, limit),
    )
    return [Deadline(*row) for row in rows]


def passed(db: sqlite3.Connection, now_ms: int, sender: str | None) -> Iterator[Deadline]:
    """Yield the deadlines that have passed, of the newest messages first."""
    where, values = ("AND sender = ?", (sender,)) if sender else ("", ())
    rows = db.execute(
        f"SELECT seq, ack_by_ms, reported FROM deadlines WHERE ack_by_ms <= ? {where}"
        " ORDER BY seq DESC",
        (now_ms, *values),
    )
    for row in rows:
        yield Deadline(*row)


def reported(db: sqlite3.Connection, seq: int) -> str | None:
    """Return when the sender of a message was told that it is overdue."""
    row = db.execute("SELECT reported FROM deadlines WHERE seq = ?", (seq,)).fetchone()
    return None if row is None else row[0]
