"""Locks between processes, and the few numbers that all of them share.

`flock`, not the filelock library: 0.6 µs a turn against 148 µs measured, twice on every post.
Opened after the fork (an inherited descriptor excludes nobody) and never on the log itself. Taken
without blocking and with a deadline: a stopped process that holds one must cost the others an
error, not their lives.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from bus.errors import Busy
from bus.system import modes
from bus.system.scheduler import Turns

# Naps of a tenth of a millisecond: a sync by another process is over after a few, and gevent's own
# sleep takes one whole.
_NAPS = 20


class FileLock:
    """An exclusive lock on a file of its own, for one thread of each process at a time."""

    def __init__(self, path: Path, timeout_s: float, turns: Turns) -> None:
        self._turns = turns
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, modes.FILE)
        self._timeout_s = timeout_s

    def __enter__(self) -> None:
        if not self._try():
            self._wait()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def _try(self) -> bool:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _wait(self) -> None:
        for _ in range(_NAPS):
            self._turns.nap()
            if self._try():
                return
        deadline = time.monotonic() + self._timeout_s
        while not self._try():
            if time.monotonic() > deadline:
                raise Busy(f"Another process has held the log for over {self._timeout_s:g} s.")
            time.sleep(0.001)

    def close(self) -> None:
        """Close the file; a second time does nothing, as the number may be another file's now."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class _Word:
    """One 64-bit number of the shared page."""

    def __init__(self, index: int) -> None:
        self._index = index

    def __get__(self, state: SharedState, owner: type[SharedState]) -> int:
        return state.words[self._index]

    def __set__(self, state: SharedState, value: int) -> None:
        state.words[self._index] = value


class Mark(NamedTuple):
    """A point in the log: `size` bytes into the segment whose first record is `segment`, behind
    record `seq`.
    """

    segment: int
    size: int
    seq: int


class _Published:
    """A Mark that one process sets under a lock and all read without one.

    Two copies and a counter: the writer fills the copy not in use, then counts up. A writer killed
    in between leaves the old Mark standing; a reader overtaken in between sees the counter move and
    reads again.
    """

    def __init__(self, index: int) -> None:
        self._index = index

    def __get__(self, state: SharedState, owner: type[SharedState]) -> Mark:
        words, index = state.words, self._index
        while True:
            count = words[index]
            at = index + 1 + (count & 1) * 3
            mark = Mark(words[at], words[at + 1], words[at + 2])
            if words[index] == count:
                return mark

    def __set__(self, state: SharedState, mark: Mark) -> None:
        words, index = state.words, self._index
        count = words[index] + 1
        at = index + 1 + (count & 1) * 3
        words[at], words[at + 1], words[at + 2] = mark
        words[index] = count


class SharedState:
    """Numbers that every process with this data folder sees at once, in a small mapped file.

    Written only under the lock named beside each. They describe the page cache, so they are worth
    nothing after a reboot: the boot they belong to is among them.
    """

    MAGIC = 0x6275735F6C6F6701  # "bus_log", layout 1
    inode = _Word(2)  # of the active file; append and sync lock
    failed = _Word(3)  # 1 after a failed write or sync; set under either lock, cleared under both
    restores = _Word(4)  # how often such a stop was lifted; append and sync lock
    written = _Published(8)  # the end of the whole lines; append lock
    synced = _Published(16)  # the end of what is on stable storage; sync lock

    def __init__(self, path: Path) -> None:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, modes.FILE)
        try:
            if os.fstat(fd).st_size < 4096:
                modes.reserve(fd, 4096)
            self._map = mmap.mmap(fd, 4096)
        finally:
            os.close(fd)
        self.words = memoryview(self._map).cast("Q")

    def is_ours(self) -> bool:
        """Return whether these numbers were ever written, by whatever boot of the machine."""
        return self.words[0] == self.MAGIC

    def is_current(self) -> bool:
        """Return whether these numbers were written since this machine started."""
        return self.is_ours() and self.words[1] == _boot_number()

    def begin(self) -> None:
        """Mark the numbers as of this boot, after all of them were set. Append and sync lock."""
        self.words[1] = _boot_number()
        self.words[0] = self.MAGIC

    def close(self) -> None:
        self.words.release()
        self._map.close()


def _boot_number() -> int:
    """Return a number that differs after every start of this machine."""
    if sys.platform == "linux":
        return int(Path("/proc/sys/kernel/random/boot_id").read_text().replace("-", "")[:15], 16)
    # The start time in minutes; the clock may be set by seconds while it runs.
    return int((time.time() - time.monotonic()) // 60)
