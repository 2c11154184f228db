"""Which names have done something, and which are or were those of machines.

A name is a machine's once the log shows a credential of it that was made, rotated, replaced or
revoked, or a message that was sent with it.
"""

from __future__ import annotations

import json
import sqlite3

from bus.model.records import Record

SCHEMA = """
-- Every name that has sent or acknowledged, when it last did, and the seq of the first time.
CREATE TABLE actors (
    name TEXT PRIMARY KEY,
    ts TEXT NOT NULL,
    since INTEGER NOT NULL
) WITHOUT ROWID;
-- Every name that a machine has or had: never the shared user's again.
CREATE TABLE machines (
    name TEXT PRIMARY KEY
) WITHOUT ROWID;
"""


class Names:
    """What one transaction learns of names."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._acts: dict[str, tuple[str, int]] = {}
        self._machines: set[str] = set()

    def acted(self, name: str, record: Record) -> None:
        """Note that a name has done something. An imported record is older than its place."""
        ts, since = self._acts.get(name, ("", record["seq"]))
        self._acts[name] = (max(ts, record["ts"]), since)

    def note_machine(self, name: str) -> None:
        """Note that a machine has or had this name."""
        self._machines.add(name)

    def is_machine(self, name: str) -> bool:
        """Return whether a machine has or had this name."""
        asked = "SELECT 1 FROM machines WHERE name = ?"
        return name in self._machines or self._db.execute(asked, (name,)).fetchone() is not None

    def write(self) -> None:
        """Write what was noted."""
        self._db.executemany(
            "INSERT INTO actors VALUES (?, ?, ?)"
            " ON CONFLICT (name) DO UPDATE SET ts = max(ts, excluded.ts)",
            ((name, ts, since) for name, (ts, since) in self._acts.items()),
        )
        rows = [(name,) for name in self._machines]
        self._db.executemany("INSERT OR IGNORE INTO machines VALUES (?)", rows)
        self._acts.clear()
        self._machines.clear()


def machines(db: sqlite3.Connection) -> list[str]:
    """Return the names that machines have or had."""
    return [name for (name,) in db.execute("SELECT name FROM machines")]


def known(db: sqlite3.Connection, after: str, limit: int) -> list[str]:
    """Return the names behind `after` that have sent or acknowledged something."""
    return [
        name
        for (name,) in db.execute(
            "SELECT name FROM actors WHERE name > ? ORDER BY name LIMIT ?", (after, limit)
        )
    ]


def beginning(db: sqlite3.Connection, text: str, limit: int) -> list[str]:
    """Return names that have sent or acknowledged something and begin with a text."""
    sql = "SELECT name FROM actors WHERE name >= ?1 AND name < ?1 || char(0x10ffff) LIMIT ?2"
    return [name for (name,) in db.execute(sql, (text, limit))]


def known_of(db: sqlite3.Connection, names: list[str]) -> set[str]:
    """Return those of these names that have sent or acknowledged something."""
    return {
        name
        for (name,) in db.execute(
            "SELECT name FROM json_each(?) CROSS JOIN actors ON name = value", (json.dumps(names),)
        )
    }


def last_act(db: sqlite3.Connection, name: str) -> str | None:
    """Return when this name last sent or acknowledged something."""
    row = db.execute("SELECT ts FROM actors WHERE name = ?", (name,)).fetchone()
    return None if row is None else row[0]


def last_acts(db: sqlite3.Connection, limit: int) -> dict[str, str]:
    """Return when each machine, with its sessions, last sent, acknowledged or called something:
    those that did so last.
    """
    rows = db.execute(
        "SELECT substr(name, 1, instr(name || '/', '/') - 1) AS machine, max(ts) FROM actors GROUP"
        " BY machine ORDER BY max(ts) DESC LIMIT ?",
        (limit,),
    )
    return dict(rows)


def last_act_of_machine(db: sqlite3.Connection, name: str) -> str | None:
    """Return when a machine, with its sessions, last sent, acknowledged or called something."""
    row = db.execute(
        "SELECT max(ts) FROM actors WHERE name = ? OR (name > ? AND name < ?)",
        (name, name + "/", name + "0"),
    )
    found: str | None = row.fetchone()[0]
    return found
