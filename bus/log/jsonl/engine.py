"""The log as JSON lines in files: the engine that the hub uses.

    data/bus.jsonl          the active file          data/run/append.lock   who may write
    data/bus-<seq>.jsonl    sealed files             data/run/sync.lock     who may sync
    data/quarantine/        bytes set aside          data/run/state         how far both have come

An append takes the append lock, looks at what others wrote since (and heals what a killed one left
torn), writes one block of whole lines, and lets go. Then it takes the sync lock, unless a sync that
began after its write has been done by another meanwhile. The file never shrinks: an offset that was
once "synced up to here" must never come to hold other bytes (a truncated tail gave an
acknowledgement without a sync).
"""

from __future__ import annotations

import errno
import logging
import os
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from bus.errors import Busy, NoRoom, Unconfirmed
from bus.log.base import Appended, Draft, NothingKnown, UniqueIndex
from bus.log.jsonl import files, healing
from bus.log.jsonl.disk import Disk
from bus.log.jsonl.group import GroupCommit
from bus.log.jsonl.keys import KnownKeys
from bus.log.jsonl.locks import FileLock, Mark, SharedState
from bus.log.jsonl.reading import Reader, Tail
from bus.log.jsonl.syncing import Sync
from bus.model import records
from bus.model.records import START, Position, Record
from bus.system import modes, transient
from bus.system.scheduler import Turns

logger = logging.getLogger("bus.log")

_LEAST_ROOM = 128 * 1024  # bytes
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class _Block(NamedTuple):
    """Lines for one write, and what is true of the log behind them."""

    data: bytes
    seq: int
    sum: str
    fresh: dict[str, Record]


class JsonlLog:
    """See `bus.log.base` for the promises.

    Any number of processes may have one on the same folder.
    """

    def __init__(
        self,
        folder: Path,
        *,
        fsync: bool = True,
        lock_timeout_s: float = 5.0,
        segment_max_bytes: int = 64 << 20,
        segment_max_age_s: float = 0,
        on_sealed: Callable[[Path], None] | None = None,
        on_synced: Callable[[float], None] = lambda seconds: None,
        disk: Disk | None = None,
        turns: Turns | None = None,
        clock: Callable[[], float] = time.time,
        key_of: Callable[[Record], str | None] = records.unique_key,
    ) -> None:
        """`key_of` returns the unique key of a record that is read back from the files."""
        self.folder = folder
        self._active_path = str(folder / files.ACTIVE)
        self.unique_index: UniqueIndex = NothingKnown()
        self._fsync, self._clock = fsync, clock
        self._lock_timeout_s = lock_timeout_s
        self._max_bytes, self._max_age_s = segment_max_bytes, segment_max_age_s
        self._on_sealed, self._on_synced = on_sealed, on_synced
        self._disk, self._turns = disk or Disk(), turns or Turns()
        self._tail: Tail | None = None
        self._reader = Reader(folder, lambda: self._state, lambda: self._tail)
        self._keys = KnownKeys(key_of, self._lines_after)
        self._closed = False
        self._open()
        reopen = weakref.WeakMethod(self._reopen_after_fork)
        os.register_at_fork(after_in_child=lambda: (method := reopen()) and method())

    # -- the promises ----------------------------------------------------------------------------

    def append(self, drafts: Sequence[Draft]) -> list[Appended]:
        return self._group.append(drafts)

    def read(self, after: Position = START) -> Iterator[tuple[Position, Record]]:
        return self._reader.read(after)

    def position(self) -> Position:
        mark = self._state.synced
        return Position(mark.seq, f"{mark.segment}:{mark.size}:")

    def holds(self, position: Position) -> bool:
        return self._reader.holds(position)

    def has_room(self) -> bool:
        """Return whether a record of the largest size fits on the disk; a quota is not seen."""
        try:
            disk = os.statvfs(self.folder)
        except OSError:
            return True
        return disk.f_bavail * disk.f_frsize >= _LEAST_ROOM

    def failed(self) -> bool:
        return self._state.failed != 0

    def close(self) -> None:
        self._append_lock.close()
        self._sync_lock.close()
        self._state.close()
        self._closed = True

    def restore(self) -> bool:
        """Lift the stop that a failed write or sync left, after verifying the log; returns whether
        there was one.
        """
        if not self._state.failed:
            return False
        with self._append_lock, self._sync_lock:
            return healing.restore(self.folder, self._state, self._disk)

    def take_in_rest(self) -> None:
        """Make whole lines behind the known end durable and known: of a killed process, or of a log
        put back while none ran.
        """
        with self._append_lock:
            tail, end = self._refreshed_tail(), self._state.written
        self._sync.up_to(end, tail)

    # -- committing ------------------------------------------------------------------------------

    def _commit(self, batch: list[list[Draft]]) -> list[list[Appended]]:
        with self._append_lock:
            self._sync.refuse_if_failed()
            tail = self._refreshed_tail()
            if self._is_full(tail):
                tail = self._sealed_and_renewed(tail)
            results, block = self._encoded(batch, tail)
            if block.data:
                self._write(tail, block)
            # A replay may be of a record that nobody has synced yet, so it waits for the sync as
            # well.
            end = self._state.written
        self._sync.up_to(end, tail)
        return results

    def _encoded(self, batch: list[list[Draft]], tail: Tail) -> tuple[list[list[Appended]], _Block]:
        """Results for every draft, and the block that makes them true."""
        now = self._clock()
        ts, ids = records.utc(now), records.new_ids(now)
        seq, total = tail.seq, tail.sum
        lines: list[bytes] = []
        results: list[list[Appended]] = []
        fresh: dict[str, Record] = {}
        keys = {key for drafts in batch for _, key in drafts if key is not None}
        known = self._keys.find(keys, self.unique_index) if keys else {}
        for drafts in batch:
            made = []
            for fields, key in drafts:
                if key is not None:
                    first = fresh.get(key) or known.get(key)
                    if first is not None:
                        made.append(Appended(first, True))
                        continue
                seq += 1
                record = {"seq": seq, "id": next(ids), "ts": ts, **fields}
                line, total = records.encode(record, total)
                lines.append(line)
                made.append(Appended(record, False))
                if key is not None:
                    fresh[key] = record
            results.append(made)
        return results, _Block(b"".join(lines), seq, total, fresh)

    def _write(self, tail: Tail, block: _Block) -> None:
        rest = block.data
        try:
            while rest:
                rest = rest[self._disk.write(tail.file.fd, rest) :]
        except OSError as error:
            is_undone = self._undo(tail)
            if error.errno not in _NO_ROOM and not transient.is_passing(error):
                self._sync.fail("write", error)
            if not is_undone:
                raise Unconfirmed(
                    f"A write failed ({error.strerror}), and part of it may be stored."
                ) from error
            if transient.is_passing(error):
                raise _short_of(error) from error
            raise NoRoom(f"The hub's disk has no room: {os.strerror(error.errno or 0)}.") from error
        tail.end, tail.seq, tail.sum = tail.end + len(block.data), block.seq, block.sum
        self._state.written = Mark(tail.segment, tail.end, tail.seq)
        self._keys.remember(block.fresh, self.unique_index)

    def _undo(self, tail: Tail) -> bool:
        """Cover what a failed write left, so that nothing of it is stored.

        It needs no room: it overwrites.
        """
        try:
            healing.cover(self.folder, tail.end, tail.file.size(), "a write failed", self._disk)
        except OSError as error:
            logger.error(
                "what a failed write left could not be covered: %s; the next append will try", error
            )
            return False
        tail.end = tail.file.size()
        self._state.written = Mark(tail.segment, tail.end, tail.seq)
        return True

    # -- the tail --------------------------------------------------------------------------------

    def _refreshed_tail(self) -> Tail:
        """Return the tail as it is now, with what other processes wrote read and what a killed one
        left healed.
        """
        try:
            self._begin_if_exchanged()
            tail, written = self._tail, self._state.written
            if (
                tail is None
                or written.segment != tail.segment
                or self._state.inode != tail.file.inode()
            ):
                tail = self._tail = self._opened_tail()
            size = tail.file.size()
            if size < written.size:
                raise OSError(
                    errno.EIO, f"the active file shrank from {written.size} to {size} bytes"
                )
            if size != tail.end:
                self._follow_tail(tail, size)
            return tail
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise NoRoom("The hub's disk has no room to heal the end of the log.") from error
            if transient.is_passing(error):
                raise _short_of(
                    error
                ) from error  # nothing was written, and the next append looks again
            self._sync.fail("check", error)

    def _begin_if_exchanged(self) -> None:
        """Start anew where a process was killed between putting a new active file in place and
        saying so.
        """
        if os.stat(self._active_path).st_ino != self._state.inode:
            with self._sync_lock:
                healing.begin(self.folder, self._state, self._disk)

    def _follow_tail(self, tail: Tail, size: int) -> None:
        torn = healing.heal_tail(
            self.folder, max(tail.end, self._state.written.size), size, self._disk
        )
        if torn:
            logger.warning(
                "a torn tail of %d bytes was set aside: a process was killed while it wrote", torn
            )
        for line in tail.file.lines(tail.end, size):
            with suppress(records.Damaged):
                if not records.is_filler(line.data):
                    record = records.decode(line.data)
                    tail.seq, tail.sum = max(tail.seq, record["seq"]), record["sum"]
                    self._keys.follow(record)
        tail.end = size
        self._state.written = Mark(tail.segment, tail.end, tail.seq)

    def _opened_tail(self) -> Tail:
        mark = self._state.written
        file = files.OpenFile(self.folder / files.ACTIVE, os.O_RDWR | os.O_APPEND)
        tail = Tail(file, mark.segment, self._clock(), self._state.restores)
        last = healing.last_line(self.folder, mark.size)
        if last is not None:
            tail.seq, tail.sum = last["seq"], last["sum"]
        # More than the last good line says, where damaged ones stand behind it: their numbers are
        # not given again.
        tail.seq = max(tail.seq, mark.seq)
        first = healing.first_line(self.folder)
        if first is not None:
            tail.born = records.unix_ms(first["ts"]) / 1000
        tail.end = mark.size
        # What came while this was another file was not followed, and `restore` may have dropped
        # what was.
        self._keys.forget()
        return tail

    def _lines_after(self, known: int) -> Iterator[files.Line]:
        """Yield the lines of records behind this seq, and some before it; the append lock
        is held.
        """
        end = self._state.written
        if known >= end.seq:
            return
        segment = max(
            (first for first in files.sealed(self.folder) if first <= known + 1), default=0
        )
        start = segment if known < end.segment - 1 else end.segment
        for _, lines in self._reader.segments_from(start, 0, end):
            yield from lines

    # -- sealing ---------------------------------------------------------------------------------

    def _is_full(self, tail: Tail) -> bool:
        too_old = bool(self._max_age_s) and self._clock() - tail.born > self._max_age_s
        return tail.seq >= tail.segment and (tail.end >= self._max_bytes or too_old)

    def _sealed_and_renewed(self, tail: Tail) -> Tail:
        """Seal the active file and open the next. Append lock held; takes the sync lock."""
        seq = tail.seq + 1
        header = {
            "seq": seq,
            "id": next(records.new_ids(self._clock())),
            "ts": records.utc(self._clock()),
            "kind": "segment",
            "after": f"bus-{tail.segment}.jsonl",
        }
        line, _ = records.encode(header, tail.sum)
        with self._sync_lock:
            self._sync.refuse_if_failed()
            self._sync.now(tail.file.fd)
            try:
                name = files.seal(self.folder, tail.segment, line, self._disk)
            except OSError as error:
                if error.errno in _NO_ROOM:
                    files.put_in_place(self.folder, self._disk)
                    return tail  # the old file serves on; the next append tries again
                if error.errno in transient.NO_FILES:
                    return self._unless_renewed(tail, error)
                self._sync.fail("seal", error)
            mark = Mark(seq, len(line), seq)
            self._state.inode = os.stat(self.folder / files.ACTIVE).st_ino
            self._state.written = self._state.synced = mark
        if self._on_sealed is not None:
            self._on_sealed(name)
        self._tail = self._opened_tail()
        return self._tail

    def _unless_renewed(self, tail: Tail, error: OSError) -> Tail:
        """Return the old file, which serves on when a sealing found no descriptor; raises Busy
        where another has its place already.
        """
        if os.stat(self._active_path).st_ino == tail.file.inode():
            return tail
        raise _short_of(error) from error  # the next append sees to it, as after a crash

    # -- opening ---------------------------------------------------------------------------------

    def _open(self) -> None:
        run = self.folder / "run"
        run.mkdir(mode=modes.FOLDER, parents=True, exist_ok=True)
        self._append_lock = FileLock(run / "append.lock", self._lock_timeout_s, self._turns)
        self._sync_lock = FileLock(run / "sync.lock", self._lock_timeout_s, self._turns)
        self._state = SharedState(run / "state")
        disk = self._disk if self._fsync else None
        self._sync = Sync(self._sync_lock, self._state, disk, self._turns, self._on_synced)
        self._group = GroupCommit(self._commit, self._lock_timeout_s, self._turns)
        if not healing.is_begun(self.folder, self._state):
            with self._append_lock, self._sync_lock:
                if not healing.is_begun(self.folder, self._state):
                    healing.begin(self.folder, self._state, self._disk)
        # Opened by the first append, under its lock: a worker must be able to start, and to read,
        # while a stopped process holds that lock. One that cannot start makes gunicorn end the
        # whole hub.
        self._tail = None

    def _reopen_after_fork(self) -> None:
        """A lock taken through an inherited descriptor excludes nobody, so a child gets its own."""
        if not self._closed:
            # The parent's, which would stay locked as long as this child lives if the parent were
            # killed now.
            self._append_lock.close()
            self._sync_lock.close()
            self._open()


def _short_of(error: OSError) -> Busy:
    return Busy(f"The hub's process is short of something for the moment: {transient.why(error)}.")
