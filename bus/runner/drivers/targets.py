"""Which targets there are, and by which driver each is reached.

This is the one gate: a name that passes it is a known one.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from bus.errors import DriverUnavailable, UnknownTarget
from bus.runner.drivers import table as tables
from bus.runner.drivers.base import Driver, Listed
from bus.runner.drivers.local import LocalDriver
from bus.runner.drivers.lxc import LxcDriver
from bus.runner.drivers.names import CONTAINER, MACHINE
from bus.runner.drivers.queues import Queues
from bus.runner.drivers.ssh import SshDriver
from bus.runner.drivers.table import BadTable

__all__ = ["BadTable", "Listing", "Targets"]


class Listing(NamedTuple):
    """All targets by name, and for each driver that could not be asked the reason."""

    targets: list[Listed]
    unavailable: dict[str, str]


class Targets:
    """The containers that LXD or Incus lists, and above them a table, which is read again if it
    changes.
    """

    def __init__(self, file: Path, lxc: LxcDriver | None) -> None:
        self._file, self._lxc = file, lxc
        self._queues = Queues()
        self._lock = threading.Lock()
        self._read()

    @classmethod
    def load(
        cls, table: Path, *, lxc: str = "lxc", project: str = "default", only: Collection[str] = ()
    ) -> Targets:
        """Return targets by these settings; raises BadTable, and ValueError for `only`.

        `lxc` is the client: lxc, incus, or empty for none. `only` names the containers that are
        targets; empty: all are.
        """
        if lxc not in ("", "lxc", "incus"):
            raise ValueError(f"The client is lxc or incus or none, and not {lxc!r}.")
        for name in only:
            if not CONTAINER.fullmatch(name):
                raise ValueError(f"{name!r} is not the name of a container.")
        return cls(table, LxcDriver(lxc, project, only) if lxc else None)

    def driver_of(self, name: str) -> Driver:
        """Return the driver of this target; raises UnknownTarget, DriverUnavailable.

        A name that breaks the rules starts no process, and the others start about one a second at
        most.
        """
        if not MACHINE.fullmatch(name):
            raise UnknownTarget("No target has such a name.")
        with self._lock:
            self._refresh()
            table, ssh, local = self._table, self._ssh, self._local
        if name in table.machines:
            return ssh
        if name in table.folders:
            return local
        if (
            name not in table.barred
            and self._lxc is not None
            and CONTAINER.fullmatch(name)
            and self._lxc.has(name)
        ):
            return self._lxc
        raise UnknownTarget(f"There is no target {name}.")

    def list(self) -> Listing:
        """Return all targets, those of the table before containers of the same name."""
        with self._lock:
            self._refresh()
            table = self._table
            drivers: tuple[Driver | None, ...] = (self._ssh, self._local, self._lxc)
        found: dict[str, Listed] = {}
        unavailable = {}
        for driver in filter(None, drivers):
            try:
                for listed in driver.list():
                    if driver is not self._lxc or listed.name not in table:
                        found[listed.name] = listed
            except DriverUnavailable as error:
                unavailable[driver.name] = error.message
        return Listing([found[name] for name in sorted(found)], unavailable)

    def _refresh(self) -> None:
        """Read the table again if it has changed.

        An invalid table blocks every target, because it might be meant to take one away.
        """
        if _state(self._file) != self._seen:
            try:
                self._read()
            except BadTable as error:
                raise DriverUnavailable(
                    str(error), hint="An operator has to mend the table of targets."
                ) from None

    def _read(self) -> None:
        seen = _state(self._file)
        self._table = tables.load(self._file)
        self._ssh, self._local = (
            SshDriver(self._table.machines),
            LocalDriver(self._table.folders, queues=self._queues),
        )
        self._seen = seen


def _state(file: Path) -> tuple[int, ...]:
    """Return what changes when the file does."""
    with suppress(OSError):
        found = os.stat(file)
        return found.st_ino, found.st_size, found.st_mtime_ns
    return ()
