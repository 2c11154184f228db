"""File leases: who holds which paths of which repository, and until when.

The record `files_leased` has lease (its id), holder, repo, prior, paths, exclusive, until, ttl_s,
reason, session (the lease by which its holder has its name; null: it needs none), tenure?, and
renews? (true: it prolongs the lease). `prior` is the seq of the record before it in the same
repository: so of those who decide at once one is first, and the others look again.
`files_released` has lease, by whom, and seq_of? (it ends the lease only as of that record).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from bus.index import tenures
from bus.index.projection import Batch
from bus.model import records
from bus.model.file_leases import beginning
from bus.model.records import Record

SCHEMA = """
CREATE TABLE file_leases (
    id TEXT PRIMARY KEY,
    repo TEXT NOT NULL,
    holder TEXT NOT NULL,
    auth TEXT NOT NULL,                   -- the credential that took it
    session TEXT,                         -- the lease on the holder's name that it ends with
    seq INTEGER NOT NULL,                 -- of the record that took or renewed it last
    exclusive INTEGER NOT NULL,
    since TEXT NOT NULL,
    until TEXT NOT NULL,
    until_ms INTEGER NOT NULL,
    ttl_s REAL NOT NULL,
    reason TEXT,
    paths TEXT NOT NULL                   -- JSON
) WITHOUT ROWID;
CREATE INDEX file_leases_by_repo ON file_leases (repo, until_ms);
CREATE INDEX file_leases_by_holder ON file_leases (holder);
CREATE INDEX file_leases_by_auth ON file_leases (auth);
CREATE INDEX file_leases_by_until ON file_leases (until_ms);
-- What its paths begin with before any wildcard: see `bus.model.file_leases.beginning`.
CREATE TABLE leased_beginnings (
    repo TEXT NOT NULL,
    beginning TEXT NOT NULL,
    lease TEXT NOT NULL,
    PRIMARY KEY (repo, beginning, lease)
) WITHOUT ROWID;
CREATE INDEX leased_beginnings_by_lease ON leased_beginnings (lease);
CREATE TRIGGER file_lease_ended AFTER DELETE ON file_leases BEGIN
    DELETE FROM leased_beginnings WHERE lease = OLD.id;
END;
CREATE TABLE leased_repos (
    repo TEXT PRIMARY KEY,
    seq INTEGER NOT NULL                  -- of the last record of a lease in it
) WITHOUT ROWID;
"""
_COLUMNS = "id, repo, holder, auth, session, seq, since, until, ttl_s, reason, exclusive, paths"
_OF_NAME = "(holder = ?1 OR (holder > ?1 || '/' AND holder < ?1 || '0'))"


class Row(NamedTuple):
    """A lease of paths."""

    id: str
    repo: str
    holder: str
    auth: str
    session: str | None
    seq: int
    since: str
    until: str
    ttl_s: float
    reason: str | None
    exclusive: int
    written: str  # its paths, as JSON

    @property
    def paths(self) -> list[str]:
        """Its paths and patterns."""
        found: list[str] = json.loads(self.written)
        return found


class FileLeases:
    """Applies leases of files, and ends them with what they hang on."""

    kinds: tuple[str, ...] = (
        *("files_leased", "files_released", "agent_joined", "agent_left", "credential"),
    )
    schema = SCHEMA

    def __init__(self, batch: Batch) -> None:
        self._db = batch.db

    def apply(self, record: Record) -> None:
        """Begin, prolong or end leases."""
        kind = record["kind"]
        if kind == "files_leased":
            self._leased(record)
        elif kind == "files_released":
            self._db.execute(
                "DELETE FROM file_leases WHERE id = ? AND seq = coalesce(?, seq)",
                (record["lease"], record.get("seq_of")),
            )
        elif kind == "agent_joined":
            # Whoever gets a name gets no file with it.
            self._db.execute(
                "DELETE FROM file_leases WHERE holder = ? AND session IS NOT ?",
                (record["name"], record["lease"]),
            )
        elif kind == "agent_left":
            self._db.execute(
                "DELETE FROM file_leases WHERE holder = ? AND session = ?",
                (record["name"], record["lease"]),
            )
        elif tenures.has_new_hands(record):
            self._db.execute(
                f"DELETE FROM file_leases WHERE auth = ?1 OR {_OF_NAME}", (record["name"],)
            )

    def _leased(self, record: Record) -> None:
        db, repo = self._db, record["repo"]
        db.execute("INSERT OR REPLACE INTO leased_repos VALUES (?, ?)", (repo, record["seq"]))
        db.execute("DELETE FROM file_leases WHERE until_ms <= ?", (records.unix_ms(record["ts"]),))
        if not self._is_good(record):
            return
        until = record["until"], records.unix_ms(record["until"])
        if record.get("renews"):
            db.execute(
                "UPDATE file_leases SET until = ?, until_ms = ?, ttl_s = ?, seq = ? WHERE id = ?",
                (*until, record["ttl_s"], record["seq"], record["lease"]),
            )
            return
        db.execute(
            "INSERT OR REPLACE INTO file_leases VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(record["lease"], repo, record["holder"], record["auth"], record["session"]),
                *(record["seq"], int(record["exclusive"]), record["ts"], *until),
                *(record["ttl_s"], record["reason"], json.dumps(record["paths"])),
            ),
        )
        db.executemany(
            "INSERT OR IGNORE INTO leased_beginnings VALUES (?, ?, ?)",
            ((repo, beginning(path), record["lease"]) for path in record["paths"]),
        )

    def _is_good(self, record: Record) -> bool:
        """Return whether its holder still had its name, and its credential, when it was written."""
        if tenures.tenure(self._db, record["auth"]) != record.get("tenure", 0):
            return False
        if record["session"] is None:
            return True
        sql = "SELECT 1 FROM agents WHERE name = ? AND lease = ?"
        return self._db.execute(sql, (record["holder"], record["session"])).fetchone() is not None


def last(db: sqlite3.Connection, repo: str) -> int:
    """Return the seq of the last record of a lease in a repository; 0: there was none."""
    row = db.execute("SELECT seq FROM leased_repos WHERE repo = ?", (repo,)).fetchone()
    return 0 if row is None else int(row[0])


def one(db: sqlite3.Connection, id: str, now_ms: int) -> Row | None:
    """Return a lease that has not run out."""
    return next(iter(_rows(db, "id = ? AND until_ms > ?", (id, now_ms))), None)


def of_repo(db: sqlite3.Connection, repo: str, now_ms: int) -> list[Row]:
    """Return the leases in a repository that have not run out."""
    return _rows(db, "repo = ? AND until_ms > ?", (repo, now_ms))


def of_others(
    db: sqlite3.Connection,
    repo: str,
    holder: str,
    now_ms: int,
    beginnings: Sequence[str] | None,
) -> list[tuple[str, str]]:
    """Return the exclusive leases of others in a repository: their ids, and their paths as JSON.

    Only those with a path that begins so, unless `beginnings` is None.
    """
    counts = "repo = ? AND until_ms > ? AND exclusive = 1 AND holder != ?"
    if beginnings is None:
        sql = f"SELECT id, paths FROM file_leases WHERE {counts}"
        return db.execute(sql, (repo, now_ms, holder)).fetchall()
    marks = ", ".join("?" * len(beginnings))
    sql = (
        f"SELECT id, paths FROM file_leases WHERE id IN (SELECT lease FROM leased_beginnings WHERE"
        f" repo = ? AND beginning IN ({marks})) AND {counts}"
    )
    return db.execute(sql, (repo, *beginnings, repo, now_ms, holder)).fetchall()


def listed(
    db: sqlite3.Connection,
    now_ms: int,
    repo: str | None,
    holder: str | None,
    after: str,
    limit: int,
) -> list[Row]:
    """Return leases that have not run out, in the order of their ids."""
    where = (
        "until_ms > ?1 AND id > ?2 AND (?3 IS NULL OR repo = ?3) AND (?4 IS NULL OR holder = ?4)"
    )
    return _rows(db, f"{where} ORDER BY id LIMIT ?5", (now_ms, after, repo, holder, limit))


def paths_of(db: sqlite3.Connection, auth: str, now_ms: int) -> int:
    """Return how many paths a credential holds."""
    sql = (
        "SELECT coalesce(sum(json_array_length(paths)), 0) FROM file_leases WHERE auth = ? AND"
        " until_ms > ?"
    )
    return int(db.execute(sql, (auth, now_ms)).fetchone()[0])


def _rows(db: sqlite3.Connection, where: str, values: tuple[object, ...]) -> list[Row]:
    found = db.execute(f"SELECT {_COLUMNS} FROM file_leases WHERE {where}", values)
    return [Row(*row) for row in found.fetchall()]
