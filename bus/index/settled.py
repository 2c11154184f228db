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


def settle(db: sqlite3.Connection, reader: str, seq: int) -> None:
    """Note that the reader is done with the message `seq`."""
    below = db.execute(
        "SELECT lo, hi FROM settled WHERE reader = ? AND lo <= ? ORDER BY lo DESC LIMIT 1", (reader, seq)
    ).fetchone()
    if below is not None and below[1] >= seq:
        return
    lo = _neighbour(db, reader, seq, "max(seq)", "<", 0) + 1
    hi = _neighbour(db, reader, seq, "min(seq)", ">", seq + 1) - 1
    if below is not None and below[1] >= lo - 1:
        lo = below[0]
    above = db.execute(
        "SELECT lo, hi FROM settled WHERE reader = ? AND lo > ? ORDER BY lo LIMIT 1", (reader, seq)
    ).fetchone()
    if above is not None and above[0] <= hi + 1:
        hi = above[1]
    db.execute("DELETE FROM settled WHERE reader = ? AND lo BETWEEN ? AND ?", (reader, lo, hi))
    db.execute("INSERT INTO settled VALUES (?, ?, ?)", (reader, lo, hi))


def settle_through(db: sqlite3.Connection, reader: str, through: int) -> None:
    """Note that the reader is done with every message up to `through`."""
    hi = _neighbour(db, reader, through, "min(seq)", ">", through + 1) - 1
    for last in db.execute("SELECT hi FROM settled WHERE reader = ? AND lo <= ? ORDER BY lo DESC LIMIT 1", (reader, hi + 1)):
        hi = max(hi, last[0])
    db.execute("DELETE FROM settled WHERE reader = ? AND lo <= ?", (reader, hi))
    db.execute("INSERT INTO settled VALUES (?, 1, ?)", (reader, hi))


def is_settled(db: sqlite3.Connection, reader: str, seq: int) -> bool:
    """Whether the reader is done with the lasting message `seq`."""
    row = db.execute(
        "SELECT hi FROM settled WHERE reader = ? AND lo <= ? ORDER BY lo DESC LIMIT 1", (reader, seq)
    ).fetchone()
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


def _neighbour(db: sqlite3.Connection, reader: str, seq: int, pick: str, side: str, default: int) -> int:
    """The nearest lasting message of the reader's on one side of `seq`."""
    found = [
        row[0]
        for name in {reader, EVERYBODY}
        for row in db.execute(f"SELECT {pick} FROM inbox WHERE recipient = ? AND lasting = 1 AND seq {side} ?", (name, seq))
        if row[0] is not None
    ]
    if not found:
        return default
    return max(found) if pick == "max(seq)" else min(found)
