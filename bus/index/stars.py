"""Stars: which reader has starred which messages."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from bus.index import tenures
from bus.index.projection import Batch
from bus.index.walks import Rows, Walk
from bus.model.records import Record

SCHEMA = """
CREATE TABLE stars (
    reader TEXT NOT NULL,
    seq INTEGER NOT NULL,                 -- of the message
    auth TEXT NOT NULL,                   -- the credential that has set it
    PRIMARY KEY (reader, seq)
) WITHOUT ROWID;
CREATE INDEX stars_by_auth ON stars (auth);
-- Each star names the record before it of the same reader. A row stays when the stars of a reader
-- end: else the first star of who has the name next would name the same record as the first of all.
CREATE TABLE last_stars (
    reader TEXT PRIMARY KEY,
    record INTEGER NOT NULL
) WITHOUT ROWID;
"""
_OF_NAME = "(reader = ?1 OR (reader > ?1 || '/' AND reader < ?1 || '0'))"


class Stars:
    """Applies stars, and ends them with the credential whose they are."""

    kinds: tuple[str, ...] = ("message_starred", "credential")
    schema = SCHEMA

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def apply(self, record: Record) -> None:
        """Set a star or take it away, or end those of a name that begins anew."""
        if record["kind"] == "credential":
            self._credential(record)
            return
        db, reader = self._batch.db, record["reader"]
        db.execute("INSERT OR REPLACE INTO last_stars VALUES (?, ?)", (reader, record["seq"]))
        machine = reader.partition("/")[0]
        if record["auth"] != machine and self._batch.names.is_machine(machine):
            return  # it was on its way while the machine got its credential
        if record["on"]:
            row = (reader, record["message"], record["auth"])
            db.execute("INSERT OR IGNORE INTO stars VALUES (?, ?, ?)", row)
        else:
            sql = "DELETE FROM stars WHERE reader = ? AND seq = ?"
            db.execute(sql, (reader, record["message"]))

    def _credential(self, record: Record) -> None:
        db, name = self._batch.db, record["name"]
        if tenures.has_new_hands(record):
            db.execute(f"DELETE FROM stars WHERE {_OF_NAME}", (name,))
        if tenures.is_taken(record):
            db.execute("DELETE FROM stars WHERE auth = ?", (name,))


def of_reader(db: sqlite3.Connection, reader: str, down: bool) -> Walk:
    """Return the messages that a reader has starred."""
    return Rows(db, "SELECT seq FROM stars WHERE reader = ?", (reader,), "seq", down)


def starred(db: sqlite3.Connection, reader: str, seqs: Sequence[int]) -> set[int]:
    """Return those of these messages that a reader has starred."""
    rows = db.execute(
        "SELECT value FROM json_each(?1) CROSS JOIN stars ON reader = ?2 AND seq = value",
        (json.dumps(list(seqs)), reader),
    )
    return {seq for (seq,) in rows}


def last(db: sqlite3.Connection, reader: str) -> int:
    """Return the seq of the last record about the stars of a reader; 0 if there is none."""
    row = db.execute("SELECT record FROM last_stars WHERE reader = ?", (reader,)).fetchone()
    return 0 if row is None else int(row[0])


def count_of(db: sqlite3.Connection, auth: str) -> int:
    """Return how many stars a credential has set."""
    row = db.execute("SELECT count(*) FROM stars WHERE auth = ?", (auth,)).fetchone()
    return int(row[0])
