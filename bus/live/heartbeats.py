"""When names last gave a sign of life, and what they said of their turn: news, not history.

They lie in `presence.db`, so that they survive a restart and all workers see them. Losing them
costs no more than the time until the next heartbeat; a fault is logged and otherwise ignored.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

from bus.live import news

logger = logging.getLogger("bus.live.heartbeats")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS heartbeats (
    name TEXT PRIMARY KEY,
    ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS turns (
    name TEXT PRIMARY KEY,
    turn TEXT NOT NULL,
    began INTEGER,                        -- when what tells it began, by the teller's clock
    ms INTEGER NOT NULL
) WITHOUT ROWID;
"""
_FRESH_MS = 2_000  # a sign of life that says nothing of a turn is written once in so long
# Hooks end within 2 seconds, so what is later than this is no race: the teller's clock was set.
_CROSSES_MS = 5_000
_KEPT_MS, _TRIMMED_EVERY = 30 * 86_400_000, 1_000
_REMEMBERED = 20_000  # names known to be noted already

T = TypeVar("T")


class Sign(NamedTuple):
    """The last sign of life: Unix milliseconds, and the turn where one was reported."""

    ms: int
    turn: str | None


class Heartbeats:
    """Notes and tells signs of life."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mutex = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._count = 0
        self._noted: dict[str, int] = {}

    def note(
        self, name: str, now_ms: int, turn: str | None = None, began_ms: int | None = None
    ) -> None:
        """A name gave a sign of life. No turn leaves what was reported before.

        Reports may cross: one that began before the last one began (`began_ms`, Unix milliseconds)
        and comes within 5 seconds after it says nothing of the turn.
        """
        if turn is not None:  # always written: another worker may have written another one
            self._note_turn(name, now_ms, turn, began_ms)
        noted = self._noted.get(name)
        if noted is not None and 0 <= now_ms - noted < _FRESH_MS:
            return
        if len(self._noted) > _REMEMBERED:
            self._noted.clear()
        self._noted[name] = now_ms
        self._count += 1
        if self._count % _TRIMMED_EVERY == 0:
            self._delete("ms < ?", now_ms - _KEPT_MS)
        self._ask(
            lambda db: db.execute(
                "INSERT INTO heartbeats (name, ms) VALUES (?1, ?2)"
                " ON CONFLICT (name) DO UPDATE SET ms = ?2",
                (name, now_ms),
            ),
            None,
        )

    def _note_turn(self, name: str, now_ms: int, turn: str, began_ms: int | None) -> None:
        self._ask(
            lambda db: db.execute(
                "INSERT INTO turns VALUES (?1, ?2, ?3, ?4) ON CONFLICT (name) DO UPDATE SET"
                " turn = ?2, began = ?3, ms = ?4 WHERE ?3 IS NULL OR began IS NULL OR began <= ?3"
                " OR ?4 NOT BETWEEN ms AND ms + ?5",
                (name, turn, began_ms, now_ms, _CROSSES_MS),
            ),
            None,
        )

    def forget(self, name: str) -> None:
        """The process of a name has ended: it gives no more signs."""
        self._noted.pop(name, None)
        self._delete("name = ?", name)

    def _delete(self, where: str, value: str | int) -> None:
        for table in ("heartbeats", "turns"):
            sql = f"DELETE FROM {table} WHERE {where}"
            self._ask(lambda db, sql=sql: db.execute(sql, (value,)), None)  # type: ignore[misc]

    def last(self, name: str) -> Sign | None:
        """Return a name's last sign of life."""
        return self._ask(
            lambda db: next(
                (
                    Sign(*row)
                    for row in db.execute(
                        "SELECT heartbeats.ms, turns.turn FROM heartbeats"
                        " LEFT JOIN turns USING (name) WHERE name = ?",
                        (name,),
                    )
                ),
                None,
            ),
            None,
        )

    def all(self, after: str = "", until: str = "\U0010ffff") -> dict[str, int]:
        """Return the last sign of life (Unix milliseconds) of each name behind `after` and before
        `until`.
        """
        none: dict[str, int] = {}
        return self._ask(
            lambda db: dict(
                db.execute(
                    "SELECT name, ms FROM heartbeats WHERE name > ? AND name < ?", (after, until)
                )
            ),
            none,
        )

    def close(self) -> None:
        """Close the file."""
        with self._mutex:
            if self._db is not None:
                self._db.close()
                self._db = None

    def _ask(self, question: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        with self._mutex:
            try:
                return question(self._connection())
            except sqlite3.Error as error:
                logger.warning("signs of life could not be noted or read: %s", error)
                return otherwise

    def _connection(self) -> sqlite3.Connection:
        if self._db is None:
            self._db = news.connect(self._path, _SCHEMA)
        return self._db
