"""The log as JSON lines in files: the engine that the hub uses.

    data/bus.jsonl          the active file          data/run/append.lock   who may write
    data/bus-<seq>.jsonl    sealed files             data/run/sync.lock     who may sync
    data/quarantine/        bytes set aside          data/run/state         how far both have come

An append takes the append lock, looks at what others wrote since (and heals what a killed one left torn),
writes one block of whole lines, and lets go. Then it takes the sync lock, unless a sync that began after
its write has been done by another meanwhile. The file never shrinks: an offset that was once "synced up to
here" must never come to hold other bytes (a truncated tail gave an acknowledgement without a sync).
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

from bus import records
from bus.errors import NoRoom, StorageFailed, Unconfirmed
from bus.log import files, healing
from bus.log.base import Appended, Draft, UniqueIndex
from bus.log.disk import Disk
from bus.log.group import GroupCommit
from bus.log.locks import FileLock, Mark, SharedState
from bus.records import START, Position, Record

logger = logging.getLogger("bus.log")

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_KEYS_KEPT = 20_000  # recent unique keys in memory, before those that the index knows are let go


class _NothingKnown:
    """The unique index of a log that has none: only keys seen by this process are found."""

    def record_of_unique(self, key: str) -> Record | None:
        return None

    def known_to(self) -> int:
        return 0


class _Tail:
    """What this process knows of the end of the active file. Only looked at under the append lock."""

    def __init__(self, file: files.OpenFile, segment: int, born: float) -> None:
        self.file, self.segment, self.born = file, segment, born
        self.end = self.seq = 0
        self.sum = records.FIRST_SUM


class _Block(NamedTuple):
    """Lines for one write, and what is true of the log behind them."""

    data: bytes
    seq: int
    sum: str
    fresh: dict[str, Record]


class JsonlLog:
    """See `bus.log.base` for the promises. Any number of processes may have one on the same folder."""

    def __init__(
        self,
        folder: Path,
        *,
        fsync: bool = True,
        lock_timeout_s: float = 5.0,
        segment_max_bytes: int = 64 << 20,
        segment_max_age_s: float = 0,
        on_sealed: Callable[[Path], None] | None = None,
        disk: Disk | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.folder = folder
        self.unique_index: UniqueIndex = _NothingKnown()
        self._fsync, self._clock = fsync, clock
        self._lock_timeout_s = lock_timeout_s
        self._max_bytes, self._max_age_s = segment_max_bytes, segment_max_age_s
        self._on_sealed = on_sealed
        self._disk = disk or Disk()
        self._recent: dict[str, Record] = {}
        self._closed = False
        self._open()
        reopen = weakref.WeakMethod(self._reopen_after_fork)
        os.register_at_fork(after_in_child=lambda: (method := reopen()) and method())

    # -- the promises ------------------------------------------------------------------------------------

    def append(self, drafts: Sequence[Draft]) -> list[Appended]:
        return self._group.append(drafts)

    def read(self, after: Position = START) -> Iterator[tuple[Position, Record]]:
        end = self._state.synced
        segment, offset, _ = _parse_token(after.token)
        seq = after.seq
        for first, lines in self._segments_from(segment, offset, end):
            for line in lines:
                if records.is_filler(line.data):
                    continue
                try:
                    record = records.decode(line.data)
                except records.Damaged as damage:
                    seq += 1
                    record = {"seq": seq, "kind": "damaged", "segment": first, "offset": line.end, "reason": str(damage)}
                    yield Position(seq, f"{first}:{line.end}:damaged"), record
                    continue
                seq = record["seq"]
                yield Position(seq, f"{first}:{line.end}:{record['sum']}"), record

    def position(self) -> Position:
        mark = self._state.synced
        return Position(mark.seq, f"{mark.segment}:{mark.size}:")

    def holds(self, position: Position) -> bool:
        segment, offset, total = _parse_token(position.token)
        end = self._state.synced
        if segment > end.segment or position.seq > end.seq or (segment == end.segment and offset > end.size):
            return False
        if not total:
            return position == START
        path = self.folder / files.ACTIVE if segment == end.segment else files.sealed(self.folder).get(segment)
        if path is None:
            return False
        if path.suffix == ".gz":
            return True  # verified when it was sealed; reading it through would make every start slow
        file = files.OpenFile(path)
        data = os.pread(file.fd, len(total) + 3, max(0, offset - len(total) - 3))
        return data.endswith(b"\n") if total == "damaged" else data == f'{total}"}}\n'.encode()

    def failed(self) -> bool:
        return self._state.failed != 0

    def close(self) -> None:
        self._append_lock.close()
        self._sync_lock.close()
        self._state.close()
        self._closed = True

    def restore(self) -> bool:
        """Lift the stop that a failed write or sync left, after verifying the log; gives whether there was one."""
        with self._append_lock, self._sync_lock:
            restored = healing.restore(self.folder, self._state, self._disk)
            self._tail = self._opened_tail()
        return restored

    # -- committing --------------------------------------------------------------------------------------

    def _commit(self, batch: list[list[Draft]]) -> list[list[Appended]]:
        with self._append_lock:
            self._refuse_if_failed()
            tail = self._refreshed_tail()
            if self._is_full(tail):
                tail = self._sealed_and_renewed(tail)
            results, block = self._encoded(batch, tail)
            if block.data:
                self._write(tail, block)
            # A replay may be of a record that nobody has synced yet, so it waits for the sync as well.
            end = self._state.written
        self._sync_up_to(end, tail)
        return results

    def _encoded(self, batch: list[list[Draft]], tail: _Tail) -> tuple[list[list[Appended]], _Block]:
        """Results for every draft, and the block that makes them true."""
        now = self._clock()
        ts = records.utc(now)
        seq, total = tail.seq, tail.sum
        lines: list[bytes] = []
        results: list[list[Appended]] = []
        fresh: dict[str, Record] = {}
        for drafts in batch:
            made = []
            for draft in drafts:
                key = records.unique_key(draft)
                if key is not None:
                    first = fresh.get(key) or self._recent.get(key) or self.unique_index.record_of_unique(key)
                    if first is not None:
                        made.append(Appended(first, True))
                        continue
                seq += 1
                record = {"seq": seq, "id": records.new_id(now), "ts": ts, **draft}
                line, total = records.encode(record, total)
                lines.append(line)
                made.append(Appended(record, False))
                if key is not None:
                    fresh[key] = record
            results.append(made)
        return results, _Block(b"".join(lines), seq, total, fresh)

    def _write(self, tail: _Tail, block: _Block) -> None:
        rest = block.data
        try:
            while rest:
                rest = rest[self._disk.write(tail.file.fd, rest) :]
        except OSError as error:
            self._undo(tail)
            if error.errno in _NO_ROOM:
                raise NoRoom(f"The hub's disk has no room: {os.strerror(error.errno or 0)}.") from error
            self._fail("write", error)
        tail.end, tail.seq, tail.sum = tail.end + len(block.data), block.seq, block.sum
        self._state.written = Mark(tail.segment, tail.end, tail.seq)
        self._remember(block.fresh)

    def _undo(self, tail: _Tail) -> None:
        """Cover what a failed write left, so that nothing of it is stored. It needs no room: it overwrites."""
        try:
            healing.cover(self.folder, tail.end, tail.file.size(), "a write failed", self._disk)
            tail.end = tail.file.size()
            self._state.written = Mark(tail.segment, tail.end, tail.seq)
        except OSError as error:
            logger.error("what a failed write left could not be covered: %s; the next append will try", error)
            raise Unconfirmed("The write failed, and part of it may be stored.") from error

    def _sync_up_to(self, end: Mark, tail: _Tail) -> None:
        if self._state.synced.seq >= end.seq and not self._state.failed:
            return
        with self._sync_lock:
            self._refuse_if_failed()
            if self._state.synced.seq >= end.seq:
                return
            target = self._state.written
            if target.segment != tail.segment:
                return  # sealed by another meanwhile, who syncs before sealing
            self._sync_now(tail.file.fd)
            self._state.synced = target

    def _sync_now(self, fd: int) -> None:
        if self._fsync:
            try:
                self._disk.sync(fd)
            except OSError as error:
                self._fail("sync", error)

    def _fail(self, what: str, error: OSError) -> None:
        self._state.failed = 1
        logger.critical("a %s of the log failed (%s): no post is acknowledged until the hub is restarted", what, error)
        raise StorageFailed(f"A {what} of the log failed: {error.strerror}.") from error

    def _refuse_if_failed(self) -> None:
        if self._state.failed:
            raise StorageFailed("A write or sync of the log has failed: the hub is read-only.")

    def _remember(self, fresh: dict[str, Record]) -> None:
        self._recent.update(fresh)
        if len(self._recent) > _KEYS_KEPT:
            known = self.unique_index.known_to()
            self._recent = {key: record for key, record in self._recent.items() if record["seq"] > known}

    # -- the tail ----------------------------------------------------------------------------------------

    def _refreshed_tail(self) -> _Tail:
        """The tail as it is now, with what other processes wrote read and what a killed one left healed."""
        tail = self._tail
        written = self._state.written
        if written.segment != tail.segment or self._state.inode != tail.file.inode():
            tail = self._tail = self._opened_tail()
        size = tail.file.size()
        if size != tail.end:
            if size < written.size:
                self._fail("check", OSError(errno.EIO, f"the active file shrank from {written.size} to {size} bytes"))
            try:
                self._follow_tail(tail, size)
            except OSError as error:
                if error.errno in _NO_ROOM:
                    raise NoRoom("The hub's disk has no room to heal the end of the log.") from error
                self._fail("write", error)
        return tail

    def _follow_tail(self, tail: _Tail, size: int) -> None:
        torn = healing.heal_tail(self.folder, max(tail.end, self._state.written.size), size, self._disk)
        if torn:
            logger.warning("a torn tail of %d bytes was set aside: a process was killed while it wrote", torn)
        for line in tail.file.lines(tail.end, size):
            with suppress(records.Damaged):
                if not records.is_filler(line.data):
                    record = records.decode(line.data)
                    tail.seq, tail.sum = record["seq"], record["sum"]
                    key = records.unique_key(record)
                    if key is not None:
                        self._recent[key] = record
        tail.end = size
        self._state.written = Mark(tail.segment, tail.end, tail.seq)

    def _opened_tail(self) -> _Tail:
        mark = self._state.written
        file = files.OpenFile(self.folder / files.ACTIVE, os.O_RDWR | os.O_APPEND)
        tail = _Tail(file, mark.segment, self._clock())
        last = healing.last_line(self.folder, mark.size)
        if last is not None:
            tail.seq, tail.sum = last["seq"], last["sum"]
        first = healing.first_line(self.folder)
        if first is not None:
            tail.born = records.unix_ms(first["ts"]) / 1000
        tail.end = mark.size
        # Keys of records that the index does not know yet, written by other processes before this one opened.
        known = self.unique_index.known_to()
        if known < tail.seq:
            self._recent.update(self._keys_after(known))
        return tail

    def _keys_after(self, known: int) -> dict[str, Record]:
        file = files.OpenFile(self.folder / files.ACTIVE)
        found = {}
        for line in file.lines(0, self._state.written.size):
            with suppress(records.Damaged):
                if b'"client_id"' in line.data and not records.is_filler(line.data):
                    record = records.decode(line.data)
                    key = records.unique_key(record)
                    if key is not None and record["seq"] > known:
                        found[key] = record
        return found

    # -- sealing -----------------------------------------------------------------------------------------

    def _is_full(self, tail: _Tail) -> bool:
        too_old = bool(self._max_age_s) and self._clock() - tail.born > self._max_age_s
        return tail.seq >= tail.segment and (tail.end >= self._max_bytes or too_old)

    def _sealed_and_renewed(self, tail: _Tail) -> _Tail:
        """Seal the active file and open the next. Append lock held; takes the sync lock."""
        header = {
            "seq": tail.seq + 1,
            "id": records.new_id(self._clock()),
            "ts": records.utc(self._clock()),
            "kind": "segment",
            "after": f"bus-{tail.segment}.jsonl",
        }
        line, _ = records.encode(header, tail.sum)
        with self._sync_lock:
            self._refuse_if_failed()
            self._sync_now(tail.file.fd)
            try:
                name = files.seal(self.folder, tail.segment, line, self._disk)
            except OSError as error:
                if error.errno in _NO_ROOM:
                    files.put_in_place(self.folder, self._disk)
                    return tail  # the old file serves on; the next append tries again
                self._fail("seal", error)
            mark = Mark(header["seq"], len(line), header["seq"])
            self._state.inode = os.stat(self.folder / files.ACTIVE).st_ino
            self._state.written = self._state.synced = mark
        if self._on_sealed is not None:
            self._on_sealed(name)
        self._tail = self._opened_tail()
        return self._tail

    # -- reading -----------------------------------------------------------------------------------------

    def _segments_from(self, segment: int, offset: int, end: Mark) -> Iterator[tuple[int, Iterator[files.Line]]]:
        for first, path in files.sealed(self.folder).items() if segment < end.segment else ():
            if segment <= first < end.segment:
                start = offset if first == segment else 0
                yield first, files.sealed_lines(path, start)
        start = offset if segment == end.segment else 0
        if start < end.size:
            yield end.segment, self._active_file(end).lines(start, end.size)

    def _active_file(self, end: Mark) -> files.OpenFile:
        """The file that was active when `end` was read; it may have been sealed since."""
        tail = self._tail
        if tail.segment == end.segment and tail.file.inode() == self._state.inode:
            return tail.file
        file = files.OpenFile(self.folder / files.ACTIVE)
        if self._state.synced.segment != end.segment:
            return files.OpenFile(files.sealed(self.folder)[end.segment])
        return file

    # -- opening -----------------------------------------------------------------------------------------

    def _open(self) -> None:
        run = self.folder / "run"
        run.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._append_lock = FileLock(run / "append.lock", self._lock_timeout_s)
        self._sync_lock = FileLock(run / "sync.lock", self._lock_timeout_s)
        self._state = SharedState(run / "state")
        self._group = GroupCommit(self._commit, self._lock_timeout_s)
        if not healing.is_begun(self.folder, self._state):
            with self._append_lock, self._sync_lock:
                if not healing.is_begun(self.folder, self._state):
                    healing.begin(self.folder, self._state, self._disk)
        with self._append_lock:
            self._tail = self._opened_tail()

    def _reopen_after_fork(self) -> None:
        """A lock taken through an inherited descriptor excludes nobody, so a child gets its own."""
        if not self._closed:
            self._open()



def _parse_token(token: str) -> tuple[int, int, str]:
    if not token:
        return 0, 0, ""
    segment, offset, total = token.split(":")
    return int(segment), int(offset), total
