"""What a log promises. Every engine passes the same suite, `tests/log/test_contract.py`.

Promises of `append`:

- On return every draft is a record on stable storage, in the order given. Each `seq` is one more
  than that of the record before it, of whatever kind and from whatever process.
- Of two drafts with one `unique_key` only the first becomes a record. The other is answered with
  it, also if they come at once, from two processes, or days apart.
- On an error nothing was acknowledged. After `Busy` and `NoRoom` nothing was stored. After
  `Unconfirmed` and `StorageFailed` a record may be there: the same unique key tells.
- After one failed sync no process acknowledges anything until a start has verified the log.

Promises of `read`:

- It yields only what is on stable storage, once, in order, and never half a record.
- A damaged line costs that line only: it comes as a record of kind `damaged`.

A position is opaque but for its `seq`. It stays good over restarts, sealing and compression.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from bus.model.records import START, Position, Record


class Draft(NamedTuple):
    """A record that is not in the log yet: its fields, and the key that no two records share.

    Engines do not look into either. `records.unique_key` makes the key; None: it has none.
    """

    fields: dict[str, Any]
    unique_key: str | None = None


class Appended(NamedTuple):
    """What became of a draft: its record, and whether it was there before."""

    record: Record
    replayed: bool


class UniqueIndex(Protocol):
    """Finds old unique keys for an engine that cannot keep them all in memory."""

    def records_of_unique(self, keys: Collection[str]) -> dict[str, Record]:
        """Return the records with these unique keys, as far as they are among those up to
        `known_to`.
        """
        ...

    def known_to(self) -> int:
        """Return every record up to this seq is known here."""


class NothingKnown:
    """The unique index of a log that has none: only keys seen by this process are found."""

    def records_of_unique(self, keys: Collection[str]) -> dict[str, Record]:
        return {}

    def known_to(self) -> int:
        return 0


class Log(Protocol):
    """An append-only sequence of records."""

    unique_index: UniqueIndex

    def append(self, drafts: Sequence[Draft]) -> list[Appended]:
        """Make records of drafts; one result a draft.

        Raises Busy, Unconfirmed, StorageFailed, NoRoom.
        """

    def read(self, after: Position = START) -> Iterator[tuple[Position, Record]]:
        """Return the durable records after a position, oldest first, each with the position behind
        it.
        """

    def position(self) -> Position:
        """Return the end of what is durable; cheap enough for every request."""

    def holds(self, position: Position) -> bool:
        """Return whether this position was made by this log and what it stands behind is still
        there.
        """

    def has_room(self) -> bool:
        """Return whether the next record would find room, as far as that can be known
        beforehand.
        """
        ...

    def failed(self) -> bool:
        """Return whether acknowledgements have stopped because a write or sync failed."""

    def close(self) -> None:
        """Let go of files and locks."""
