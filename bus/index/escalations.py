"""The escalation ladder: which cases climb it, what was done at each step, and who was told.

The record `escalation_set` has ladder (the setting), prior (the one before) and at: nothing whose
deadline passed before it climbs. `escalated` has case, subject (message, ask or action), message
(its seq), number (of an action), step, names (who is late), told, skipped? (why nobody was told),
of (the credential that caused it) and at. A case has each step once; the step `end` says that it
climbs no further.
"""

from __future__ import annotations

import json
import sqlite3
from typing import NamedTuple

import orjson

from bus.index.projection import Batch
from bus.model import records
from bus.model.escalation import END
from bus.model.records import HUB, Record

DAY_MS = 86_400_000
SCHEMA = """
CREATE TABLE ladder (                     -- the setting: one row, or none
    only INTEGER PRIMARY KEY CHECK (only = 1),
    text TEXT NOT NULL,
    since_ms INTEGER NOT NULL,
    seq INTEGER NOT NULL
);
CREATE TABLE climbing (                   -- how far each case is
    name TEXT PRIMARY KEY,
    subject TEXT NOT NULL,
    message INTEGER NOT NULL,
    number INTEGER NOT NULL,
    step TEXT NOT NULL,
    ms INTEGER NOT NULL                   -- when that step was taken
) WITHOUT ROWID;
CREATE INDEX climbing_by_step ON climbing (step, ms);
CREATE TABLE climbed (                    -- the steps of a message
    message INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    json TEXT NOT NULL,
    PRIMARY KEY (message, seq)
) WITHOUT ROWID;
CREATE TABLE escalated_to (               -- who was told lately
    seq INTEGER NOT NULL,
    name TEXT NOT NULL,
    auth TEXT NOT NULL,
    step TEXT NOT NULL,
    ms INTEGER NOT NULL,
    PRIMARY KEY (seq, name)
) WITHOUT ROWID;
CREATE INDEX escalated_to_by_auth ON escalated_to (auth, ms);
CREATE INDEX escalated_to_by_name ON escalated_to (name, ms);
CREATE INDEX escalated_to_by_ms ON escalated_to (ms);
CREATE INDEX deadlines_by_time ON deadlines (ack_by_ms);
CREATE INDEX asks_expired ON asks (closed) WHERE state = 'expired';
"""


class Setting(NamedTuple):
    """The ladder that is set, since when, and the record that says so (0: none does)."""

    text: str
    since_ms: int
    seq: int


class Case(NamedTuple):
    """What climbs: the message that it is about, and the number of the action."""

    name: str
    subject: str
    message: int
    number: int


class Told(NamedTuple):
    """A step of a message: who was late, who was told, and why nobody was."""

    step: str
    time: str
    names: list[str]
    told: list[str]
    skipped: str | None


class Escalations:
    """Applies settings and steps."""

    kinds: tuple[str, ...] = ("escalation_set", "escalated")
    schema = SCHEMA

    def __init__(self, batch: Batch) -> None:
        self._db = batch.db

    def apply(self, record: Record) -> None:
        """Note the setting, or a step."""
        ms = records.unix_ms(record["at"])
        if record["kind"] == "escalation_set":
            row = (record["ladder"], ms, record["seq"])
            self._db.execute("INSERT OR REPLACE INTO ladder VALUES (1, ?, ?, ?)", row)
            return
        case = [record[name] for name in ("case", "subject", "message", "number", "step")]
        self._db.execute("INSERT OR REPLACE INTO climbing VALUES (?, ?, ?, ?, ?, ?)", (*case, ms))
        if record["step"] == END:
            return
        facts = [record[name] for name in ("step", "at", "names", "told")]
        text = orjson.dumps([*facts, record.get("skipped")]).decode()
        row = (record["message"], record["seq"], text)
        self._db.execute("INSERT INTO climbed VALUES (?, ?, ?)", row)
        self._db.execute("DELETE FROM escalated_to WHERE ms < ?", (ms - DAY_MS,))
        self._db.executemany(
            "INSERT OR IGNORE INTO escalated_to VALUES (?, ?, ?, ?, ?)",
            [(record["seq"], name, record["of"], record["step"], ms) for name in record["told"]],
        )
        if record["number"]:
            self._note_action(record)

    def _note_action(self, record: Record) -> None:
        told = ", ".join(record["told"]) or f"nobody ({record.get('skipped')})"
        fact = {"who": HUB, "time": record["at"], "set": {}}
        fact["note"] = f"Overdue. {record['step']}: {told}"
        self._db.execute(
            "INSERT OR IGNORE INTO action_changes VALUES (?, ?, ?)",
            (record["number"], record["seq"], orjson.dumps(fact).decode()),
        )


def setting(db: sqlite3.Connection) -> Setting:
    """Return the ladder that is set."""
    row = db.execute("SELECT text, since_ms, seq FROM ladder").fetchone()
    return Setting("", 0, 0) if row is None else Setting(*row)


def new_messages(db: sqlite3.Connection, after_ms: int, until_ms: int, limit: int) -> list[Case]:
    """Return the messages whose deadline passed within a time and that do not climb yet."""
    rows = db.execute(
        "SELECT 'message ' || seq AS name, seq FROM deadlines WHERE ack_by_ms > ? AND ack_by_ms <="
        " ? AND NOT EXISTS (SELECT 1 FROM climbing WHERE climbing.name = 'message ' || seq)"
        " ORDER BY ack_by_ms LIMIT ?",
        (after_ms, until_ms, limit),
    )
    return [Case(name, "message", seq, 0) for name, seq in rows]


def new_asks(db: sqlite3.Connection, after: str, until: str, limit: int) -> list[Case]:
    """Return the asks that expired within a time and that do not climb yet."""
    rows = db.execute(
        "SELECT 'ask ' || seq AS name, seq FROM asks WHERE state = 'expired' AND closed > ? AND"
        " closed <= ? AND NOT EXISTS (SELECT 1 FROM climbing WHERE climbing.name = 'ask ' || seq)"
        " ORDER BY closed LIMIT ?",
        (after, until, limit),
    )
    return [Case(name, "ask", seq, 0) for name, seq in rows]


def new_actions(db: sqlite3.Connection, after_ms: int, until_ms: int, limit: int) -> list[Case]:
    """Return the actions that were due within a time and that do not climb yet."""
    rows = db.execute(
        "SELECT 'action ' || number || ' ' || due_ms AS name, message, number FROM actions"
        " WHERE is_open = 1 AND due_ms IS NOT NULL AND due_ms > ? AND due_ms <= ? AND NOT EXISTS"
        " (SELECT 1 FROM climbing WHERE climbing.name = 'action ' || number || ' ' || due_ms)"
        " ORDER BY due_ms LIMIT ?",
        (after_ms, until_ms, limit),
    )
    return [Case(name, "action", message, number) for name, message, number in rows]


def at_step(
    db: sqlite3.Connection, step: str, after_ms: int, until_ms: int, limit: int
) -> list[Case]:
    """Return the cases whose last step was this one, taken within a time."""
    rows = db.execute(
        "SELECT name, subject, message, number FROM climbing WHERE step = ? AND ms >= ? AND ms <= ?"
        " ORDER BY ms LIMIT ?",
        (step, after_ms, until_ms, limit),
    )
    return [Case(*row) for row in rows]


def told(
    db: sqlite3.Connection,
    steps: tuple[str, ...],
    since_ms: int,
    *,
    name: str | None = None,
    auth: str | None = None,
) -> int:
    """Return how many times somebody was told at these steps: one name, because of one credential,
    or both.
    """
    given = {"name = ?": name, "auth = ?": auth}
    wanted = {text: value for text, value in given.items() if value is not None}
    where = " AND ".join([*wanted, f"ms > ? AND step IN ({', '.join('?' * len(steps))})"])
    sql = f"SELECT count(*) FROM escalated_to WHERE {where}"
    return int(db.execute(sql, (*wanted.values(), since_ms, *steps)).fetchone()[0])


def of_message(db: sqlite3.Connection, seq: int) -> list[Told]:
    """Return the steps of a message, in order; at most 100."""
    sql = "SELECT json FROM climbed WHERE message = ? ORDER BY seq LIMIT 100"
    return [Told(*json.loads(text)) for (text,) in db.execute(sql, (seq,))]
