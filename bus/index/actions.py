"""Actions: what briefs ask for, and what was changed of it since.

An action is a part of the message of its brief, by its place in that; its number is its place in
the log. Each change names the record before it (`prior`), and of two with the same one only the
first is in the log. A change is a message that tells somebody (`action`), or a record
`action_changed` (message, at, prior, from, auth, set, note?).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator
from typing import NamedTuple

import orjson

from bus.index import tenures
from bus.index.projection import Batch
from bus.model.action_mark import UNDONE
from bus.model.due import due_ms
from bus.model.records import HUB, Fields, Record

SCHEMA = """
CREATE TABLE actions (
    number INTEGER PRIMARY KEY,
    message INTEGER NOT NULL,             -- the seq of its brief
    at INTEGER NOT NULL,                  -- which one of that
    thread TEXT NOT NULL,
    title TEXT NOT NULL,
    status TEXT NOT NULL,
    is_open INTEGER NOT NULL,
    priority TEXT NOT NULL,
    assignee TEXT,
    assigned TEXT,                        -- since when
    auth TEXT NOT NULL,                   -- the credential that asks for it
    titled_by TEXT,                       -- who changed its title last
    due TEXT,
    due_ms INTEGER,
    waiting_on TEXT,
    made TEXT NOT NULL,
    changed TEXT NOT NULL,
    last INTEGER NOT NULL                 -- the record that changed it last, or made it
);
CREATE UNIQUE INDEX actions_by_message ON actions (message, at);
CREATE INDEX actions_by_assignee ON actions (assignee, is_open, number);
CREATE INDEX actions_by_thread ON actions (thread, number);
CREATE INDEX actions_open ON actions (number) WHERE is_open = 1;
CREATE INDEX actions_open_of ON actions (auth, number) WHERE is_open = 1;
CREATE INDEX actions_due ON actions (due_ms) WHERE is_open = 1 AND due_ms IS NOT NULL;
CREATE INDEX actions_due_of ON actions (assignee, due_ms)
    WHERE is_open = 1 AND due_ms IS NOT NULL;
CREATE INDEX actions_changed ON actions (changed) WHERE is_open = 1;
CREATE TABLE action_changes (
    number INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    json TEXT NOT NULL,
    PRIMARY KEY (number, seq)
) WITHOUT ROWID;
"""
_COLUMNS = (
    "number, message, at, thread, title, status, priority, assignee, assigned, due, due_ms,"
    " waiting_on, made, changed, last, titled_by"
)
_SETTABLE = ("title", "status", "priority", "assignee", "due", "waiting_on")


class Row(NamedTuple):
    """An action as the table has it."""

    number: int
    message: int
    at: int
    thread: str
    title: str
    status: str
    priority: str
    assignee: str | None
    assigned: str | None
    due: str | None
    due_ms: int | None
    waiting_on: str | None
    made: str
    changed: str
    last: int
    titled_by: str | None

    @property
    def is_open(self) -> bool:
        """Whether there is still something to do."""
        return self.status in UNDONE


class Actions:
    """Applies briefs that ask for something, and changes."""

    kinds: tuple[str, ...] = ("message", "action_changed", "message_retracted", "credential")
    schema = SCHEMA

    def __init__(self, batch: Batch) -> None:
        self._db = batch.db

    def apply(self, record: Record) -> None:
        """Make the actions of a brief, or change one."""
        kind = record["kind"]
        if kind == "message":
            if "brief" in record:
                self._make(record)
            if "action" in record:
                self._change_told(record, record["action"])
        elif kind == "action_changed":
            self._change_told(record, record)
        elif kind == "message_retracted":
            rows = self._rows("message = ? AND is_open = 1", record["message"])
            self._change_all(rows, record, {"status": "dropped"})
        elif tenures.is_taken(record):
            name = record["name"]
            of_name = "is_open = 1 AND (assignee = ? OR (assignee > ? AND assignee < ?))"
            rows = self._rows(of_name, name, f"{name}/", f"{name}0")
            self._change_all(rows, record, {"assignee": None})

    def _rows(self, where: str, *values: str | int) -> list[Row]:
        return list(_found(self._db, f"SELECT {_COLUMNS} FROM actions WHERE {where}", values))

    def _make(self, record: Record) -> None:
        thread = record.get("thread") or record["id"]
        author = record.get("auth", record["from"])
        for at, asked in enumerate(record["brief"].get("actions", ())):
            due, assignee = asked.get("due"), asked.get("assignee")
            self._db.execute(
                "INSERT INTO actions (message, at, thread, title, status, is_open, priority,"
                " assignee, assigned, due, due_ms, made, changed, last, auth)"
                " VALUES (?, ?, ?, ?, 'open', 1, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(record["seq"], at, thread, asked["title"], asked["priority"], assignee),
                    record["ts"] if assignee is not None else None,
                    *(due, None if due is None else due_ms(due)),
                    *(record["ts"], record["ts"], record["seq"], author),
                ),
            )

    def _change_told(self, record: Record, mark: Fields) -> None:
        """Apply a change, unless the action has changed since it was looked at."""
        for row in self._rows("message = ? AND at = ?", mark["message"], mark["at"]):
            if row.last == record["prior"]:
                note = {"note": mark["note"]} if "note" in mark else {}
                self._change(row, record, record["from"], mark["set"], note)

    def _change_all(self, rows: list[Row], record: Record, changes: Fields) -> None:
        for row in rows:
            self._change(row, record, HUB, changes, {})

    def _change(self, row: Row, record: Record, who: str, changes: Fields, note: Fields) -> None:
        values = {name: changes[name] for name in _SETTABLE if name in changes}
        if "due" in values:
            values["due_ms"] = None if values["due"] is None else due_ms(values["due"])
        if "status" in values:
            values["is_open"] = int(values["status"] in UNDONE)
        if "assignee" in values:
            values["assigned"] = None if values["assignee"] is None else record["ts"]
        if "title" in values:
            values["titled_by"] = who
        values |= {"changed": record["ts"], "last": record["seq"]}
        sets = ", ".join(f"{name} = ?" for name in values)
        self._db.execute(
            f"UPDATE actions SET {sets} WHERE number = ?", (*values.values(), row.number)
        )
        fact = {"who": who, "time": record["ts"], "set": changes, **note}
        self._db.execute(
            "INSERT INTO action_changes VALUES (?, ?, ?)",
            (row.number, record["seq"], orjson.dumps(fact).decode()),
        )


def _found(db: sqlite3.Connection, sql: str, values: Collection[str | int | None]) -> Iterator[Row]:
    for row in db.execute(sql, tuple(values)):
        yield Row(*row)


def one(db: sqlite3.Connection, number: int) -> Row | None:
    """Return an action by its number."""
    return next(_found(db, f"SELECT {_COLUMNS} FROM actions WHERE number = ?", (number,)), None)


def of_message(db: sqlite3.Connection, seq: int) -> list[Row]:
    """Return the actions of a brief, in order."""
    sql = f"SELECT {_COLUMNS} FROM actions WHERE message = ? ORDER BY at"
    return list(_found(db, sql, (seq,)))


def history(db: sqlite3.Connection, number: int, limit: int) -> list[Fields]:
    """Return what was changed of an action, the newest `limit` in order."""
    rows = db.execute(
        "SELECT json FROM action_changes WHERE number = ? ORDER BY seq DESC LIMIT ?",
        (number, limit),
    )
    return [json.loads(text) for (text,) in rows][::-1]


def counts(db: sqlite3.Connection, number: int, seq: int) -> bool:
    """Return whether a record has changed an action."""
    sql = "SELECT 1 FROM action_changes WHERE number = ? AND seq = ?"
    return db.execute(sql, (number, seq)).fetchone() is not None


def due_count(db: sqlite3.Connection, assignees: Collection[str], by_ms: int, limit: int) -> int:
    """Return how many open actions of these are due by a time, counted up to a limit."""
    marks = ", ".join("?" * len(assignees))
    rows = db.execute(
        "SELECT count(*) FROM (SELECT 1 FROM actions INDEXED BY actions_due_of"
        f" WHERE assignee IN ({marks}) AND is_open = 1 AND due_ms IS NOT NULL AND due_ms <= ?"
        " LIMIT ?)",
        (*assignees, by_ms, limit),
    )
    return int(rows.fetchone()[0])


class Wanted(NamedTuple):
    """Which actions are asked for; None: any."""

    statuses: Collection[str] = UNDONE
    assignees: Collection[str] | None = None
    unassigned: bool = False
    priority: str | None = None
    due_by_ms: int | None = None
    unchanged_since: str | None = None
    thread: str | None = None


def newest(db: sqlite3.Connection, wanted: Wanted, before: int) -> Iterator[Row]:
    """Yield actions below a number, the newest first."""
    where = ["number < ?"]
    values: list[str | int | None] = [before]
    if set(wanted.statuses) <= set(UNDONE):
        where.append("is_open = 1")
    where.append(f"status IN ({', '.join('?' * len(wanted.statuses))})")
    values += wanted.statuses
    if wanted.assignees is not None:
        where.append(f"assignee IN ({', '.join('?' * len(wanted.assignees))})")
        values += wanted.assignees
    if wanted.unassigned:
        where.append("assignee IS NULL")
    for column, sign, value in (
        ("priority", "=", wanted.priority),
        ("due_ms", "<=", wanted.due_by_ms),
        ("changed", "<=", wanted.unchanged_since),
        ("thread", "=", wanted.thread),
    ):
        if value is not None:
            where.append(f"{column} {sign} ?")
            values.append(value)
    sql = f"SELECT {_COLUMNS} FROM actions WHERE {' AND '.join(where)} ORDER BY number DESC"
    return _found(db, sql, values)
