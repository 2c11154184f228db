"""What all containers share: one operation at a time, snapshots by date, restores."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from bus.errors import (
    BusError,
    DriverUnavailable,
    NoSuchSnapshot,
    SnapshotExists,
    TargetBusy,
    TargetFailed,
)
from bus.runner.drivers import snapshots
from bus.runner.drivers.base import Restored
from bus.runner.drivers.names import snapshot_name
from bus.runner.drivers.posix import PosixDriver
from bus.runner.drivers.queues import Queues
from bus.runner.drivers.snapshots import Snapshot

logger = logging.getLogger("bus.runner.drivers")

# Several slow operations: a folder as storage copies for a snapshot, 20 s for 4 GB.
QUEUE_S = 600.0
STOP = "stop"
_TRIES = 5  # another hub, or the operator, may take the next name first


class ContainerDriver(PosixDriver):
    """A driver whose targets are containers.

    `queues` outlives the driver if the table of targets is read again.
    """

    queues: Queues
    queue_s = QUEUE_S

    @abstractmethod
    def snapshots(self, target: str) -> Sequence[Snapshot]: ...

    @abstractmethod
    def _start(self, target: str) -> bool: ...

    @abstractmethod
    def _stop(self, target: str, timeout_s: float, force: bool) -> bool: ...

    @abstractmethod
    def _make_snapshot(self, target: str, name: str) -> None: ...

    @abstractmethod
    def _go_back(self, target: str, name: str) -> None: ...

    @abstractmethod
    def _remove_snapshot(self, target: str, name: str) -> None: ...

    @contextmanager
    def turn(self, target: str, kind: str, joins: str = "") -> Iterator[None]:
        """Return the turn of an operation on this target; raises TargetBusy. See `Queues.turn`."""
        with self.queues.turn(target, self.queue_s, kind, joins):
            yield

    def start(self, target: str) -> bool:
        with self.turn(target, "start"):
            return self._start(target)

    def stop(self, target: str, timeout_s: float = 30, force: bool = False) -> bool:
        with self.turn(target, STOP, STOP if force else ""):
            return self._stop(target, timeout_s, force)

    def snapshot(self, target: str, name: str | None = None) -> str:
        if name is not None:
            snapshot_name(name)
        with self.turn(target, "snapshot"):
            if name is None:
                return self._by_date(target)
            self._make_snapshot(target, name)
            return name

    def restore(self, target: str, snapshot: str, keep: int = 0) -> Restored:
        snapshot_name(snapshot)
        with self.turn(target, "restore"):
            found = self.snapshots(target)
            name = snapshots.meant(snapshot, found)
            if name is None:
                raise NoSuchSnapshot(f"{target} has no snapshot {snapshot}.")
            if not keep:
                self._go_back(target, name)
                return Restored(name)
            saved = snapshots.before_restore([one.name for one in found], datetime.now(UTC))
            self._make_snapshot(target, saved)
            try:
                self._go_back(target, name)
            except (
                TargetBusy,
                DriverUnavailable,
            ) as error:  # by now it is not true that nothing was done
                raise TargetFailed(
                    f"{error.message} Before that, {target} was kept as {saved}."
                ) from error
            return Restored(name, saved, self._thin_out(target, keep, name))

    def delete_snapshot(self, target: str, name: str) -> None:
        snapshot_name(name)
        with self.turn(target, "delete-snapshot"):
            if name not in [snapshot.name for snapshot in self.snapshots(target)]:
                raise NoSuchSnapshot(f"{target} has no snapshot {name}.")
            self._remove_snapshot(target, name)

    def _by_date(self, target: str) -> str:
        for _ in range(_TRIES):
            name = snapshots.dated([one.name for one in self.snapshots(target)], datetime.now(UTC))
            try:
                self._make_snapshot(target, name)
            except SnapshotExists:
                continue
            return name
        raise TargetBusy(f"Others make snapshots of {target} at the same time. Nothing was done.")

    def _thin_out(self, target: str, keep: int, spared: str) -> tuple[str, ...]:
        """Delete the snapshots that restores have made beyond the number to keep; return their
        names.

        Failures are passed over, because the restore itself is done.
        """
        removed = []
        try:
            for name in snapshots.surplus(self.snapshots(target), keep, spared):
                self._remove_snapshot(target, name)
                removed.append(name)
        except BusError as error:
            logger.warning("old snapshots of %s could not be deleted: %s", target, error.message)
        return tuple(removed)
