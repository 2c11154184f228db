"""A disk that fails as it is told: the one seam through which tests bring disk faults into
the log.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from bus.log.jsonl.disk import Disk


class Killed(BaseException):
    """The process ended here. Nothing that catches errors may catch it."""


class FaultyDisk(Disk):
    """A disk whose room, errors and end can be set at any time. Syncs are counted, and cost
    nothing.

    `room` is how many bytes may still be written; `errors` maps a method to the errno it raises;
    `dies_in` maps a method to the number of bytes it handles before the process is killed in it.
    """

    def __init__(self) -> None:
        self.syncs = 0
        self.longest_write: int | None = None
        self.room: int | None = None
        self.errors: dict[str, int] = {}
        self.dies_in: dict[str, int] = {}
        self.synced_sizes: dict[int, int] = {}

    def write(self, fd: int, data: bytes) -> int:
        self._fail_in("write")
        if "write" in self.dies_in:
            super().write(fd, data[: self.dies_in["write"]])
            raise Killed
        return super().write(fd, data[: self._allowed(len(data))])

    def overwrite(self, fd: int, data: bytes, offset: int) -> int:
        self._fail_in("overwrite")
        if "overwrite" in self.dies_in:
            super().overwrite(fd, data[: self.dies_in["overwrite"]], offset)
            raise Killed
        return super().overwrite(fd, data, offset)

    def sync(self, fd: int) -> None:
        self.syncs += 1
        self._fail_in("sync")
        self._die_in("sync")
        status = os.fstat(fd)
        self.synced_sizes[status.st_ino] = status.st_size

    def sync_folder(self, folder: Path) -> None:
        self._fail_in("sync_folder")
        self._die_in("sync_folder")

    def _fail_in(self, method: str) -> None:
        if method in self.errors:
            raise OSError(self.errors[method], os.strerror(self.errors[method]))

    def _die_in(self, method: str) -> None:
        if method in self.dies_in:
            raise Killed

    def _allowed(self, wanted: int) -> int:
        """How much of a write goes through: a full disk takes a part first and says so only at the
        next.
        """
        if self.room is not None:
            if self.room == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            wanted = min(wanted, self.room)
            self.room -= wanted
        return min(wanted, self.longest_write or wanted)
