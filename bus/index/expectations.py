"""Expectations: who is to be heard how often, who is silent, and how many were told of that.

The record `expectation_set` has expectation (its id), owner, name, every_s, tell, trust, at; one of
the same credential, owner and name changes the one that is there. `expectation_ended` has
expectation; `expectation_declined` has expectation and names, who are told no more. `silence_begun`
has expectation, prior (the record that set it, or that ended the silence before), heard (Unix
milliseconds, 0: never), silent_s, told, others (how many of those are not the owner's own), of (the
credential that expects) and at; `silence_over` has the same without silent_s, its prior is the
record that began the silence. So of each silence there is one beginning and one end.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from bus.index import agents, names, tenures
from bus.index.projection import Batch
from bus.model import records
from bus.model.records import Record

HOUR_MS = 3_600_000
SCHEMA = """
CREATE TABLE expectations (
    id TEXT PRIMARY KEY,
    auth TEXT NOT NULL,                   -- the credential that set it
    owner TEXT NOT NULL,                  -- the name that it was set for
    name TEXT NOT NULL,                   -- who is to be heard
    every_s INTEGER NOT NULL,
    tell TEXT NOT NULL,                   -- JSON
    trust TEXT NOT NULL,
    created TEXT NOT NULL,
    set_seq INTEGER NOT NULL,             -- of the record that set or changed it last
    last INTEGER NOT NULL,                -- of the record that set it, or changed its state
    since TEXT NOT NULL,                  -- of that record
    silent INTEGER NOT NULL,              -- 1: its silence was told
    heard_ms INTEGER NOT NULL             -- when it was heard last, as of that record; 0: never
) WITHOUT ROWID;
CREATE UNIQUE INDEX expectations_by_owner ON expectations (auth, owner, name);
CREATE TABLE silences (                   -- who was told of them lately
    seq INTEGER PRIMARY KEY,
    auth TEXT NOT NULL,
    ms INTEGER NOT NULL,
    told INTEGER NOT NULL                 -- names and roles that are not the owner's own
);
CREATE INDEX silences_by_auth ON silences (auth, ms);
CREATE INDEX silences_by_ms ON silences (ms);
"""
_COLUMNS = (
    "id, auth, owner, name, every_s, tell, trust, created, set_seq, last, since, silent, heard_ms"
)


class Row(NamedTuple):
    """An expectation as the table has it."""

    id: str
    auth: str
    owner: str
    name: str
    every_s: int
    written: str  # who is told, as JSON
    trust: str
    created: str
    set_seq: int
    last: int
    since: str
    silent: int
    heard_ms: int

    @property
    def tell(self) -> list[str]:
        """Who is told."""
        found: list[str] = json.loads(self.written)
        return found


class Expectations:
    """Applies expectations, and silences."""

    kinds: tuple[str, ...] = (
        *("expectation_set", "expectation_ended", "expectation_declined"),
        *("silence_begun", "silence_over", "credential"),
    )
    schema = SCHEMA

    def __init__(self, batch: Batch) -> None:
        self._db = batch.db

    def apply(self, record: Record) -> None:
        """Set, change or end an expectation, or note a silence."""
        kind = record["kind"]
        if kind == "expectation_set":
            self._set(record)
        elif kind == "expectation_ended":
            self._db.execute("DELETE FROM expectations WHERE id = ?", (record["expectation"],))
        elif kind == "expectation_declined":
            self._decline(record)
        elif kind != "credential":
            self._note(record, int(kind == "silence_begun"))
        elif tenures.has_new_hands(record):
            self._db.execute("DELETE FROM expectations WHERE auth = ?", (record["name"],))

    def _set(self, record: Record) -> None:
        facts = [record[name] for name in ("expectation", "auth", "owner", "name", "every_s")]
        seq, ts, told = record["seq"], record["at"], json.dumps(record["tell"])
        self._db.execute(
            f"INSERT INTO expectations ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0)"
            " ON CONFLICT (auth, owner, name) DO UPDATE SET every_s = excluded.every_s,"
            " tell = excluded.tell, trust = excluded.trust, set_seq = excluded.set_seq",
            (*facts, told, record["trust"], ts, seq, seq, ts),
        )

    def _decline(self, record: Record) -> None:
        row = one(self._db, record["expectation"])
        if row is None:
            return
        left = [name for name in row.tell if name not in record["names"]]
        if left:
            self._db.execute(
                "UPDATE expectations SET tell = ? WHERE id = ?", (json.dumps(left), row.id)
            )
        else:
            self._db.execute("DELETE FROM expectations WHERE id = ?", (row.id,))

    def _note(self, record: Record, silent: int) -> None:
        self._db.execute(
            "UPDATE expectations SET silent = ?, heard_ms = ?, since = ?, last = ?"
            " WHERE id = ? AND last = ?",
            (
                *(silent, record["heard"], record["at"], record["seq"]),
                *(record["expectation"], record["prior"]),
            ),
        )
        ms = records.unix_ms(record["at"])
        self._db.execute("DELETE FROM silences WHERE ms < ?", (ms - HOUR_MS,))
        row = (record["seq"], record["of"], ms, record["others"])
        self._db.execute("INSERT INTO silences VALUES (?, ?, ?, ?)", row)


def one(db: sqlite3.Connection, id: str) -> Row | None:
    """Return one expectation."""
    return next(_rows(db, "id = ?", (id,)), None)


def of_owner(db: sqlite3.Connection, auth: str, owner: str, name: str) -> Row | None:
    """Return the expectation that somebody has set for a name."""
    return next(_rows(db, "auth = ? AND owner = ? AND name = ?", (auth, owner, name)), None)


def after(db: sqlite3.Connection, id: str) -> Iterator[Row]:
    """Yield the expectations behind one, in the order of their ids."""
    return _rows(db, "id > ? ORDER BY id", (id,))


def count_of(db: sqlite3.Connection, auth: str) -> int:
    """Return how many expectations a credential has set."""
    sql = "SELECT count(*) FROM expectations WHERE auth = ?"
    return int(db.execute(sql, (auth,)).fetchone()[0])


def told_of(db: sqlite3.Connection, auth: str, since_ms: int) -> int:
    """Return how many times others were told for a credential since a time of the last hour."""
    sql = "SELECT coalesce(sum(told), 0) FROM silences WHERE auth = ? AND ms > ?"
    return int(db.execute(sql, (auth, since_ms)).fetchone()[0])


def acted_ms(db: sqlite3.Connection, name: str) -> int:
    """Return when a name has last done something that is in the log (Unix milliseconds; 0: never).

    What a machine's sessions do counts for it too.
    """
    by_name = names.last_act if "/" in name else names.last_act_of_machine
    act, row = by_name(db, name), agents.one(db, name)
    return max(0 if act is None else records.unix_ms(act), 0 if row is None else row.since_ms)


def _rows(db: sqlite3.Connection, where: str, values: tuple[str, ...]) -> Iterator[Row]:
    for row in db.execute(f"SELECT {_COLUMNS} FROM expectations WHERE {where}", values):
        yield Row(*row)
