"""Signatures: the line below the briefs of each name."""

from __future__ import annotations

import sqlite3

from bus.index import tenures
from bus.index.projection import Batch
from bus.model.records import Record

SCHEMA = """
CREATE TABLE signatures (
    name TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,
    auth TEXT NOT NULL,                   -- the credential that set it
    text TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX signatures_by_auth ON signatures (auth);
"""


class Signatures:
    """Applies what names sign with."""

    kinds: tuple[str, ...] = ("signature_set",)
    schema = SCHEMA

    def __init__(self, batch: Batch) -> None:
        self._db = batch.db

    def apply(self, record: Record) -> None:
        """Give a name another signature, or none."""
        name, text = record["name"], record["signature"]
        self._db.execute("DELETE FROM signatures WHERE name = ?", (name,))
        if text:
            row = (name, record["seq"], record["auth"], text)
            self._db.execute("INSERT INTO signatures VALUES (?, ?, ?, ?)", row)


def of(db: sqlite3.Connection, name: str) -> str:
    """Return what a name signs with, or nothing. What was set before its machine's name was given
    to somebody is not theirs.
    """
    row = db.execute("SELECT seq, text FROM signatures WHERE name = ?", (name,)).fetchone()
    if row is None or tenures.owned_since(db, name.partition("/")[0]) > row[0]:
        return ""
    return str(row[1])


def count_of(db: sqlite3.Connection, auth: str) -> int:
    """Return how many names of a credential sign."""
    row = db.execute("SELECT count(*) FROM signatures WHERE auth = ?", (auth,)).fetchone()
    return int(row[0])
