"""Requests that wait for a record: waking them, and keeping them few enough.

A worker's listener follows the log, its own posts and those of other processes alike, and wakes the
waiters whose selection a new record matches. It runs only while somebody waits, and sleeps until
somebody rings.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Protocol

from filelock import FileLock

from bus.errors import TooManyWaiting
from bus.live.bell import Bell
from bus.model.filter import recipients
from bus.model.groups import is_group
from bus.model.records import EVERYBODY, START, Position, Record
from bus.system import modes

logger = logging.getLogger("bus.live.waiting")

# Posts by other processes ring (`bus.live.bell`). A listener looks by itself this often, for one
# who was killed before it rang.
_LOOK_EVERY_S = 0.5
# Where there can be no bell; two workers then use 3 % of a core, doing nothing
_LOOK_WITHOUT_BELL_S = 0.01
# The record of a change to the credentials comes right before the change. Whoever waits is woken to
# be checked anew.
_RECHECK_S = 0.3
_SLOTS = 128


_Key = tuple[str, str | None]  # the kind that a waiter waits for, and its mailbox


class Source(Protocol):
    """What the listener needs of a log."""

    def read(self, after: Position = START) -> Iterator[tuple[Position, Record]]: ...
    def position(self) -> Position: ...


class Wanted(Protocol):
    """What a waiter waits for: records of one kind, and of others that are named in `also` where
    there is such.

    A message wakes only waiters with one of its recipients as their `mailbox`, and those with none.
    One to a topic or a role wakes all, as it is not known here who belongs to it.
    """

    @property
    def kind(self) -> str: ...
    @property
    def mailbox(self) -> str | None: ...
    def matches(self, record: Record) -> bool:
        """Return whether a new record may be among those asked for."""
        ...


class Waiter:
    """One request that waits for records; see `WaitingRoom.enter`."""

    def __init__(self, wanted: Wanted, is_closing: Callable[[], bool]) -> None:
        self.wanted = wanted
        self._event = threading.Event()
        self._is_closing = is_closing
        self._is_gone = False

    def is_over(self) -> bool:
        """Return whether waiting is pointless: the client has gone away, or the hub is stopping."""
        return self._is_gone or self._is_closing()

    def leave(self) -> None:
        """Note that the client has gone away."""
        self._is_gone = True
        self._event.set()

    def wait(self, timeout_s: float) -> bool:
        """Wait until something may have matched; return False if the time or the wait is over."""
        if timeout_s <= 0 or self.is_over():
            return False
        woken = self._event.wait(timeout_s)
        self._event.clear()
        return woken and not self.is_over()

    def wake(self) -> None:
        self._event.set()


class WaitingRoom:
    """Everybody who waits in this worker. `cap` counts over all workers that share `counts`."""

    def __init__(self, source: Source, counts: SharedCounts, cap: int, bell: Bell) -> None:
        self._source, self._counts, self._cap, self._bell = source, counts, cap, bell
        self._rung_to = 0
        self._mutex = threading.Lock()
        self._waiters: dict[_Key, set[Waiter]] = defaultdict(set)
        self._seen = START
        self._listening = False
        self._recheck_at = math.inf
        self._looking = threading.Lock()
        self.is_closing: Callable[[], bool] = lambda: False
        # What the server knows: calls a function when the client of this request goes away; how
        # many may wait in this worker.
        self.watching: Callable[[Callable[[], None]], AbstractContextManager[None]] = (
            lambda on_gone: nullcontext()
        )
        self.most_here = cap
        # Whose request this is: counts it among those of its credential that wait.
        self.owned: Callable[[], AbstractContextManager[None]] = nullcontext
        self._here = 0

    @contextmanager
    def enter(self, wanted: Wanted) -> Iterator[Waiter]:
        """Be woken for records that match, from now on; raises TooManyWaiting.

        A client that goes away ends the wait.
        """
        if self._here >= self.most_here:
            raise TooManyWaiting(
                f"{self.most_here} requests are waiting in this worker already, which is all it "
                "holds."
            )
        waiter = Waiter(wanted, self.is_closing)
        kinds = (wanted.kind, *getattr(wanted, "also", ()))
        keys = [(kind, wanted.mailbox) for kind in kinds]
        with self.owned(), self._counts.one_more(self._cap):
            self._here += 1
            try:
                with self.watching(waiter.leave), self._woken(waiter, keys):
                    yield waiter
            finally:
                self._here -= 1

    @contextmanager
    def _woken(self, waiter: Waiter, keys: Sequence[_Key]) -> Iterator[None]:
        """Wake the waiter while the block runs."""
        with self._mutex:
            if not self._listening:
                self._seen, self._listening = self._source.position(), True
                threading.Thread(target=self._listen, name="listener", daemon=True).start()
            for key in keys:
                self._waiters[key].add(waiter)
        try:
            yield
        finally:
            with self._mutex:
                for key in keys:
                    self._waiters[key].discard(waiter)
                    if not self._waiters[key]:
                        del self._waiters[key]

    def ring(self) -> None:
        """Look for new records now, and have the other processes look; called after an append by
        this one.
        """
        seq = self._source.position().seq
        if seq > self._rung_to:  # posts that were committed together ring once
            self._rung_to = seq
            self._bell.ring()
        if self._listening:
            self._look()

    def total(self) -> int:
        """Return how many wait now, over all workers."""
        return self._counts.total()

    def wake_all(self) -> None:
        """Have everybody who waits look again: the hub is stopping, say."""
        with self._mutex:
            for waiters in self._waiters.values():
                for waiter in waiters:
                    waiter.wake()

    def _listen(self) -> None:
        try:
            with self._bell.listening() as ear:
                self._follow(ear.wait, _LOOK_EVERY_S)
        except OSError as error:
            logger.warning(
                "posts by other processes cannot ring here (%s): the log is looked at all the time",
                error,
            )
            self._follow(time.sleep, _LOOK_WITHOUT_BELL_S)

    def _follow(self, pause: Callable[[float], object], look_every_s: float) -> None:
        """Wake those whom new records concern, until nobody waits."""
        while True:
            if self.is_closing() or time.monotonic() > self._recheck_at:
                self._recheck_at = math.inf
                self.wake_all()
            else:
                self._look()
            pause(min(look_every_s, max(0.01, self._recheck_at - time.monotonic())))
            with self._mutex:
                if not self._waiters:
                    self._listening = False
                    return

    def _look(self) -> None:
        if self._source.position().seq <= self._seen.seq:
            return
        with self._looking:
            try:
                for place, record in self._source.read(self._seen):
                    self._seen = place
                    self._wake_for(record)
                    if record["kind"] == "credential":
                        self._recheck_at = time.monotonic() + _RECHECK_S
            except Exception:
                logger.exception(
                    "new records could not be read; everybody who waits is woken to look"
                )
                self._seen = self._source.position()
                self.wake_all()

    def _wake_for(self, record: Record) -> None:
        kind = record["kind"]
        names = recipients(record) if kind == "message" else []
        with self._mutex:
            if EVERYBODY in names or any(map(is_group, names)):
                keys = [key for key in self._waiters if key[0] == kind]
            else:
                keys = [(kind, name) for name in (*names, None)]
            for key in keys:
                for waiter in self._waiters.get(key, ()):
                    if waiter.wanted.matches(record):
                        waiter.wake()


class SharedCounts:
    """A count for each worker in one mapped file, so that a cap holds over all of them.

    A slot is (process id, count). Slots of processes that are gone count for nothing and are taken
    again.
    """

    def __init__(self, path: Path) -> None:
        self._words = modes.mapped(path, _SLOTS * 16).cast("Q")
        self._lock = FileLock(path.with_suffix(".lock"), mode=modes.FILE, thread_local=False)
        self._mutex = threading.Lock()
        self._mine = -1
        self._pid = 0

    @contextmanager
    def one_more(self, cap: int) -> Iterator[None]:
        """Count one more while the block runs; raises TooManyWaiting when that would pass
        the cap.
        """
        with self._mutex:
            slot = self._slot()
            if self.total() >= cap:
                raise TooManyWaiting(
                    f"{cap} requests are waiting already, which is all the hub holds."
                )
            self._words[slot] += 1
        try:
            yield
        finally:
            with self._mutex:
                self._words[slot] -= 1

    def total(self) -> int:
        """Return how many wait now, over all workers."""
        return sum(
            self._words[at + 1]
            for at in range(0, _SLOTS * 2, 2)
            if self._words[at] and is_alive(self._words[at])
        )

    def _slot(self) -> int:
        """Return the index of this process's count, taking a free slot at the first call."""
        if self._pid != os.getpid():
            with self._lock:
                for at in range(0, _SLOTS * 2, 2):
                    if (
                        self._words[at] == 0
                        or self._words[at] == os.getpid()
                        or not is_alive(self._words[at])
                    ):
                        self._words[at], self._words[at + 1] = os.getpid(), 0
                        self._mine, self._pid = at + 1, os.getpid()
                        break
                else:
                    raise TooManyWaiting(
                        "Too many workers share this data folder to count who waits."
                    )
        return self._mine


def is_alive(pid: int) -> bool:
    """Return whether there is a process with this id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def remaining(deadline: float) -> float:
    """Return seconds until a deadline of `time.monotonic`."""
    return deadline - time.monotonic()
