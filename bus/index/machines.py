"""Which names machines have, or had: what the log tells of it.

A name counts once a credential of it was made, rotated, replaced or revoked on record, or a message
was sent with it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from bus.model.caller import MACHINES
from bus.model.records import Record


def name_in(record: Record) -> str | None:
    """The name of which this record shows that a machine has or had it."""
    if record["kind"] == "message":
        return record["auth"] if record.get("verified") is True else None
    if (
        record["kind"] == "credential"
        and record["action"] != "invite"
        and record["role"] in MACHINES
    ):
        return str(record["name"])
    return None


def note(db: sqlite3.Connection, names: Iterable[str]) -> None:
    """Remember names of machines."""
    db.executemany("INSERT OR IGNORE INTO machines VALUES (?)", [(name,) for name in names])


def has(db: sqlite3.Connection, name: str) -> bool:
    """Whether a machine has or had this name."""
    return db.execute("SELECT 1 FROM machines WHERE name = ?", (name,)).fetchone() is not None


def names(db: sqlite3.Connection) -> list[str]:
    """The names that machines have or had."""
    return [name for (name,) in db.execute("SELECT name FROM machines")]
