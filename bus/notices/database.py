"""The file `notices.db`: its tables, and a connection to it."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bus.errors import Busy, NoRoom
from bus.system import modes

_WAITS_S = 5.0

# `state` of a notice: queued, sending (handed to the service, whose answer is not here yet), sent,
# dead. `unsure`: an answer was lost, so it may have been sent twice.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notices (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    service TEXT NOT NULL,
    target TEXT NOT NULL,
    kind TEXT NOT NULL,
    seq INTEGER NOT NULL,
    title TEXT NOT NULL,
    text TEXT NOT NULL,
    data TEXT NOT NULL,
    made_ms INTEGER NOT NULL,
    state TEXT NOT NULL DEFAULT 'queued',
    tries INTEGER NOT NULL DEFAULT 0,
    next_ms INTEGER NOT NULL DEFAULT 0,
    sent_ms INTEGER,
    ref TEXT,
    error TEXT,
    unsure INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS notices_waiting ON notices (service, target, id)
    WHERE state IN ('queued', 'sending');
CREATE INDEX IF NOT EXISTS notices_by_state ON notices (state, id);
CREATE INDEX IF NOT EXISTS notices_by_service ON notices (service, state, id);
CREATE INDEX IF NOT EXISTS notices_by_ref ON notices (service, ref) WHERE ref IS NOT NULL;
CREATE TABLE IF NOT EXISTS people (       -- whose account on a service a name of the settings is
    service TEXT, account TEXT, id INTEGER NOT NULL, bound_ms INTEGER NOT NULL,
    PRIMARY KEY (service, account)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS buttons (
    token TEXT PRIMARY KEY, service TEXT NOT NULL, approval TEXT NOT NULL, hash TEXT NOT NULL,
    chat INTEGER NOT NULL, allow INTEGER NOT NULL, made_ms INTEGER NOT NULL, used INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS chats (        -- what chats are called that were given another id
    service TEXT, old INTEGER, new INTEGER NOT NULL, PRIMARY KEY (service, old)
) WITHOUT ROWID;
"""


class Database:
    """One connection, used by one thread at a time. It is opened when it is first used. With
    `is_durable` false a power cut loses what was noted last.

    Raises Busy when another process holds the file, and NoRoom when the disk is full.
    """

    def __init__(self, path: Path, *, is_durable: bool = True) -> None:
        self.path, self._is_durable = path, is_durable
        self._mutex = threading.RLock()
        self._db: sqlite3.Connection | None = None

    def is_there(self) -> bool:
        """Return whether there is such a file."""
        return self.path.exists()

    @contextmanager
    def changing(self) -> Iterator[sqlite3.Connection]:
        """Run the block as one transaction, on stable storage when it ends; an exception in it
        changes nothing.
        """
        with self._held() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Look at the file as it is at one moment."""
        with self._held() as db:
            db.execute("BEGIN")
            try:
                yield db
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")

    def close(self) -> None:
        """Close the file."""
        with self._mutex:
            if self._db is not None:
                self._db.close()
            self._db = None

    @contextmanager
    def _held(self) -> Iterator[sqlite3.Connection]:
        with self._mutex:
            try:
                if self._db is None:
                    self._db = self._connected()
                yield self._db
            except sqlite3.OperationalError as error:
                code = error.sqlite_errorcode & 0xFF
                if code == sqlite3.SQLITE_FULL:
                    raise NoRoom("The disk is full: notices cannot be noted.") from error
                if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                    raise Busy("Another process holds the file of notices.") from error
                raise

    def _connected(self) -> sqlite3.Connection:
        modes.make_file(self.path)
        db = sqlite3.connect(
            self.path, timeout=_WAITS_S, isolation_level=None, check_same_thread=False
        )
        try:
            db.row_factory = sqlite3.Row
            db.execute("PRAGMA journal_mode = WAL")
            db.execute(f"PRAGMA synchronous = {'FULL' if self._is_durable else 'OFF'}")
            db.executescript(_SCHEMA)
        except BaseException:
            db.close()
            raise
        return db
