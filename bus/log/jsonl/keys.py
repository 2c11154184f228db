"""The unique keys of recent records: the index learns them a little later."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

from bus.log.base import UniqueIndex
from bus.log.jsonl import files
from bus.model import records
from bus.model.records import Record

_KEPT = 20_000  # before those that the index knows are let go


class KnownKeys:
    """Finds the record of a key. Used with the append lock held.

    `key_of` returns the key of a record, and `lines_after` the lines behind a seq in the files.
    """

    def __init__(
        self,
        key_of: Callable[[Record], str | None],
        lines_after: Callable[[int], Iterator[files.Line]],
    ) -> None:
        self._key_of, self._lines_after = key_of, lines_after
        self._recent: dict[str, Record] = {}
        self._has_missed = True

    def find(self, keys: set[str], index: UniqueIndex) -> dict[str, Record]:
        """Return the records with these keys; raises Rebuilding."""
        found = {key: self._recent[key] for key in keys & self._recent.keys()}
        if len(found) < len(keys):
            found |= index.records_of_unique(keys - found.keys())
        if len(found) < len(keys) and self._has_missed:
            self._read_on(index.known_to())
            self._has_missed = False
            found |= {key: self._recent[key] for key in keys & self._recent.keys()}
        return found

    def _read_on(self, known: int) -> None:
        """Learn the keys that the index does not know, and that this process did not see come."""
        for line in self._lines_after(known):
            if records.seq_at_start(line.data) > known:
                with suppress(records.Damaged):
                    self.follow(records.decode(line.data))

    def follow(self, record: Record) -> None:
        """Learn the key of a record that is in the files."""
        key = self._key_of(record)
        if key is not None:
            self._recent[key] = record

    def remember(self, fresh: dict[str, Record], index: UniqueIndex) -> None:
        """Learn keys that were just written."""
        self._recent.update(fresh)
        if len(self._recent) > _KEPT:
            known = index.known_to()
            self._recent = {
                key: record for key, record in self._recent.items() if record["seq"] > known
            }

    def forget(self) -> None:
        """Forget all: other processes may have written meanwhile, or taken records back."""
        self._recent, self._has_missed = {}, True
