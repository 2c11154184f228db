"""Who was here last and who fetched what: news, not history.

It lies beside the log in `presence.db`, so that a read writes no record. Losing it costs nothing
but these times, so it is never synced, and a fault in it is logged and otherwise ignored.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bus.live import news

logger = logging.getLogger("bus.live.presence")

# `counts`: 1, it was here lately, or nobody has looked since; 2, it was not, and stays for what it
# has posted or acknowledged; 0, it has left.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS readers (
    reader TEXT PRIMARY KEY,
    ms INTEGER NOT NULL,
    fetched_ms INTEGER,
    counts INTEGER NOT NULL DEFAULT 1
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS readers_that_count ON readers (reader, counts, ms) WHERE counts > 0;
CREATE INDEX IF NOT EXISTS readers_by_time ON readers (ms) WHERE counts = 1;
CREATE TABLE IF NOT EXISTS fetched (
    seq INTEGER, reader TEXT, ms INTEGER NOT NULL, PRIMARY KEY (seq, reader)
) WITHOUT ROWID;
"""
# Until 0.1 a name's times were two rows.
_FROM_BEFORE = """
BEGIN IMMEDIATE;
INSERT OR IGNORE INTO readers (reader, ms, fetched_ms)
    SELECT name.reader, name.ms, last.ms
    FROM seen name LEFT JOIN seen last ON last.reader = 'fetch ' || name.reader
    WHERE name.reader NOT LIKE 'fetch %';
DROP TABLE seen;
COMMIT;
"""
_FRESH_MS = 2_000  # a reader that polls more often than this is noted once in so long
_REMEMBERED = 20_000  # names, and pairs of reader and message, known to be noted already
_FORGOTTEN_AT_ONCE = 200
KEEP_S = 30 * 86_400
KEEP_BYTES = 256 << 20
_TRIMMED_EVERY = 1_000  # notes of what was fetched between two looks at the size of the file


_COUNTED = "counts > 0 AND (counts = 2 OR ms >= ?)"


@contextmanager
def _logged(what: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        logger.warning("%s: %s", what, error)


class Presence:
    """Notes and tells when readers came and what they were given. Times are Unix milliseconds.

    A name that does no more than poll leaves the lists of names when it has not been here for
    `keep_s`. When more than `keep_bytes` are used, what is known of the oldest messages goes.
    """

    def __init__(self, path: Path, keep_s: float = KEEP_S, keep_bytes: int = KEEP_BYTES) -> None:
        self._path, self._keep_ms, self._keep_bytes = path, int(keep_s * 1000), keep_bytes
        self._noted = 0
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
            if len(self._fetched) > _REMEMBERED:
                self._fetched.clear()
            if len(self._seen) > _REMEMBERED:
                self._seen.clear()
            self._seen[reader] = now_ms
            self._fetched.update(fresh)
            self._write(reader, fresh, now_ms)

    def last_seen(self, reader: str) -> int | None:
        """Return when a reader last asked."""
        rows = self._query("SELECT ms FROM readers WHERE reader = ?", reader)
        return rows[0][0] if rows else None

    def last_seen_of_all(self, limit: int) -> dict[str, int]:
        """Return when readers last asked: of those that did so last."""
        sql = "SELECT reader, ms FROM readers ORDER BY ms DESC LIMIT ?"
        return dict(self._query(sql, limit))

    def readers(self, now_ms: int, after: str = "", limit: int = 1_000) -> list[str]:
        """Return the names behind `after` that have asked, in their order, without those
        that left.
        """
        sql = f"SELECT reader FROM readers WHERE {_COUNTED} AND reader > ? ORDER BY reader LIMIT ?"
        return [row[0] for row in self._query(sql, now_ms - self._keep_ms, after, limit)]

    def forget(self, now_ms: int, have_acted: Callable[[list[str]], Collection[str]]) -> None:
        """Let some names leave that were not here for long; `have_acted` gives those of them that
        stay.
        """
        sql = "SELECT reader FROM readers WHERE counts = 1 AND ms < ? LIMIT ?"
        old = [row[0] for row in self._query(sql, now_ms - self._keep_ms, _FORGOTTEN_AT_ONCE)]
        if not old:
            return
        stay = have_acted(old)
        with self._mutex, _logged("presence was not tidied"):
            db = self._connection()
            with db:
                db.executemany(
                    "UPDATE readers SET counts = ? WHERE reader = ?",
                    [(2 if name in stay else 0, name) for name in old],
                )

    def fetches(self, seq: int, after: str, limit: int) -> list[str]:
        """Return the names behind `after` that were given a message, in their order."""
        sql = "SELECT reader FROM fetched WHERE seq = ? AND reader > ? ORDER BY reader LIMIT ?"
        return [row[0] for row in self._query(sql, seq, after, limit)]

    def fetched(self, seq: int, readers: list[str]) -> dict[str, int]:
        """Return when each of these names was first given a message, if it was."""
        sql = "SELECT reader, ms FROM json_each(?) CROSS JOIN fetched ON seq = ? AND reader = value"
        return dict(self._query(sql, json.dumps(readers), seq))

    def fetched_of(self, seqs: list[int], reader: str) -> int:
        """Return how many of these messages a name, or one of its sessions, was given."""
        sql = (
            "SELECT count(*) FROM json_each(?1) WHERE EXISTS (SELECT 1 FROM fetched WHERE seq ="
            " value AND (reader = ?2 OR (reader > ?2 || '/' AND reader < ?2 || '0')))"
        )
        rows = self._query(sql, json.dumps(seqs), reader)
        return rows[0][0] if rows else 0

    def given(self, reader: str, seqs: list[int]) -> list[int]:
        """Return those of these messages that a reader was given."""
        sql = (
            "SELECT fetched.seq FROM json_each(?) CROSS JOIN fetched"
            " ON fetched.seq = value AND reader = ?"
        )
        return [row[0] for row in self._query(sql, json.dumps(seqs), reader)]

    def last_fetch(self, reader: str) -> int | None:
        """Return when a reader was last given a message that was new to it."""
        rows = self._query("SELECT fetched_ms FROM readers WHERE reader = ?", reader)
        return rows[0][0] if rows else None

    def close(self) -> None:
        """Close the file."""
        with self._mutex:
            if self._db is not None:
                self._db.close()
                self._db = None

    def _write(self, reader: str, fresh: list[tuple[int, str]], now_ms: int) -> None:
        with _logged("presence was not noted"):
            db = self._connection()
            with db:
                db.execute(
                    "INSERT INTO readers (reader, ms, fetched_ms) VALUES (?, ?, ?) ON CONFLICT"
                    " (reader) DO UPDATE SET ms = excluded.ms, fetched_ms ="
                    " coalesce(excluded.fetched_ms, fetched_ms), counts = 1",
                    (reader, now_ms, now_ms if fresh else None),
                )
                db.executemany(
                    "INSERT OR IGNORE INTO fetched VALUES (?, ?, ?)",
                    [(*pair, now_ms) for pair in fresh],
                )
                self._noted += len(fresh)
                if self._noted >= _TRIMMED_EVERY:
                    self._trim(db)

    def _trim(self, db: sqlite3.Connection) -> None:
        """Keep the file at its size: four times as many notes go as came since the last time."""
        used, free, size = (
            db.execute(f"PRAGMA {what}").fetchone()[0]
            for what in ("page_count", "freelist_count", "page_size")
        )
        if (used - free) * size > self._keep_bytes:
            oldest = "SELECT seq, reader FROM fetched ORDER BY seq LIMIT ?"
            db.execute(f"DELETE FROM fetched WHERE (seq, reader) IN ({oldest})", (4 * self._noted,))
        self._noted = 0

    def _query(self, sql: str, *values: object) -> list[Any]:
        with self._mutex:
            try:
                return self._connection().execute(sql, values).fetchall()
            except sqlite3.Error as error:
                logger.warning("presence could not be read: %s", error)
                return []

    def _connection(self) -> sqlite3.Connection:
        if self._db is None:
            db = news.connect(self._path, _SCHEMA, is_autocommit=False)
            if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'seen'").fetchone():
                db.executescript(_FROM_BEFORE)
            self._db = db
        return self._db
