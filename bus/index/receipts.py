"""Who has acknowledged a message, and whom it went to: names in their order, some at a time."""

from __future__ import annotations

import json
import sqlite3


def acked(db: sqlite3.Connection, seq: int, readers: list[str]) -> dict[str, str]:
    """When each of these readers acknowledged this message, alone or with all before it, if it did."""
    found = {}
    for reader in readers:
        times = [
            row[0]
            for row in (
                db.execute(
                    "SELECT ts FROM acks WHERE seq = ? AND reader = ?", (seq, reader)
                ).fetchone(),
                _through(db, reader, seq),
            )
            if row is not None
        ]
        if times:
            found[reader] = min(times)
    return found


def ackers(db: sqlite3.Connection, seq: int, after: str, limit: int) -> list[str]:
    """The names behind `after` that acknowledged this message, alone or with all before it."""
    alone = db.execute(
        "SELECT reader FROM acks WHERE seq = ? AND reader > ? ORDER BY reader LIMIT ?",
        (seq, after, limit),
    )
    # Along the index of places: whoever acknowledges what is older, under any number of names,
    # costs nothing here.
    with_others = db.execute(
        "SELECT DISTINCT reader FROM acks_through INDEXED BY acks_through_by_seq WHERE seq >= ? AND +reader > ?"
        " ORDER BY reader LIMIT ?",
        (seq, after, limit),
    )
    return sorted({name for (name,) in (*alone, *with_others)})[:limit]


def known(db: sqlite3.Connection, after: str, limit: int) -> list[str]:
    """The names behind `after` that have sent or acknowledged something."""
    return [
        name
        for (name,) in db.execute(
            "SELECT name FROM agents WHERE name > ? ORDER BY name LIMIT ?", (after, limit)
        )
    ]


def known_of(db: sqlite3.Connection, names: list[str]) -> set[str]:
    """Those of these names that have sent or acknowledged something."""
    return {
        name
        for (name,) in db.execute(
            "SELECT name FROM json_each(?) CROSS JOIN agents ON name = value", (json.dumps(names),)
        )
    }


def last_act(db: sqlite3.Connection, name: str) -> str | None:
    """When this name last sent or acknowledged something."""
    row = db.execute("SELECT ts FROM agents WHERE name = ?", (name,)).fetchone()
    return None if row is None else row[0]


def known_to(db: sqlite3.Connection) -> int:
    """The seq up to which every record is known in this view."""
    seq: int = db.execute("SELECT seq FROM place").fetchone()[0]
    return seq


def _through(db: sqlite3.Connection, reader: str, seq: int) -> tuple[str] | None:
    row: tuple[str] | None = db.execute(
        "SELECT ts FROM acks_through WHERE reader = ? AND seq >= ? ORDER BY seq LIMIT 1",
        (reader, seq),
    ).fetchone()
    return row
