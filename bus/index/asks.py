"""Asks: who is to answer a question, what was said to it, and how far it is.

What is said to an ask is a chain: each message of it names the record before it (`prior`), and of
two with the same one only the first is in the log. So whoever looked at an ask and says something
to it says it to the ask that it saw, or nothing is recorded.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator
from typing import NamedTuple

import orjson

from bus.index import tenures
from bus.index.projection import Batch
from bus.index.topics import reached
from bus.index.tracking import take_back
from bus.model import records
from bus.model.asked import ANSWER, DECLINE, DEFAULT, EXPIRE, WITHDRAW
from bus.model.filter import recipients
from bus.model.groups import ROLE_PREFIX, is_topic
from bus.model.records import Fields, Record

SCHEMA = """
CREATE TABLE asks (
    seq INTEGER PRIMARY KEY,              -- of the message that asks
    id TEXT NOT NULL,
    sender TEXT NOT NULL,
    auth TEXT NOT NULL,
    need INTEGER NOT NULL,
    by_ms INTEGER,                        -- Unix time; NULL: open until it is answered
    has_default INTEGER NOT NULL,
    state TEXT NOT NULL,
    closed TEXT,                          -- since when it is open no longer
    last INTEGER NOT NULL                 -- the record that said the last word to it, or that asked
);
CREATE UNIQUE INDEX asks_by_id ON asks (id);
CREATE INDEX asks_by_sender ON asks (sender, seq);
CREATE INDEX asks_ahead ON asks (by_ms) WHERE state = 'open' AND by_ms IS NOT NULL;
CREATE INDEX asks_open_of ON asks (auth) WHERE state = 'open';
CREATE TABLE owed (                       -- who is to answer: names, roles, and members of topics
    seq INTEGER NOT NULL,
    recipient TEXT NOT NULL,
    open INTEGER NOT NULL,                -- 0: it has answered, or need not any more
    PRIMARY KEY (seq, recipient)
) WITHOUT ROWID;
CREATE INDEX owed_open ON owed (recipient, seq) WHERE open = 1;
CREATE TABLE said (                       -- what was said to an ask
    seq INTEGER PRIMARY KEY,
    ask INTEGER NOT NULL,
    what TEXT NOT NULL,
    json TEXT NOT NULL
);
CREATE INDEX said_to ON said (ask, seq);
"""
_COLUMNS = "asks.seq, id, sender, auth, need, by_ms, has_default, state, closed, last"


class Row(NamedTuple):
    """An ask as the tables have it."""

    seq: int
    id: str
    sender: str
    auth: str
    need: int
    by_ms: int | None
    has_default: int
    state: str
    closed: str | None
    last: int


class Asks:
    """Applies questions, and what is said to them."""

    kinds: tuple[str, ...] = ("message", "message_retracted", "credential")
    schema = SCHEMA

    def __init__(self, batch: Batch) -> None:
        self._batch, self._db = batch, batch.db

    def apply(self, record: Record) -> None:
        """Open an ask, note what is said to one, or close it."""
        kind = record["kind"]
        if kind == "message":
            if "ask" in record:
                self._open(record)
            elif "answer" in record:
                self._say(record)
        elif kind == "message_retracted":
            self._close(record["message"], "withdrawn", record)
        elif tenures.is_taken(record):
            rows = self._db.execute(
                "SELECT seq FROM asks WHERE auth = ? AND state = 'open'", (record["name"],)
            ).fetchall()
            for (seq,) in rows:
                self._close(seq, "withdrawn", record)

    def _open(self, record: Record) -> None:
        self._batch.flush()
        seq, terms = record["seq"], record["ask"]
        by_ms = records.unix_ms(terms["by"]) if "by" in terms else None
        row = (seq, record["id"], record["from"], record["auth"], terms["need"], by_ms)
        self._db.execute(
            "INSERT OR IGNORE INTO asks VALUES (?, ?, ?, ?, ?, ?, ?, 'open', NULL, ?)",
            (*row, int("default" in terms), seq),
        )
        names = {name for name in recipients(record) if not is_topic(name)}
        names.update(reached(self._db, seq))
        self._db.executemany(
            "INSERT OR IGNORE INTO owed VALUES (?, ?, 1)", ((seq, name) for name in sorted(names))
        )

    def _say(self, record: Record) -> None:
        """Take in what is said to an ask. What was said to one that has changed since counts for
        nothing: it crossed with a retraction, say.
        """
        said = record["answer"]
        ask = by_id(self._db, said["ask"])
        if ask is None or ask.state != "open" or ask.last != record["prior"]:
            return
        self._batch.flush()
        what = said["what"]
        fact = {"name": record["from"], "time": record["ts"], "id": record["id"], **said}
        self._db.execute(
            "INSERT INTO said VALUES (?, ?, ?, ?)",
            (record["seq"], ask.seq, what, orjson.dumps(fact).decode()),
        )
        self._db.executemany(
            "UPDATE owed SET open = 0 WHERE seq = ? AND recipient = ?",
            ((ask.seq, name) for name in said.get("for", ())),
        )
        self._db.execute("UPDATE asks SET last = ? WHERE seq = ?", (record["seq"], ask.seq))
        state = self._state_after(ask, what)
        if state is not None:
            self._close(ask.seq, state, record)
        if what == WITHDRAW:
            take_back(self._db, ask.seq, record["ts"])

    def _state_after(self, ask: Row, what: str) -> str | None:
        """Return the state that a word closes an ask with; None: it stays open."""
        if what not in (ANSWER, DECLINE):
            return {WITHDRAW: "withdrawn", DEFAULT: "answered", EXPIRE: "expired"}[what]
        answers = count_of(self._db, ask.seq, ANSWER)
        if answers >= ask.need:
            return "answered"
        return None if answers + open_count(self._db, ask.seq) >= ask.need else "declined"

    def _close(self, seq: int, state: str, record: Record) -> None:
        done = self._db.execute(
            "UPDATE asks SET state = ?, closed = ?, last = ? WHERE seq = ? AND state = 'open'",
            (state, record["ts"], record["seq"], seq),
        )
        if done.rowcount == 0:
            return
        self._batch.flush()
        self._db.execute("UPDATE owed SET open = 0 WHERE seq = ?", (seq,))
        self._db.execute(
            "UPDATE messages SET json = json_set(json, '$.ask.state', ?) WHERE seq = ?",
            (state, seq),
        )


def one(db: sqlite3.Connection, seq: int) -> Row | None:
    """Return the ask that a message asks."""
    row = db.execute(f"SELECT {_COLUMNS} FROM asks WHERE seq = ?", (seq,)).fetchone()
    return None if row is None else Row(*row)


def by_id(db: sqlite3.Connection, id: str) -> Row | None:
    """Return the same by the message's id."""
    row = db.execute(f"SELECT {_COLUMNS} FROM asks WHERE id = ?", (id,)).fetchone()
    return None if row is None else Row(*row)


def asked_of(db: sqlite3.Connection, seq: int, names: Collection[str]) -> dict[str, bool]:
    """Return those of these names that an ask was put to, and whether each has yet to answer."""
    marks = ", ".join("?" * len(names))
    rows = db.execute(
        f"SELECT recipient, open FROM owed WHERE seq = ? AND recipient IN ({marks})"
        " ORDER BY recipient",
        (seq, *names),
    )
    return {name: bool(is_open) for name, is_open in rows}


def said_to(db: sqlite3.Connection, seq: int, what: str, limit: int) -> list[Fields]:
    """Return what was said to an ask in one way, in order."""
    rows = db.execute(
        "SELECT json FROM said WHERE ask = ? AND what = ? ORDER BY seq LIMIT ?", (seq, what, limit)
    )
    return [json.loads(text) for (text,) in rows]


def said_for(db: sqlite3.Connection, seq: int, names: Collection[str]) -> Fields | None:
    """Return what one of these recipients has said to an ask."""
    rows = db.execute("SELECT json FROM said WHERE ask = ? ORDER BY seq", (seq,))
    for found in (json.loads(text) for (text,) in rows):
        if not set(names).isdisjoint(found.get("for", ())):
            return dict(found)
    return None


def count_of(db: sqlite3.Connection, seq: int, what: str) -> int:
    """Return how many have said something to an ask in one way."""
    sql = "SELECT count(*) FROM said WHERE ask = ? AND what = ?"
    return int(db.execute(sql, (seq, what)).fetchone()[0])


def open_count(db: sqlite3.Connection, seq: int) -> int:
    """Return how many have yet to answer an ask."""
    sql = "SELECT count(*) FROM owed WHERE seq = ? AND open = 1"
    return int(db.execute(sql, (seq,)).fetchone()[0])


def waiting_for(db: sqlite3.Connection, seq: int, limit: int) -> list[str]:
    """Return who they are, in the order of their names."""
    sql = "SELECT recipient FROM owed WHERE seq = ? AND open = 1 ORDER BY recipient LIMIT ?"
    return [name for (name,) in db.execute(sql, (seq, limit))]


def due(db: sqlite3.Connection, now_ms: int, limit: int) -> list[Row]:
    """Return the open asks whose time is over, the longest first."""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM asks WHERE state = 'open' AND by_ms <= ? ORDER BY by_ms LIMIT ?",
        (now_ms, limit),
    )
    return [Row(*row) for row in rows]


def open_before(db: sqlite3.Connection, seq: int, now_ms: int, limit: int) -> list[Row]:
    """Return the open asks before a seq, and those whose time is over; the oldest first."""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM asks INDEXED BY asks_open_of WHERE state = 'open'"
        " AND (seq < ? OR by_ms <= ?) ORDER BY seq LIMIT ?",
        (seq, now_ms, limit),
    )
    return [Row(*row) for row in rows]


def newest(db: sqlite3.Connection, before: int, sender: str | None) -> Iterator[Row]:
    """Yield the asks before a seq, of one sender or all, newest first."""
    whose, values = ("sender = ? AND ", (sender,)) if sender else ("", ())
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM asks WHERE {whose}seq < ? ORDER BY seq DESC", (*values, before)
    )
    for row in rows:
        yield Row(*row)


def owed_in_turns(
    db: sqlite3.Connection, names: Collection[str], since: int, now_ms: int, each: int, limit: int
) -> list[Row]:
    """Return open asks that one of these names has yet to answer, by turns of the credentials that
    ask, at most `each` of one: the urgent ones first, then those whose time is over first, then the
    older. Of those up to `since`, only what a role was asked.
    """
    marks = ", ".join("?" * len(names))
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM (SELECT {_COLUMNS}, row_number() OVER (PARTITION BY auth ORDER BY"
        " max(EXISTS (SELECT 1 FROM ranked WHERE ranked.recipient = owed.recipient"
        " AND priority = 'urgent' AND ranked.seq = owed.seq)) DESC,"
        " coalesce(by_ms, 1e18), asks.seq) AS turn"
        f" FROM owed JOIN asks ON asks.seq = owed.seq WHERE recipient IN ({marks}) AND open = 1"
        " AND (owed.seq > ? OR recipient GLOB ?) AND (by_ms IS NULL OR by_ms > ?)"
        " GROUP BY asks.seq) AS asks WHERE turn <= ? ORDER BY turn, seq LIMIT ?",
        (*names, since, f"{ROLE_PREFIX}*", now_ms, each, limit),
    )
    return [Row(*row) for row in rows]


def question(db: sqlite3.Connection, seq: int, longest: int) -> Fields:
    """Return the message that asks, with at most `longest` characters of its body; the length of
    all of it is `size` then.
    """
    (text,) = db.execute(
        "SELECT CASE WHEN length(json) <= ?1 THEN json ELSE json_set(json_remove(json, '$.data'),"
        " '$.body', substr(json_extract(json, '$.body'), 1, ?1),"
        " '$.size', length(json_extract(json, '$.body'))) END FROM messages WHERE seq = ?2",
        (longest, seq),
    ).fetchone()
    return dict(json.loads(text))


def open_of(db: sqlite3.Connection, auth: str, now_ms: int) -> int:
    """Return how many asks of a credential are open."""
    sql = (
        "SELECT count(*) FROM asks WHERE auth = ? AND state = 'open'"
        " AND (by_ms IS NULL OR by_ms > ?)"
    )
    return int(db.execute(sql, (auth, now_ms)).fetchone()[0])


def owed_by(
    db: sqlite3.Connection, names: Collection[str], before: int, now_ms: int
) -> Iterator[Row]:
    """Yield the open asks before a seq that one of these names has yet to answer, newest first."""
    marks = ", ".join("?" * len(names))
    rows = db.execute(
        f"SELECT DISTINCT {_COLUMNS} FROM owed JOIN asks ON asks.seq = owed.seq"
        f" WHERE recipient IN ({marks}) AND open = 1 AND owed.seq < ?"
        " AND (by_ms IS NULL OR by_ms > ?) ORDER BY owed.seq DESC",
        (*names, before, now_ms),
    )
    for row in rows:
        yield Row(*row)
