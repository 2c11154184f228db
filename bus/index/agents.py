"""The roster: who registered under which name, and whose lease it is now.

Heartbeats are not in the log, so whether a lease still holds is not known here.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from bus.index import tenures
from bus.index.projection import Batch
from bus.model import records
from bus.model.agents import Facts
from bus.model.records import Record

SCHEMA = """
CREATE TABLE agents (
    name TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,                 -- of the record that gave the name last, or set it free
    auth TEXT NOT NULL,                   -- the credential that registered it
    lease TEXT,                           -- NULL: it was set free
    since_ms INTEGER NOT NULL,            -- when it was given or set free
    trust TEXT NOT NULL,
    facts TEXT NOT NULL                   -- JSON: what the agent said of itself
) WITHOUT ROWID;
"""


class Row(NamedTuple):
    """What the log says of one agent."""

    name: str
    seq: int
    auth: str
    lease: str | None
    since_ms: int
    facts: Facts
    trust: str


class Agents:
    """Applies what agents say of themselves."""

    kinds: tuple[str, ...] = ("agent_joined", "agent_changed", "agent_left")
    schema = SCHEMA

    def __init__(self, batch: Batch) -> None:
        self._db = batch.db

    def apply(self, record: Record) -> None:
        """Give a name to a lease, change what is known of it, or set it free."""
        kind, name, lease = record["kind"], record["name"], record["lease"]
        if kind == "agent_joined":
            self._db.execute(
                "INSERT OR REPLACE INTO agents VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    name,
                    record["seq"],
                    record["auth"],
                    lease,
                    records.unix_ms(record["ts"]),
                    record.get("trust", "agent"),
                    json.dumps(record["facts"]),
                ),
            )
        elif kind == "agent_changed":
            self._db.execute(
                "UPDATE agents SET facts = ? WHERE name = ? AND lease = ?",
                (json.dumps(record["facts"]), name, lease),
            )
        else:
            self._db.execute(
                "UPDATE agents SET lease = NULL, seq = ?, since_ms = ? WHERE name = ?"
                " AND lease = ?",
                (record["seq"], records.unix_ms(record["ts"]), name, lease),
            )


def one(db: sqlite3.Connection, name: str) -> Row | None:
    """Return what is known of an agent."""
    return next(_rows(db, "name = ?", name), None)


def of_machine(db: sqlite3.Connection, machine: str) -> dict[str, Row]:
    """Return the sessions of a machine by their names."""
    found = _rows(db, "name > ? || '/' AND name < ? || '0'", machine, machine)
    return {row.name: row for row in found}


def after(db: sqlite3.Connection, name: str) -> Iterator[Row]:
    """Yield the agents behind a name, in their order."""
    return _rows(db, "name > ?", name)


def beginning(db: sqlite3.Connection, text: str, limit: int) -> list[str]:
    """Return the names of agents that begin with a text."""
    sql = "SELECT name FROM agents WHERE name >= ?1 AND name < ?1 || char(0x10ffff) LIMIT ?2"
    return [name for (name,) in db.execute(sql, (text, limit))]


def _rows(db: sqlite3.Connection, where: str, *values: str) -> Iterator[Row]:
    """Yield agents; one whose credential is over since holds its name no more."""
    for name, seq, auth, lease, since_ms, trust, facts in db.execute(
        "SELECT name, seq, auth, lease, since_ms, trust, facts FROM agents"
        f" WHERE {where} ORDER BY name",
        values,
    ):
        is_over = tenures.tenure(db, auth) > seq
        yield Row(name, seq, auth, None if is_over else lease, since_ms, json.loads(facts), trust)
