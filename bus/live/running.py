"""When the hub ran: news, not history.

A silence that fell while the hub was away is nobody's. So the process that leads notes at each of
its rounds that the hub runs; a gap between two notes was a time in which it did not. A jump of the
clock looks the same, and is taken for the same. If this file is lost, nothing from before counts.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from bus.live import news

logger = logging.getLogger("bus.live.running")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    began_ms INTEGER PRIMARY KEY,
    until_ms INTEGER NOT NULL
) WITHOUT ROWID;
"""
GAP_MS = 5_000  # a new leader is there within a second
_KEPT_MS = 40 * 86_400_000
_MOST = 5_000

T = TypeVar("T")


class Running:
    """Notes and tells when the hub ran. Times are Unix milliseconds."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mutex = threading.Lock()
        self._db: sqlite3.Connection | None = None

    def note(self, now_ms: int) -> None:
        """The hub runs now."""
        self._ask(lambda db: _note(db, now_ms), None)

    def ran_ms(self, from_ms: int, until_ms: int) -> int:
        """Return for how long the hub ran between two times, as far as that is known."""
        sql = (
            "SELECT coalesce(sum(max(0, min(until_ms, ?2) - max(began_ms, ?1))), 0) FROM runs"
            " WHERE until_ms > ?1 AND began_ms < ?2"
        )
        return self._ask(lambda db: int(db.execute(sql, (from_ms, until_ms)).fetchone()[0]), 0)

    def _ask(self, question: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        with self._mutex:
            try:
                if self._db is None:
                    self._db = news.connect(self._path, _SCHEMA)
                return question(self._db)
            except sqlite3.Error as error:
                logger.warning("when the hub ran could not be noted or read: %s", error)
                return otherwise


def _note(db: sqlite3.Connection, now_ms: int) -> None:
    db.execute("DELETE FROM runs WHERE began_ms > ?", (now_ms,))  # the clock was set back
    last = db.execute(
        "SELECT began_ms, until_ms FROM runs ORDER BY began_ms DESC LIMIT 1"
    ).fetchone()
    if last is not None and now_ms - last[1] <= GAP_MS:
        db.execute("UPDATE runs SET until_ms = ? WHERE began_ms = ?", (now_ms, last[0]))
        return
    db.execute("INSERT OR IGNORE INTO runs VALUES (?1, ?1)", (now_ms,))
    db.execute(
        "DELETE FROM runs WHERE until_ms < ? OR began_ms < coalesce((SELECT began_ms FROM runs"
        " ORDER BY began_ms DESC LIMIT 1 OFFSET ?), 0)",
        (now_ms - _KEPT_MS, _MOST),
    )
