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

from bus.live import news
from bus.system import hurry

logger = logging.getLogger("bus.live.shown")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS conversations (
    name TEXT NOT NULL,
    conversation TEXT NOT NULL,
    owner TEXT NOT NULL,
    begun INTEGER NOT NULL,
    ms INTEGER NOT NULL,
    PRIMARY KEY (name, conversation)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS conversations_of_owner ON conversations (owner, ms);
CREATE TABLE IF NOT EXISTS shown (
    name TEXT NOT NULL,
    conversation TEXT NOT NULL,
    seq INTEGER NOT NULL,
    way TEXT NOT NULL,
    ms INTEGER NOT NULL,
    PRIMARY KEY (name, conversation, seq)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS shown_of_message ON shown (seq);
CREATE TABLE IF NOT EXISTS looks (
    name TEXT NOT NULL,
    conversation TEXT NOT NULL,
    ms INTEGER NOT NULL,
    PRIMARY KEY (name, conversation)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS bypassing (
    name TEXT PRIMARY KEY,
    ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS in_context (
    seq INTEGER NOT NULL,
    name TEXT NOT NULL,
    way TEXT NOT NULL,
    ms INTEGER NOT NULL,
    PRIMARY KEY (seq, name)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS in_context_by_time ON in_context (ms);
"""
_WAITS_S = 0.05  # for another worker's note, at most
_KEPT_MS = 7 * 86_400_000
# Of one credential: three hundred sessions that clear a few times fit, and a member that makes up
# conversations fills no disk.
_MOST = 1_000
_MOST_SHOWN = 2_000  # of one conversation
_PROOF_KEPT_MS = 90 * 86_400_000


class Shown(NamedTuple):
    """That a message stood in a conversation of `name`: by which way, and when (Unix ms)."""

    name: str
    way: str
    ms: int


class ShownMail:
    """Remembers it for all workers."""

    def __init__(self, path: Path) -> None:
        self._path, self._mutex = path, threading.Lock()

    def begin(self, owner: str, name: str, conversation: str, seq: int, now_ms: int) -> None:
        """Note that a conversation has begun: up to `seq` it knows what waits.

        The oldest conversations of the same owner, a credential, are forgotten.
        """
        try:
            with self._mutex, closing(self._connect()) as db:
                db.execute("BEGIN IMMEDIATE")
                db.execute(
                    "INSERT OR REPLACE INTO conversations VALUES (?, ?, ?, ?, ?)",
                    (name, conversation, owner, seq, now_ms),
                )
                old = db.execute(
                    "SELECT name, conversation FROM (SELECT name, conversation, ms FROM"
                    " conversations WHERE owner = ? ORDER BY ms DESC LIMIT -1 OFFSET ?)"
                    " UNION SELECT name, conversation FROM conversations"
                    " WHERE owner = ? AND ms < ?",
                    (owner, _MOST, owner, now_ms - _KEPT_MS),
                ).fetchall()
                for table in ("conversations", "shown"):
                    db.executemany(
                        f"DELETE FROM {table} WHERE name = ?1"
                        " AND conversation IN (?2, ?2 || ' channel')",
                        old,
                    )
                db.execute(
                    "DELETE FROM shown WHERE name = ? AND conversation = ? AND seq <= (SELECT seq"
                    " FROM shown WHERE name = ? AND conversation = ? ORDER BY seq DESC"
                    " LIMIT 1 OFFSET ?)",
                    (name, conversation, name, conversation, _MOST_SHOWN),
                )
                db.execute("COMMIT")
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

    def known(self, name: str, conversation: str) -> set[int]:
        """Return the seqs of what was shown to a conversation."""
        try:
            with closing(self._connect()) as db:
                rows = db.execute(
                    "SELECT seq FROM shown WHERE name = ? AND conversation = ?",
                    (name, conversation),
                ).fetchall()
        except sqlite3.Error as error:
            logger.warning("what was shown is not known: %s", error)
            return set()
        return {seq for (seq,) in rows}

    def claim(
        self, name: str, conversation: str, seqs: Sequence[int], way: str, now_ms: int
    ) -> list[int]:
        """Note that messages are shown now; return those that were not shown before.

        Of several who claim one at once, one gets it. Raises TooLate if there is a hurry and
        others hold the file: then nothing is noted.
        """
        fresh = []
        try:
            with self._mutex, closing(self._connect()) as db:
                db.execute("BEGIN IMMEDIATE")
                for seq in seqs:
                    done = db.execute(
                        "INSERT OR IGNORE INTO shown VALUES (?, ?, ?, ?, ?)",
                        (name, conversation, seq, way, now_ms),
                    )
                    if done.rowcount == 1:
                        fresh.append(seq)
                db.execute("COMMIT")
        except sqlite3.Error as error:
            if hurry.is_on() and _is_held(error):
                raise hurry.TooLate from None
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

    def may_look(self, name: str, conversation: str, now_ms: int, every_ms: int) -> bool:
        """Return whether the last look of a conversation is so long ago, or there was none."""
        try:
            with closing(self._connect()) as db:
                row = db.execute(
                    "SELECT ms FROM looks WHERE name = ? AND conversation = ?", (name, conversation)
                ).fetchone()
        except sqlite3.Error:
            return True
        return row is None or not 0 <= now_ms - row[0] < every_ms

    def note_look(self, name: str, conversation: str, now_ms: int, every_ms: int) -> None:
        """Note that a conversation has looked; what no longer matters is forgotten."""
        try:
            with self._mutex, closing(self._connect()) as db:
                db.execute("DELETE FROM looks WHERE ms <= ?", (now_ms - every_ms,))
                db.execute(
                    "INSERT OR REPLACE INTO looks VALUES (?, ?, ?)", (name, conversation, now_ms)
                )
        except sqlite3.Error as error:
            logger.warning("when a session looked for mail is not known: %s", error)

    def note_bypass(self, name: str, is_bypass: bool, now_ms: int) -> None:
        """Note whether a session is in bypass mode."""
        if not is_bypass and not self.is_bypass(name):
            return
        try:
            with self._mutex, closing(self._connect()) as db:
                db.execute(
                    "DELETE FROM bypassing WHERE name = ? OR ms < ?", (name, now_ms - _KEPT_MS)
                )
                if is_bypass:
                    db.execute("INSERT OR REPLACE INTO bypassing VALUES (?, ?)", (name, now_ms))
        except sqlite3.Error as error:
            logger.warning("in which mode a session is, is not known: %s", error)

    def is_bypass(self, name: str) -> bool:
        """Return whether a session is in bypass mode, as far as it is known."""
        try:
            with closing(self._connect()) as db:
                row = db.execute("SELECT 1 FROM bypassing WHERE name = ?", (name,)).fetchone()
        except sqlite3.Error as error:
            logger.warning("in which mode a session is, is not known: %s", error)
            return True  # the careful answer
        return row is not None

    def of_message(self, seq: int) -> list[Shown]:
        """Return where a message was shown, in order."""
        return self._rows("shown", seq)

    def note_context(self, name: str, seq: int, way: str, now_ms: int) -> None:
        """Note that it is proven that a message stood in a context of `name`; the first time
        counts.
        """
        try:
            with self._mutex, closing(self._connect()) as db:
                db.execute(
                    "INSERT OR IGNORE INTO in_context VALUES (?, ?, ?, ?)", (seq, name, way, now_ms)
                )
                db.execute("DELETE FROM in_context WHERE ms < ?", (now_ms - _PROOF_KEPT_MS,))
        except sqlite3.Error as error:
            logger.warning("what was in a context is not known: %s", error)

    def in_context(self, seq: int) -> list[Shown]:
        """Return in whose context a message is proven to have stood, by which use, in order."""
        return self._rows("in_context", seq)

    def _rows(self, table: str, seq: int) -> list[Shown]:
        try:
            with closing(self._connect()) as db:
                rows = db.execute(
                    f"SELECT name, way, ms FROM {table} WHERE seq = ? ORDER BY ms", (seq,)
                ).fetchall()
        except sqlite3.Error:
            return []
        return [Shown(*row) for row in rows]

    def _connect(self) -> sqlite3.Connection:
        db = news.connect(self._path, _SCHEMA)
        if hurry.is_on():
            db.execute(f"PRAGMA busy_timeout = {hurry.left(_WAITS_S) * 1000:.0f}")
        return db


def _is_held(error: sqlite3.Error) -> bool:
    """Return whether another process holds the file."""
    return getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
