"""How long a question to the index may take, and where a long one is answered.

While SQLite works, nothing else in a gevent worker does. So a question is given a moment on the
worker's own connection; one that needs more is asked anew in a thread, where SQLite lets the others
go on, and there too it is stopped in time.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from bus.errors import Busy, TooCostly
from bus.system import hurry
from bus.system.scheduler import Turns

T = TypeVar("T")
_STEPS = 1_000  # of SQLite's machine between two looks at the clock
_WAIT_S = 5.0  # for other long questions


@contextmanager
def bounded(db: sqlite3.Connection, seconds: float) -> Iterator[None]:
    """What is asked of the connection in the block is stopped after so long; raises TooCostly."""
    deadline = time.monotonic() + seconds
    db.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        raise TooCostly(f"Looking for this was stopped after {seconds * 1000:g} ms.") from None
    finally:
        db.set_progress_handler(None, 0)


class LongQuestions:
    """A second connection, which only reads, for one long question at a time, with a rest as long
    as each before the next.
    """

    def __init__(self, path: Path, turns: Turns) -> None:
        self._path, self._turns = path, turns
        self._mutex = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._inode = -1
        self._rested_at = 0.0

    def answer(self, question: Callable[[sqlite3.Connection], T], within_s: float) -> T:
        """Return the answer, from a thread where there are such; raises TooCostly, and Busy when
        others are before it for too long.
        """
        if not self._mutex.acquire(timeout=hurry.left(_WAIT_S)):
            raise Busy(
                "Too many long searches are under way.", hint="Try again shortly, or ask for less."
            )
        found: list[T] = []
        failed: list[Exception] = []

        def job() -> None:
            try:
                found.append(self._answer(question, within_s))
            except Exception as error:  # gevent would print it for each question that is stopped
                failed.append(error)

        try:
            # Whoever asks long questions without end has half of a processor at most.
            pause = max(0.0, self._rested_at - time.monotonic())
            if hurry.left(pause) < pause:
                raise hurry.TooLate
            time.sleep(pause)
            began = time.monotonic()
            try:
                self._turns.block(job)
            finally:
                self._rested_at = 2 * time.monotonic() - began
        finally:
            self._mutex.release()
        if failed:
            raise failed[0]
        return found[0]

    def close(self) -> None:
        """Close the connection, once no question uses it."""
        with self._mutex:
            if self._db is not None:
                self._db.close()
                self._db = None

    def _answer(self, question: Callable[[sqlite3.Connection], T], within_s: float) -> T:
        db = self._connection()
        db.execute("BEGIN")
        try:
            with bounded(db, within_s):
                return question(db)
        finally:
            if db.in_transaction:
                db.rollback()

    def _connection(self) -> sqlite3.Connection:
        inode = os.stat(self._path).st_ino
        if self._db is None or inode != self._inode:
            if self._db is not None:
                self._db.close()
            place = f"{self._path.absolute().as_uri()}?mode=ro"
            self._db = sqlite3.connect(
                place, uri=True, isolation_level=None, check_same_thread=False
            )
            self._inode = inode
        return self._db
