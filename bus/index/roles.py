"""Roles: who holds one, and who comes next. Mail to a role lies in the mailbox `role:x`, which its
holder reads beside its own.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from bus.index.projection import Batch
from bus.model.groups import ROLE_PREFIX
from bus.model.records import Record

SCHEMA = """
CREATE TABLE roles (
    role TEXT PRIMARY KEY,
    holder TEXT,                          -- NULL: nobody holds it
    seq INTEGER NOT NULL,                 -- of the record that gave it last; 0: none has
    since TEXT
) WITHOUT ROWID;
CREATE INDEX roles_by_holder ON roles (holder) WHERE holder IS NOT NULL;
CREATE TABLE candidates (
    role TEXT NOT NULL,
    seq INTEGER NOT NULL,                 -- of the claim: the order
    name TEXT NOT NULL,
    auth TEXT NOT NULL,
    PRIMARY KEY (role, seq)
) WITHOUT ROWID;
CREATE INDEX candidates_by_auth ON candidates (auth);
"""


class Role(NamedTuple):
    """A role, its holder (None: nobody), since when, and the record that gave it last."""

    role: str
    holder: str | None
    seq: int
    since: str | None


class Roles:
    """Applies claims, releases, and who was given a role."""

    kinds: tuple[str, ...] = ("role_claimed", "role_released", "role_given", "credential")
    schema = SCHEMA

    def __init__(self, batch: Batch) -> None:
        self._db = batch.db

    def apply(self, record: Record) -> None:
        """Change who holds a role, or who would."""
        kind = record["kind"]
        if kind == "role_claimed":
            self._db.execute(
                "INSERT OR IGNORE INTO roles VALUES (?, NULL, 0, NULL)", (record["role"],)
            )
            self._db.execute(
                "INSERT INTO candidates VALUES (?, ?, ?, ?)",
                (record["role"], record["seq"], record["name"], record["auth"]),
            )
        elif kind == "role_released":
            self._db.execute(
                "DELETE FROM candidates WHERE role = ? AND name = ?",
                (record["role"], record["name"]),
            )
        elif kind == "role_given":
            self._db.execute(
                "UPDATE roles SET holder = ?, seq = ?, since = ? WHERE role = ?",
                (record["name"], record["seq"], record["ts"], record["role"]),
            )
        elif record["action"] == "revoke":
            self._db.execute("DELETE FROM candidates WHERE auth = ?", (record["name"],))


def one(db: sqlite3.Connection, role: str) -> Role | None:
    """Return a role that somebody has claimed."""
    row = db.execute(
        "SELECT role, holder, seq, since FROM roles WHERE role = ?", (role,)
    ).fetchone()
    return None if row is None else Role(*row)


def all_of(db: sqlite3.Connection) -> Iterator[Role]:
    """Yield the roles that somebody holds or would hold, in their order."""
    for row in db.execute(
        "SELECT role, holder, seq, since FROM roles WHERE holder IS NOT NULL OR EXISTS (SELECT 1"
        " FROM candidates WHERE candidates.role = roles.role) ORDER BY role LIMIT 1000"
    ).fetchall():
        yield Role(*row)


def wanted(db: sqlite3.Connection, after: str, limit: int) -> list[str]:
    """Return the roles behind `after` that somebody holds or would hold."""
    rows = db.execute(
        "SELECT role FROM roles WHERE role > ? AND (holder IS NOT NULL OR EXISTS (SELECT 1 FROM"
        " candidates WHERE candidates.role = roles.role)) ORDER BY role LIMIT ?",
        (after, limit),
    )
    return [role for (role,) in rows]


def candidates(db: sqlite3.Connection, role: str) -> list[str]:
    """Return who has claimed a role, in the order of their claims, its holder too."""
    sql = "SELECT name FROM candidates WHERE role = ? ORDER BY seq"
    return [name for (name,) in db.execute(sql, (role,))]


def count_of(db: sqlite3.Connection, auth: str) -> int:
    """Return how many claims of a credential hold."""
    row: tuple[int] = db.execute(
        "SELECT count(*) FROM candidates WHERE auth = ?", (auth,)
    ).fetchone()
    return row[0]


def held_by(db: sqlite3.Connection, name: str) -> list[str]:
    """Return the mailboxes of the roles that a name holds."""
    rows = db.execute("SELECT role FROM roles WHERE holder = ?", (name,))
    return [ROLE_PREFIX + role for (role,) in rows]
