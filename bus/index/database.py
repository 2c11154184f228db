"""The index file: opening it, bringing it up to the log, and rebuilding it when it is in doubt.

`catch_up` is the only road from the log to the index: at a start, after a crash, in every worker
and in every command. It is in doubt, and rebuilt, when the file is damaged, of another schema, or
speaks of records that the log does not hold (a power cut took them, or an older log was put back).
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from bus.errors import Rebuilding, TooCostly, Unavailable
from bus.index import place as places
from bus.index import unique_keys
from bus.index.building import CHUNK, SCHEMA, Progress, Source, apply_chunk, build
from bus.index.limits import LongQuestions, bounded
from bus.index.weights import STEP_US
from bus.model.records import START, Record
from bus.system import hurry, modes, transient
from bus.system.scheduler import Turns

logger = logging.getLogger("bus.index")

# Records: more than this is caught up in the background, and callers are told so
_FAR_BEHIND = 20_000
_PATIENCE_S = 1.0  # at a start, for another worker that is opening the same file
_WAIT_S = 2.0  # for another process that is catching up
_AT_ONCE_S = 0.004  # a question that takes longer is asked anew beside the requests

T = TypeVar("T")


class Index:
    """A SQLite file that knows the log up to some place. One connection a process, used by one
    thread at a time.

    No question takes longer than `query_max_s`; catching up may.
    """

    def __init__(
        self, path: Path, source: Source, turns: Turns | None = None, query_max_s: float = 30
    ) -> None:
        self.path = path
        self._source = source
        self._turns = turns or Turns()
        self._query_max_s = query_max_s
        self._long = LongQuestions(path, self._turns)
        self._mutex = threading.RLock()
        self._db: sqlite3.Connection | None = None
        self._inode = 0
        self._known = START
        self._is_full = False
        self._rebuilding = ""
        # Not thread-local: a rebuild may begin in one thread and end in another.
        self._exclusive = FileLock(
            path.with_suffix(".lock"), timeout=0, mode=modes.FILE, thread_local=False
        )
        with suppress(Unavailable):
            self._open(_PATIENCE_S)

    # -- reading ---------------------------------------------------------------------------------

    def ask(self, question: Callable[[sqlite3.Connection], T], is_long: bool = False) -> T:
        """Return the answer to a question that may cost much; caught up with the log. Raises
        Rebuilding, TooCostly, Busy.

        What is not answered in a moment is asked again beside the requests, where it holds up only
        other long ones; with `is_long` it is not tried first. So a question must change nothing,
        and ask nothing but the connection.
        """
        try:
            with self.reading(_AT_ONCE_S) as db:
                if not is_long:
                    return question(db)
        except TooCostly:
            if self._query_max_s <= _AT_ONCE_S:
                raise
        hurry.check()
        try:
            return self._long.answer(question, hurry.left(self._query_max_s))
        except FileNotFoundError:
            raise Rebuilding("The index is being rebuilt.") from None
        except sqlite3.DatabaseError as error:
            with self._mutex:
                self._doubt(error)
            raise

    @contextmanager
    def reading(self, within_s: float = 0) -> Iterator[sqlite3.Connection]:
        """A connection with one consistent view, caught up with the log; raises Rebuilding,
        TooCostly.
        """
        self.catch_up()
        with self.as_is(within_s) as db:
            yield db

    @contextmanager
    def as_is(self, within_s: float = 0) -> Iterator[sqlite3.Connection]:
        """The same without catching up first: as of the last `catch_up` by any process."""
        with self._mutex:
            db = self.connection()
            try:
                db.execute("BEGIN")
                longest_s = min(within_s or self._query_max_s, self._query_max_s)
                with bounded(db, hurry.left(longest_s)):
                    yield db
            except sqlite3.DatabaseError as error:
                self._doubt(error)
            finally:
                if db.in_transaction:
                    db.rollback()

    def lag(self) -> int:
        """Return how many records of the log are not known here yet."""
        return max(0, self._source.position().seq - self._known.seq)

    def records_of_unique(self, keys: Collection[str]) -> dict[str, Record]:
        """Return the records with these unique keys (see `records.unique_key`), as far as
        `known_to`.
        """
        with self.as_is() as db:
            return unique_keys.records_of(db, keys)

    def known_to(self) -> int:
        """Return the seq up to which every record is known here; 0 while there is no usable
        index.
        """
        return self._known.seq

    # -- catching up -----------------------------------------------------------------------------

    def catch_up(self, *, wait: bool = True, at_most: int = 0) -> bool:
        """Apply what the log has and the index has not, or `at_most` so many records. Raises
        Rebuilding, and TooLate where there is a hurry.

        Others have their turns between the steps, and each step takes 20 ms or so, however heavy
        the records are. Gives up, with False, when the disk is full or another process holds the
        index for over two seconds: the index then answers as of before, and `lag` says so. With
        `wait=False` it gives up at once.
        """
        with self._mutex:
            self.connection()
            target = self._source.position().seq
            if at_most:
                target = min(target, self._known.seq + 1)
        deadline = time.monotonic() + (_WAIT_S if wait else 0)
        while self._known.seq < target:
            hurry.check()
            before = self._known
            if not self._step(at_most or CHUNK):
                if time.monotonic() >= deadline or self._is_full:
                    return False
                time.sleep(0.001)
            elif self._known == before:
                # The last lines of the log are damaged, so it gives less than it counts
                return True
            elif self._known.seq < target:
                self._turns.one_round()
        return True

    def _step(self, size: int) -> bool:
        """Apply some records; gives False where the disk is full or another process holds the
        index.
        """
        with self._mutex:
            try:
                self._apply_some(self.connection(), size)
            except sqlite3.OperationalError as error:
                if not _is_passing(error):
                    self._doubt(error)
                self._is_full = _is_full(error)
                return False
            except sqlite3.DatabaseError as error:
                self._doubt(error)
            return True

    def _apply_some(self, db: sqlite3.Connection, size: int) -> None:
        if (known := places.read(db)).seq >= self._source.position().seq:
            self._known = known
            return
        db.execute("BEGIN IMMEDIATE")
        try:
            self._known = apply_chunk(db, self._source, size, STEP_US)
        except BaseException:
            db.rollback()
            raise

    # -- opening ---------------------------------------------------------------------------------

    def connection(self) -> sqlite3.Connection:
        """Return the connection to the present file; raises Rebuilding while there is no usable
        one.
        """
        if self._rebuilding:
            raise Rebuilding(self._rebuilding)
        if self._db is None or _inode(self.path) != self._inode:
            self._open()
        assert self._db is not None
        return self._db

    def _open(self, patience_s: float = 0) -> None:
        self._drop()
        try:
            self._exclusive.acquire(timeout=patience_s, poll_interval=0.01)
        except Timeout:
            raise Rebuilding("Another process is rebuilding the index.") from None
        except OSError as error:
            if transient.is_passing(error):
                raise Unavailable(
                    f"The index cannot be opened now: {transient.why(error)}."
                ) from error
            raise
        release = True
        try:
            doubt = self._why_in_doubt()
            if doubt is None:
                return
            self._drop()
            behind = self._source.position().seq
            if self.path.exists():
                logger.warning(
                    "the index is in doubt (%s): rebuilding it from %d records", doubt, behind
                )
            if behind <= _FAR_BEHIND:
                self._rebuild()
            else:
                release = False
                self._rebuilding = f"The index is being rebuilt: {doubt}."
                self._turns.beside(self._rebuild_and_release)
        finally:
            if release:
                self._exclusive.release()
        if self._rebuilding:
            raise Rebuilding(self._rebuilding)

    def _why_in_doubt(self) -> str | None:
        """None, and an open connection, when the file is good; else what is wrong with it."""
        if not self.path.exists():
            return "there is none"
        if not os.access(self.path, os.W_OK):
            # SQLite would open it, and never catch up
            return "another user made it for itself alone"
        try:
            db = self._connect()
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version != SCHEMA:
                return f"its schema is {version}, not {SCHEMA}"
            place = places.read(db)
        except sqlite3.DatabaseError as error:
            if transient.is_passing(error) and self.path.is_file():
                self._drop()
                raise Unavailable(f"The index cannot be opened now: {error}.") from error
            return str(error)
        if not self._source.holds(place):
            return f"it speaks of record {place.seq}, which the log does not hold"
        self._known = place
        return None

    def _connect(self) -> sqlite3.Connection:
        modes.make_file(self.path)
        # timeout=0: waiting is done here, so that it can be bounded and does not stop other
        # requests.
        self._db = db = sqlite3.connect(
            self.path, timeout=0, isolation_level=None, check_same_thread=False
        )
        self._inode = _inode(self.path)
        db.execute("PRAGMA journal_mode = WAL")
        # NORMAL: after a power cut the file is whole, perhaps a little behind; the log catches it
        # up.
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA cache_size = -8192")
        # In pages, 16 MB. A checkpoint syncs, and whoever's record brings it on waits for that:
        # with SQLite's 1,000 pages one in a hundred posts did while a stream was read.
        db.execute("PRAGMA wal_autocheckpoint = 4000")
        return db

    def _drop(self) -> None:
        if self._db is not None:
            self._db.close()
        self._db, self._known = None, START

    def close(self) -> None:
        """Close the connections."""
        with self._mutex:
            self._drop()
        self._long.close()

    # -- rebuilding it --------------------------------------------------------------------------

    def rebuild(self, progress: Progress | None = None) -> int:
        """Rebuild the index from the log, whatever state it is in; returns how many records were
        applied.

        Raises Rebuilding when another process is doing so.
        """
        with self._mutex:
            self._drop()
            try:
                self._exclusive.acquire()
            except Timeout:
                raise Rebuilding("Another process is rebuilding the index.") from None
            try:
                return self._rebuild(progress)
            finally:
                self._exclusive.release()

    def _rebuild(self, progress: Progress | None = None) -> int:
        scratch = self.path.with_suffix(".db.new")
        scratch.unlink(missing_ok=True)
        place = build(scratch, self._source, progress or self._say)
        # The old WAL must not meet the new file. Nobody else opens it meanwhile: `_exclusive` is
        # held.
        for name in (self.path, *(Path(f"{self.path}{ending}") for ending in ("-wal", "-shm"))):
            name.unlink(missing_ok=True)
        os.replace(scratch, self.path)
        self._connect()
        self._known = place
        return place.seq

    def _rebuild_and_release(self) -> None:
        try:
            started = time.monotonic()
            count = self._rebuild()
            logger.warning(
                "the index was rebuilt: %d records in %.1f s", count, time.monotonic() - started
            )
        except BaseException:
            logger.exception("rebuilding the index failed")
            raise
        finally:
            self._rebuilding = ""
            self._exclusive.release()

    def _say(self, done: int, total: int) -> None:
        if self._rebuilding:
            self._rebuilding = f"The index is being rebuilt: {done} of {total} records are done."
            if done % 100_000 < CHUNK:
                logger.warning("%s", self._rebuilding)

    def _doubt(self, error: sqlite3.DatabaseError) -> None:
        """Answer an error of SQLite's: passing trouble as it is, anything else by making the index
        anew.
        """
        if isinstance(error, sqlite3.OperationalError) and _is_passing(error):
            raise error
        if isinstance(error, (sqlite3.ProgrammingError, sqlite3.IntegrityError)):
            raise error  # a defect of ours; a new index would have it again
        logger.error("the index is damaged: %s", error)
        self._drop()
        self.path.unlink(missing_ok=True)
        raise Rebuilding("The index was found damaged and is being rebuilt.") from error


def _inode(path: Path) -> int:
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return -1


def _is_passing(error: sqlite3.OperationalError) -> bool:
    is_held = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    return is_held or _is_full(error) or transient.is_passing(error)


def _is_full(error: sqlite3.OperationalError) -> bool:
    return error.sqlite_errorcode & 0xFF in (
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
    )
