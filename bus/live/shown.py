"""What was shown to which conversation of a model: so that nothing is shown twice.

News, not history: it lies in `presence.db`. If it is lost, mail is shown once more.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from bus.system import modes

logger = logging.getLogger("bus.live.shown")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS conversations (
    name TEXT NOT NULL,
    conversation TEXT NOT NULL,
    begun INTEGER NOT NULL,
    ms INTEGER NOT NULL,
    PRIMARY KEY (name, conversation)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS shown (
    seq INTEGER NOT NULL,
    name TEXT NOT NULL,
    conversation TEXT NOT NULL,
    way TEXT NOT NULL,
    ms INTEGER NOT NULL,
    PRIMARY KEY (seq, name, conversation)
) WITHOUT ROWID;
"""
_KEPT_MS = 7 * 86_400_000


class Shown(NamedTuple):
    """That a message stood in a conversation of `name`: by which way, and when (Unix ms)."""

    name: str
    way: str
    ms: int


class ShownMail:
    """Remembers it for all workers."""

    def __init__(self, path: Path) -> None:
        self._path, self._mutex = path, threading.Lock()

    def begin(self, name: str, conversation: str, seq: int, now_ms: int) -> None:
        """Note that a conversation has begun: up to `seq` it knows what waits."""
        try:
            with self._mutex, closing(self._connect()) as db:
                db.execute(
                    "INSERT OR REPLACE INTO conversations VALUES (?, ?, ?, ?)",
                    (name, conversation, seq, now_ms),
                )
                db.execute("DELETE FROM conversations WHERE ms < ?", (now_ms - _KEPT_MS,))
                db.execute("DELETE FROM shown WHERE ms < ?", (now_ms - _KEPT_MS,))
        except sqlite3.Error as error:
            logger.warning("what was shown is not known: %s", error)

    def begun(self, name: str, conversation: str) -> int | None:
        """Return the seq up to which a conversation knows what waits; None: it is new."""
        try:
            with closing(self._connect()) as db:
                row = db.execute(
                    "SELECT begun FROM conversations WHERE name = ? AND conversation = ?",
                    (name, conversation),
                ).fetchone()
        except sqlite3.Error as error:
            logger.warning("what was shown is not known: %s", error)
            return None
        return None if row is None else int(row[0])

    def claim(
        self, name: str, conversation: str, seqs: Sequence[int], way: str, now_ms: int
    ) -> list[int]:
        """Note that messages are shown now; return those that were not shown before.

        Of several who claim one at once, one gets it.
        """
        fresh = []
        try:
            with self._mutex, closing(self._connect()) as db:
                db.execute("BEGIN IMMEDIATE")
                for seq in seqs:
                    done = db.execute(
                        "INSERT OR IGNORE INTO shown VALUES (?, ?, ?, ?, ?)",
                        (seq, name, conversation, way, now_ms),
                    )
                    if done.rowcount == 1:
                        fresh.append(seq)
                db.execute("COMMIT")
        except sqlite3.Error as error:
            logger.warning("what was shown is not known: %s", error)
            return list(seqs)
        return fresh

    def disclaim(self, name: str, conversation: str, seqs: Sequence[int]) -> None:
        """Note that messages were not shown after all."""
        try:
            with self._mutex, closing(self._connect()) as db:
                for seq in seqs:
                    db.execute(
                        "DELETE FROM shown WHERE seq = ? AND name = ? AND conversation = ?",
                        (seq, name, conversation),
                    )
        except sqlite3.Error as error:
            logger.warning("what was shown is not known: %s", error)

    def of_message(self, seq: int) -> list[Shown]:
        """Return where a message was shown, in order."""
        try:
            with closing(self._connect()) as db:
                rows = db.execute(
                    "SELECT name, way, ms FROM shown WHERE seq = ? ORDER BY ms", (seq,)
                ).fetchall()
        except sqlite3.Error:
            return []
        return [Shown(*row) for row in rows]

    def _connect(self) -> sqlite3.Connection:
        modes.make_file(self._path)
        db = sqlite3.connect(self._path, timeout=0.05, isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = OFF")
        db.executescript(_SCHEMA)
        return db
