"""Who was here last and who fetched what: news, not history.

It lies beside the log in `presence.db`, so that a read writes no record. Losing it costs nothing but these
times, so it is never synced, and a fault in it is logged and otherwise ignored.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bus import modes

logger = logging.getLogger("bus.presence")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS seen (reader TEXT PRIMARY KEY, ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS fetched (seq INTEGER, reader TEXT, ms INTEGER NOT NULL, PRIMARY KEY (seq, reader)) WITHOUT ROWID;
"""
_FRESH_MS = 2_000  # a reader that polls more often than this is noted once in so long
_REMEMBERED = 20_000  # pairs of reader and message known to be noted already


class Presence:
    """Notes and tells when readers came and what they were given. Times are Unix milliseconds."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mutex = threading.RLock()
        self._db: sqlite3.Connection | None = None
        self._seen: dict[str, int] = {}
        self._fetched: set[tuple[int, str]] = set()

    def note_poll(self, reader: str, seqs: Iterable[int], now_ms: int) -> None:
        """A reader asked, and was given these messages."""
        with self._mutex:
            fresh = [(seq, reader) for seq in seqs if (seq, reader) not in self._fetched]
            if not fresh and 0 <= now_ms - self._seen.get(reader, 0) < _FRESH_MS:
                return
            self._seen[reader] = now_ms
            if len(self._fetched) > _REMEMBERED:
                self._fetched.clear()
            self._fetched.update(fresh)
            self._write(reader, fresh, now_ms)

    def last_seen(self, reader: str) -> int | None:
        """When a reader last asked."""
        rows = self._query("SELECT ms FROM seen WHERE reader = ?", reader)
        return rows[0][0] if rows else None

    def readers(self) -> list[str]:
        """Every name that ever asked."""
        return [row[0] for row in self._query("SELECT reader FROM seen WHERE reader NOT LIKE 'fetch %' ORDER BY reader")]

    def fetches(self, seq: int) -> dict[str, int]:
        """Who was given a message, and when first."""
        return dict(self._query("SELECT reader, ms FROM fetched WHERE seq = ?", seq))

    def last_fetch(self, reader: str) -> int | None:
        """When a reader was last given a message that was new to it."""
        rows = self._query("SELECT ms FROM seen WHERE reader = ?", "fetch " + reader)
        return rows[0][0] if rows else None

    def close(self) -> None:
        """Close the file."""
        with self._mutex:
            if self._db is not None:
                self._db.close()
                self._db = None

    def _write(self, reader: str, fresh: list[tuple[int, str]], now_ms: int) -> None:
        marks = [(reader, now_ms)] + ([("fetch " + reader, now_ms)] if fresh else [])
        try:
            db = self._connection()
            with db:
                db.executemany("INSERT INTO seen VALUES (?, ?) ON CONFLICT (reader) DO UPDATE SET ms = excluded.ms", marks)
                db.executemany("INSERT OR IGNORE INTO fetched VALUES (?, ?, ?)", [(*pair, now_ms) for pair in fresh])
        except sqlite3.Error as error:
            logger.warning("presence was not noted: %s", error)

    def _query(self, sql: str, *values: object) -> list[Any]:
        with self._mutex:
            try:
                return self._connection().execute(sql, values).fetchall()
            except sqlite3.Error as error:
                logger.warning("presence could not be read: %s", error)
                return []

    def _connection(self) -> sqlite3.Connection:
        if self._db is None:
            modes.make_file(self._path)
            # A short wait: another worker's note takes microseconds, and a reader's answer must not hang on news.
            db = sqlite3.connect(self._path, timeout=0.05, check_same_thread=False)
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = OFF")
            db.executescript(_SCHEMA)
            self._db = db
        return self._db
