"""Which messages a reader is done with, as few ranges of seq as can be.

A range says that none of the lasting messages in it is unread. It reaches over whatever lies between two of
the reader's messages, so that two neighbours that are both done with always share one range. Hence every gap
between ranges holds an unread message, and a poll costs by what it gives, not by how long the log is or how
many messages were acknowledged behind one that never was.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from bus.records import EVERYBODY

LAST = 2**62
_SPARSE = 20  # seqs an acknowledged one stands for at most, to be worth looking at all between


def settle(db: sqlite3.Connection, reader: str, first: int, last: int = 0) -> None:
    """Note that the reader is done with the message `first`, or with all of its messages from `first` to `last`."""
    last = last or first
    below = db.execute(
        "SELECT lo, hi FROM settled WHERE reader = ? AND lo <= ? ORDER BY lo DESC LIMIT 1", (reader, first)
    ).fetchone()
    if below is not None and below[1] >= last:
        return
    lo = _neighbour(db, reader, first, "max(seq)", "<", 0) + 1
    hi = _neighbour(db, reader, last, "min(seq)", ">", last + 1) - 1
    if below is not None and below[1] >= lo - 1:
        lo = below[0]
    above = db.execute(
        "SELECT lo, hi FROM settled WHERE reader = ? AND lo <= ? ORDER BY lo DESC LIMIT 1", (reader, hi + 1)
    ).fetchone()
    if above is not None:
        hi = max(hi, above[1])
    db.execute("DELETE FROM settled WHERE reader = ? AND lo BETWEEN ? AND ?", (reader, lo, hi))
    db.execute("INSERT INTO settled VALUES (?, ?, ?)", (reader, lo, hi))


def settle_many(db: sqlite3.Connection, reader: str, seqs: list[int]) -> None:
    """Note that the reader is done with these messages: neighbours among its messages are settled together."""
    done = set(seqs)
    low, high = min(seqs), max(seqs)
    if high - low > _SPARSE * len(seqs):
        for seq in seqs:
            settle(db, reader, seq)
        return
    first = last = 0
    for seq in sorted({*_addressed(db, reader, low, high), *done}):
        if seq in done:
            first, last = first or seq, seq
        elif first:
            settle(db, reader, first, last)
            first = 0
    settle(db, reader, first, last)


class NewestRanges:
    """What `settle` does for messages that are the newest of all, without asking the database for each.

    A busy sender of broadcasts settles every one of them for itself; here that only moves a number. `write`
    must be called before anything else looks at the ranges.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._last: dict[str, int] = {}
        self._ranges: dict[str, tuple[int, int]] = {}

    def note(self, names: list[str], seq: int) -> None:
        """A lasting message to these names was applied; it is the newest."""
        for name in names:
            self._last[name] = seq

    def settle(self, reader: str, seq: int) -> None:
        """The reader is done with `seq`, which is newer than all that was noted."""
        before = max(self._last_of(reader), self._last_of(EVERYBODY))
        lo, hi = self._ranges.get(reader) or self._stored(reader)
        if hi < before:
            self._put(reader, lo, hi)
            lo = before + 1
        self._ranges[reader] = (lo, seq)

    def write(self) -> None:
        """Put the ranges into the database, and forget them: others may change them now."""
        for reader, (lo, hi) in self._ranges.items():
            self._put(reader, lo, hi)
        self._ranges.clear()

    def _put(self, reader: str, lo: int, hi: int) -> None:
        if hi >= lo:
            self._db.execute("INSERT OR REPLACE INTO settled VALUES (?, ?, ?)", (reader, lo, hi))

    def _stored(self, reader: str) -> tuple[int, int]:
        row = self._db.execute("SELECT lo, hi FROM settled WHERE reader = ? ORDER BY lo DESC LIMIT 1", (reader,)).fetchone()
        return (1, 0) if row is None else row

    def _last_of(self, name: str) -> int:
        if name not in self._last:
            row = self._db.execute("SELECT max(seq) FROM inbox WHERE recipient = ? AND lasting = 1", (name,)).fetchone()
            self._last[name] = row[0] or 0
        return self._last[name]


def settle_through(db: sqlite3.Connection, reader: str, through: int) -> None:
    """Note that the reader is done with every message up to `through`."""
    hi = _neighbour(db, reader, through, "min(seq)", ">", through + 1) - 1
    for last in db.execute("SELECT hi FROM settled WHERE reader = ? AND lo <= ? ORDER BY lo DESC LIMIT 1", (reader, hi + 1)):
        hi = max(hi, last[0])
    db.execute("DELETE FROM settled WHERE reader = ? AND lo <= ?", (reader, hi))
    db.execute("INSERT INTO settled VALUES (?, 1, ?)", (reader, hi))


def is_settled(db: sqlite3.Connection, reader: str, seq: int) -> bool:
    """Whether the reader is done with the lasting message `seq`."""
    row = db.execute("SELECT hi FROM settled WHERE reader = ? AND lo <= ? ORDER BY lo DESC LIMIT 1", (reader, seq)).fetchone()
    return row is not None and row[0] >= seq


def gaps(db: sqlite3.Connection, reader: str, after: int, before: int, *, descending: bool = False) -> Iterator[tuple[int, int]]:
    """The stretches of seq, ends included, strictly between `after` and `before` that no range covers."""
    if descending:
        yield from _gaps_down(db, reader, after, before)
        return
    low = after + 1
    for lo, hi in db.execute(
        "SELECT lo, hi FROM settled WHERE reader = ?1 AND lo >= coalesce("
        "(SELECT max(lo) FROM settled WHERE reader = ?1 AND lo <= ?2), 0) AND lo < ?3 ORDER BY lo",
        (reader, low, before),
    ):
        if low < lo:
            yield low, lo - 1
        low = max(low, hi + 1)
    if low < before:
        yield low, before - 1


def _gaps_down(db: sqlite3.Connection, reader: str, after: int, before: int) -> Iterator[tuple[int, int]]:
    high = before - 1
    for lo, hi in db.execute("SELECT lo, hi FROM settled WHERE reader = ? AND lo <= ? ORDER BY lo DESC", (reader, high)):
        if hi < high:
            yield max(hi, after) + 1, high
        high = min(high, lo - 1)
        if high <= after:
            return
    if high > after:
        yield after + 1, high


def _addressed(db: sqlite3.Connection, reader: str, low: int, high: int) -> list[int]:
    """The reader's lasting messages between two seqs, ends included."""
    return [
        row[0]
        for name in {reader, EVERYBODY}
        for row in db.execute(
            "SELECT seq FROM inbox WHERE recipient = ? AND lasting = 1 AND seq BETWEEN ? AND ?", (name, low, high)
        )
    ]


def _neighbour(db: sqlite3.Connection, reader: str, seq: int, pick: str, side: str, default: int) -> int:
    """The nearest lasting message of the reader's on one side of `seq`."""
    found: list[int] = [
        row[0]
        for name in {reader, EVERYBODY}
        for row in db.execute(f"SELECT {pick} FROM inbox WHERE recipient = ? AND lasting = 1 AND seq {side} ?", (name, seq))
        if row[0] is not None
    ]
    if not found:
        return default
    return max(found) if pick == "max(seq)" else min(found)
