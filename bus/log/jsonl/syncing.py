"""Making what was written durable: one sync for everybody who wrote before it began."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import NoReturn

from bus.errors import Busy, StorageFailed, Unconfirmed
from bus.log.jsonl.disk import Disk
from bus.log.jsonl.locks import FileLock, Mark, SharedState
from bus.log.jsonl.reading import Tail
from bus.system.scheduler import Turns

logger = logging.getLogger("bus.log")

# A sync on another thread costs a fifth of a post's time, so it is only done where the disk costs
# more.
_SLOW_SYNC_S = 0.003


class Sync:
    """Syncs the active file under the sync lock. Without a `disk` (BUS_FSYNC=0), nothing is
    synced. `on_synced` is told how long each sync took, in seconds.
    """

    def __init__(
        self,
        lock: FileLock,
        state: SharedState,
        disk: Disk | None,
        turns: Turns,
        on_synced: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self._lock, self._state, self._disk, self._turns = lock, state, disk, turns
        self._takes_s, self._on_synced = 0.0, on_synced

    def up_to(self, end: Mark, tail: Tail) -> None:
        """Make everything up to `end` durable; raises Unconfirmed or StorageFailed."""
        # In this order: `restore` counts first, so a mark that it set is never taken for one of
        # before.
        if (
            self._state.synced.seq >= end.seq
            and not self._state.failed
            and self._state.restores == tail.restores
        ):
            return
        try:
            with self._lock:
                self._behind(end, tail)
        except Busy as error:
            raise Unconfirmed(
                "It is written, but another process keeps this one from syncing."
            ) from error

    def _behind(self, end: Mark, tail: Tail) -> None:
        """Sync, unless another has done so since `end` was written. Sync lock held."""
        self.refuse_if_failed()
        if self._state.restores != tail.restores:
            raise Unconfirmed("The log was restored after a failed sync meanwhile.")
        if self._state.synced.seq >= end.seq:
            return
        target = self._state.written
        if target.segment != tail.segment:
            return  # sealed by another meanwhile, who syncs before sealing
        self.now(tail.file.fd)
        self._state.synced = target

    def now(self, fd: int) -> None:
        """Sync; on a disk that has been slow, so that other requests go on meanwhile."""
        if self._disk is None:
            return
        began = time.perf_counter()
        try:
            if self._takes_s > _SLOW_SYNC_S:
                self._turns.block(partial(self._disk.sync, fd))
            else:
                self._disk.sync(fd)
        except OSError as error:
            self.fail("sync", error)
        seconds = time.perf_counter() - began
        self._takes_s += (seconds - self._takes_s) / 4
        self._on_synced(seconds)

    def fail(self, what: str, error: OSError) -> NoReturn:
        """Record for every process that the log cannot be trusted to be durable; raises
        StorageFailed.
        """
        self._state.failed = 1
        logger.critical(
            "a %s of the log failed (%s): no post is acknowledged until the hub is restarted",
            what,
            error,
        )
        raise StorageFailed(f"A {what} of the log failed: {error.strerror}.") from error

    def refuse_if_failed(self) -> None:
        """Raise StorageFailed if a write or a sync has failed since the hub started."""
        if self._state.failed:
            raise StorageFailed("A write or sync of the log has failed: the hub is read-only.")
