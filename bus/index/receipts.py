"""Who has acknowledged a message, and whom it went to."""

from __future__ import annotations

import json
import sqlite3

from bus.records import EVERYBODY
from bus.selection import recipients


def acked(db: sqlite3.Connection, seq: int) -> dict[str, str]:
    """When each reader acknowledged this message, alone or with all before it."""
    found: dict[str, str] = dict(db.execute("SELECT reader, ts FROM acks WHERE seq = ?", (seq,)))
    for (reader,) in db.execute("SELECT DISTINCT reader FROM acks_through").fetchall():
        row = db.execute(
            "SELECT ts FROM acks_through WHERE reader = ? AND seq >= ? ORDER BY seq LIMIT 1", (reader, seq)
        ).fetchone()
        if row is not None:
            found[reader] = min(row[0], found.get(reader, row[0]))
    return found


def readers_of(db: sqlite3.Connection, message: str, known: list[str]) -> list[str]:
    """The names that a message waits for: those it is to, or for a broadcast all that are known but its sender."""
    fields = json.loads(message)
    names = recipients(fields)
    if EVERYBODY not in names:
        return names
    agents = [name for (name,) in db.execute("SELECT name FROM agents ORDER BY name")]
    return [name for name in sorted({*agents, *known}) if name != fields["from"]]


def last_act(db: sqlite3.Connection, name: str) -> str | None:
    """When this name last sent or acknowledged something."""
    row = db.execute("SELECT ts FROM agents WHERE name = ?", (name,)).fetchone()
    return None if row is None else row[0]


def known_to(db: sqlite3.Connection) -> int:
    """The seq up to which every record is known in this view."""
    seq: int = db.execute("SELECT seq FROM place").fetchone()[0]
    return seq
