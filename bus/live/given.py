"""To which of its sessions a machine's mail was given: so that three sessions do not do one task.

News, not history: it lies in `presence.db`. If it is lost, mail is given once more.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from bus.live import news

logger = logging.getLogger("bus.live.given")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS given (
    machine TEXT NOT NULL,
    seq INTEGER NOT NULL,
    session TEXT NOT NULL,
    ms INTEGER NOT NULL,
    PRIMARY KEY (machine, seq)
) WITHOUT ROWID
"""
_KEPT_MS = 7 * 86_400_000


class Holder(NamedTuple):
    """The session that a message was given to, and when (Unix milliseconds)."""

    session: str
    ms: int


class Given:
    """Gives each message of a machine to one session at a time: to the first that reads it, and,
    after `again_s` or if that session has gone, to the next that does.
    """

    def __init__(self, path: Path, again_s: int) -> None:
        self._path, self._again_ms = path, again_s * 1000
        self._mutex = threading.Lock()

    def give(
        self,
        session: str,
        seqs: Sequence[int],
        now_ms: int,
        is_there: Callable[[str], bool],
    ) -> dict[int, Holder]:
        """Give what is free of a machine's messages to a session; return who has each of them."""
        machine, found = session.partition("/")[0], {}
        try:
            with self._mutex, closing(self._connect()) as db:
                for seq in seqs:
                    found[seq] = self._give(db, machine, seq, session, now_ms, is_there)
        except sqlite3.Error as error:
            logger.warning("it is not known who has a machine's mail: %s", error)
        return found

    def _give(
        self,
        db: sqlite3.Connection,
        machine: str,
        seq: int,
        session: str,
        now_ms: int,
        is_there: Callable[[str], bool],
    ) -> Holder:
        db.execute("BEGIN IMMEDIATE")
        try:
            row = db.execute(
                "SELECT session, ms FROM given WHERE machine = ? AND seq = ?", (machine, seq)
            ).fetchone()
            holder = Holder(session, now_ms) if row is None else Holder(*row)
            is_over = now_ms - holder.ms > self._again_ms or not is_there(holder.session)
            if holder.session != session and is_over:
                holder = Holder(session, now_ms)
            if row is None or holder.session != row[0]:
                db.execute(
                    "INSERT OR REPLACE INTO given VALUES (?, ?, ?, ?)", (machine, seq, *holder)
                )
                db.execute(
                    "DELETE FROM given WHERE machine = ? AND ms < ?", (machine, now_ms - _KEPT_MS)
                )
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise
        return holder

    def _connect(self) -> sqlite3.Connection:
        return news.connect(self._path, _SCHEMA)
