"""How much of the hub one credential may hold at once: requests under way, those that wait among
them.

Counted over all workers, in a mapped file with a row for each credential and a column for each
process. Columns of processes that are gone count for nothing, so a killed worker leaves nothing
behind; after a restart all begin at 0.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from filelock import FileLock

from bus.errors import OverQuota
from bus.live.waiting import is_alive
from bus.system import modes

_COLUMNS, _ROWS = 128, 2_048
_PIDS = _ROWS  # 64-bit words: the names' digests, the columns' process ids; then 32-bit counts
_COUNTS = (_ROWS + _COLUMNS) * 8
_SIZE = _COUNTS + _ROWS * _COLUMNS * 4


class Quotas:
    """Requests under way, or those that wait, by the name of the credential.

    `limit` holds for each; `hint` is for whoever has reached it.
    """

    def __init__(
        self, path: Path, limit: int, quota: str = "requests", hint: str | None = None
    ) -> None:
        self.limit, self.quota, self._hint = limit, quota, hint
        whole = modes.mapped(path, _SIZE)
        self._words, self._counts = whole[:_COUNTS].cast("Q"), whole[_COUNTS:].cast("I")
        self._lock = FileLock(path.with_suffix(".lock"), mode=modes.FILE, thread_local=False)
        self._mutex = threading.Lock()
        self._rows: dict[str, int | None] = {}
        self._pid = self._column = -1

    def enter(self, name: str) -> int | None:
        """Count one more request of a credential; returns what `leave` wants. Raises OverQuota."""
        with self._mutex:
            column, row = self._my_column(), self._row(name)
            if row is None:
                return None
            if sum(self._row_counts(row)) >= self.limit and self._used(row) >= self.limit:
                what = "waiting" if self.quota == "waiting" else "under way"
                is_file = self.quota in ("uploads", "downloads")
                whose = self.quota if is_file else "requests"
                raise OverQuota(
                    f"{self.limit} {whose} of {name} are {what} already.",
                    hint=self._hint,
                    quota=self.quota,
                    limit=self.limit,
                    name=name,
                )
            place = row * _COLUMNS + column
            self._counts[place] += 1
            return place

    def leave(self, place: int | None) -> None:
        """The request has ended."""
        if place is not None:
            with self._mutex:
                # 0 if another hub in this very process has begun since, and has emptied the column.
                self._counts[place] = max(0, self._counts[place] - 1)

    @contextmanager
    def held(self, name: str) -> Iterator[None]:
        """One more while the block runs; raises OverQuota."""
        place = self.enter(name)
        try:
            yield
        finally:
            self.leave(place)

    def used(self, name: str) -> int:
        """Return how many requests of a credential are under way now, over all workers."""
        with self._mutex:
            row = self._row(name)
            return 0 if row is None else self._used(row)

    def _row_counts(self, row: int) -> list[int]:
        return self._counts[row * _COLUMNS : (row + 1) * _COLUMNS].tolist()

    def _used(self, row: int) -> int:
        return sum(
            count
            for column, count in enumerate(self._row_counts(row))
            if count and is_alive(self._words[_PIDS + column])
        )

    def _row(self, name: str) -> int | None:
        """Return the row of a name, taken at its first request; None where all rows are taken: then
        it is not counted.
        """
        if name not in self._rows:
            digest = int.from_bytes(sha256(name.encode()).digest()[:8], "big") | 1
            with self._lock:
                self._rows[name] = next(
                    (row for row in range(_ROWS) if self._is_free_for(row, digest)), None
                )
        return self._rows[name]

    def _is_free_for(self, row: int, digest: int) -> bool:
        if self._words[row] == 0:
            self._words[row] = digest
        return self._words[row] == digest

    def _my_column(self) -> int:
        """Return the column of this process, taken and emptied at its first request; the last is
        for those who find none.
        """
        if self._pid != os.getpid():
            with self._lock:
                self._column = next(
                    (at for at in range(_COLUMNS - 1) if self._is_free(at)), _COLUMNS - 1
                )
                self._words[_PIDS + self._column] = self._pid = os.getpid()
                for row in range(_ROWS):
                    self._counts[row * _COLUMNS + self._column] = 0
        return self._column

    def _is_free(self, column: int) -> bool:
        pid = self._words[_PIDS + column]
        return pid in (0, os.getpid()) or not is_alive(pid)
