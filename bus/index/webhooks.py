"""Webhooks: which there are, how far each has come, and what was given up.

The record `webhook_set` has webhook (its id), name, url; `webhook_removed` has webhook;
`webhook_progress` has webhook and either replay (true: all that was given up is to be sent again),
or cursor, state, failures, next_ms, answers, dead? (seqs given up), done? (seqs that were sent
again).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import orjson

from bus.index import messages, tenures, walks
from bus.index.mailboxes import of_reader
from bus.index.projection import Batch
from bus.index.ranges import LAST
from bus.index.unread import mailbox
from bus.index.walks import Either
from bus.model import records
from bus.model.groups import is_group
from bus.model.records import Record
from bus.model.webhooks import ACTIVE, GONE, Progress

SCHEMA = """
CREATE TABLE webhooks (
    id TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,                 -- of the record that set it
    name TEXT NOT NULL,                   -- whose mail is sent
    url TEXT NOT NULL,
    auth TEXT NOT NULL,                   -- the credential that added it
    created TEXT NOT NULL,
    cursor INTEGER NOT NULL,
    state TEXT NOT NULL,
    failures INTEGER NOT NULL,
    next_ms INTEGER NOT NULL,
    answers TEXT NOT NULL                 -- JSON
) WITHOUT ROWID;
CREATE INDEX webhooks_by_name ON webhooks (name);
CREATE TABLE dead_letters (
    webhook TEXT NOT NULL,
    seq INTEGER NOT NULL,
    replay_ms INTEGER NOT NULL,           -- when it was asked for again; 0: it was not
    PRIMARY KEY (webhook, seq)
) WITHOUT ROWID;
"""
_COLUMNS = (
    "id, name, url, auth, created, cursor, state, failures, next_ms, answers,"
    " (SELECT count(*) FROM dead_letters WHERE webhook = id)"
)


class Row(NamedTuple):
    """A webhook; `auth` is the credential that added it."""

    id: str
    name: str
    url: str
    auth: str
    created: str
    progress: Progress
    dead_letters: int


class Mail(NamedTuple):
    """A message to be sent, as JSON; `replay_ms` is when it was asked for again, 0: it was not."""

    seq: int
    text: str
    replay_ms: int


class Webhooks:
    """Applies webhooks."""

    kinds: tuple[str, ...] = ("webhook_set", "webhook_removed", "webhook_progress", "credential")
    schema = SCHEMA

    def __init__(self, batch: Batch) -> None:
        self._db = batch.db

    def apply(self, record: Record) -> None:
        """Add or remove a webhook, or note how far it has come."""
        kind = record["kind"]
        if kind == "webhook_set":
            facts = [record[name] for name in ("webhook", "seq", "name", "url", "auth", "ts")]
            self._db.execute(
                "INSERT OR REPLACE INTO webhooks VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, 0, '[]')",
                (*facts, record["seq"], ACTIVE),
            )
        elif kind == "webhook_removed":
            self._remove("id = ?", record["webhook"])
        elif kind == "credential":
            self._end(record)
        elif "replay" in record:
            self._replay(record)
        else:
            self._progress(record)

    def _remove(self, where: str, *values: str) -> None:
        self._db.execute(
            f"DELETE FROM dead_letters WHERE webhook IN (SELECT id FROM webhooks WHERE {where})",
            values,
        )
        self._db.execute(f"DELETE FROM webhooks WHERE {where}", values)

    def _end(self, record: Record) -> None:
        """A credential that is revoked takes along its webhooks, and those of its names."""
        name = record["name"]
        if tenures.is_taken(record):
            of_name = "auth = ?1 OR name = ?1 OR (name > ?1 || '/' AND name < ?1 || '0')"
            self._remove(of_name, name)
        elif tenures.is_given(record):
            self._remove("auth = ?", name)  # its first holder was taken out of the file by hand

    def _replay(self, record: Record) -> None:
        self._db.execute(
            "UPDATE dead_letters SET replay_ms = ? WHERE webhook = ?",
            (records.unix_ms(record["ts"]), record["webhook"]),
        )
        self._db.execute(
            "UPDATE webhooks SET state = ?, failures = 0, next_ms = 0 WHERE id = ?",
            (ACTIVE, record["webhook"]),
        )

    def _progress(self, record: Record) -> None:
        id = record["webhook"]
        # Forward only: a worker that led before may be late with what it has to say.
        changed = self._db.execute(
            "UPDATE webhooks SET cursor = max(cursor, ?), state = ?, failures = ?, next_ms = ?,"
            " answers = ? WHERE id = ?",
            (
                *(record[name] for name in ("cursor", "state", "failures", "next_ms")),
                orjson.dumps(record["answers"]).decode(),
                id,
            ),
        )
        if not changed.rowcount:
            return  # it was removed meanwhile
        self._db.executemany(
            "INSERT OR REPLACE INTO dead_letters VALUES (?, ?, 0)",
            [(id, seq) for seq in record.get("dead", ())],
        )
        self._db.executemany(
            "DELETE FROM dead_letters WHERE webhook = ? AND seq = ?",
            [(id, seq) for seq in record.get("done", ())],
        )


def one(db: sqlite3.Connection, id: str) -> Row | None:
    """Return one webhook."""
    return next(_rows(db, "id = ?", (id,)), None)


def all_of(db: sqlite3.Connection) -> list[Row]:
    """Return all webhooks in the order in which they were added."""
    return list(_rows(db, "1", ()))


def has_one(db: sqlite3.Connection, name: str) -> bool:
    """Return whether a name's mail is sent to an address."""
    sql = "SELECT 1 FROM webhooks WHERE name = ? AND state != ? LIMIT 1"
    return db.execute(sql, (name, GONE)).fetchone() is not None


def due(db: sqlite3.Connection, now_ms: int) -> list[Row]:
    """Return those that may send something now."""
    return list(_rows(db, "state != ? AND next_ms <= ?", (GONE, now_ms)))


def count_of(db: sqlite3.Connection, auth: str) -> int:
    """Return how many webhooks a credential has added."""
    row: tuple[int] = db.execute("SELECT count(*) FROM webhooks WHERE auth = ?", (auth,)).fetchone()
    return row[0]


def mail(
    db: sqlite3.Connection, webhook: Row, passed: Sequence[int], now_ms: int, limit: int
) -> list[Mail]:
    """Return what a webhook is to send next: what was asked for again, then what came since its
    cursor. `passed` are seqs that are not asked for again any more.
    """
    asked = db.execute(
        "SELECT seq, json, replay_ms FROM dead_letters JOIN messages USING (seq)"
        " WHERE webhook = ? AND replay_ms > 0 AND seq NOT IN (SELECT value FROM json_each(?))"
        " ORDER BY seq LIMIT ?",
        (webhook.id, json.dumps(list(passed)), limit),
    )
    if found := [Mail(*row) for row in asked]:
        return found
    name = webhook.name
    names = (name,) if is_group(name) else of_reader(db, name).names
    walk = Either([mailbox(db, one, now_ms, down=False) for one in names])
    seqs = walks.through(walk, webhook.progress.cursor, LAST, down=False)
    rows, _ = messages.cut(messages.fetch(db, seqs, limit), limit)
    return [Mail(seq, text, 0) for seq, text in rows]


def _rows(db: sqlite3.Connection, where: str, values: Iterable[object]) -> Iterator[Row]:
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM webhooks WHERE {where} ORDER BY seq", tuple(values)
    ).fetchall()
    for id, name, url, auth, created, cursor, state, failures, next_ms, answers, dead in rows:
        progress = Progress(cursor, state, failures, next_ms, tuple(json.loads(answers)))
        yield Row(id, name, url, auth, created, progress, dead)
