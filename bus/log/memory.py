"""The log's twin in memory: the same promises, without the disk.

For tests and for trying things out.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence

from bus.log.base import Appended, Draft, NothingKnown, UniqueIndex
from bus.model import records
from bus.model.records import START, Position, Record


class MemoryLog:
    """See `bus.log.base`. It is gone with its process, and only that process sees it."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._records: list[Record] = []
        self._by_key: dict[str, Record] = {}
        self._mutex = threading.Lock()
        self.unique_index: UniqueIndex = NothingKnown()  # never asked: all keys are in memory

    def append(self, drafts: Sequence[Draft]) -> list[Appended]:
        with self._mutex:
            return [self._append_one(draft) for draft in drafts]

    def read(self, after: Position = START) -> Iterator[tuple[Position, Record]]:
        for record in self._records[after.seq :]:
            yield Position(record["seq"], "memory"), record

    def position(self) -> Position:
        return Position(len(self._records), "memory")

    def holds(self, position: Position) -> bool:
        return position.seq <= len(self._records) and (
            position == START or position.token == "memory"
        )

    def has_room(self) -> bool:
        """Always."""
        return True

    def failed(self) -> bool:
        return False

    def restore(self) -> bool:
        return False

    def close(self) -> None:
        self._records.clear()

    def _append_one(self, draft: Draft) -> Appended:
        key = draft.unique_key
        if key is not None and key in self._by_key:
            return Appended(self._by_key[key], True)
        now = self._clock()
        record = {
            "seq": len(self._records) + 1,
            "id": next(records.new_ids(now)),
            "ts": records.utc(now),
            **draft.fields,
        }
        self._records.append(record)
        if key is not None:
            self._by_key[key] = record
        return Appended(record, False)
