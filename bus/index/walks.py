"""Walks over seqs in order: one for each filter, and their meeting points for several.

A walk can be asked for its first seq at or behind a place, so several are matched by leaping from
one to the other (https://arxiv.org/abs/1210.0481, leapfrog join), and what matches little makes the
whole cheap, whichever filter it is.

Down walks go from the newest to the oldest. Inside, a place is a *key* that always grows: the seq,
or minus the seq in a walk down.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from typing import Any, Protocol

from bus.index.expiring import next_live

_FIRST = itemgetter(0)
_FEW, _MANY = 8, 512
_PATIENT = 16  # chunks that a full-text walk reads on before it is begun anew further behind


class Walk(Protocol):
    """Seqs in order; `seek` gives the first key that is not smaller than `key`, None behind the
    last.
    """

    def seek(self, key: int) -> int | None: ...


def through(walk: Walk, after: int, before: int, down: bool) -> Iterator[int]:
    """Yield the seqs of a walk strictly between two."""
    key, last = (1 - before, -1 - after) if down else (after + 1, before - 1)
    while (found := walk.seek(key)) is not None and found <= last:
        yield abs(found)
        key = found + 1


class Rows:
    """The seqs that a statement gives: the first from a place on, `column` being the seq."""

    def __init__(
        self, db: sqlite3.Connection, sql: str, values: Sequence[Any], column: str, down: bool
    ) -> None:
        sign, order = ("<=", "DESC") if down else (">=", "ASC")
        self._sql = f"{sql} AND {column} {sign} ? ORDER BY {column} {order} LIMIT ?"
        self._db, self._values, self._down = db, values, down
        self._buffer: list[int] = []
        self._size, self._is_last = _FEW, False

    def seek(self, key: int) -> int | None:
        at = bisect_left(self._buffer, key)
        if at < len(self._buffer):
            return self._buffer[at]
        if self._is_last:
            return None
        # Whoever goes on step by step gets more at a time; whoever leaps does not read what it
        # leaps over.
        goes_on = bool(self._buffer) and key <= self._buffer[-1] + 1
        self._size = min(self._size * 4, _MANY) if goes_on else _FEW
        rows = self._db.execute(self._sql, (*self._values, -key if self._down else key, self._size))
        self._buffer = [-seq if self._down else seq for (seq,) in rows]
        self._is_last = len(self._buffer) < self._size
        return self._buffer[0] if self._buffer else None


class Live:
    """The live ones of a mailbox's expiring messages, or of all messages."""

    def __init__(self, db: sqlite3.Connection, mailbox: str, now_ms: int, down: bool) -> None:
        self._db, self._mailbox, self._now_ms, self._down = db, mailbox, now_ms, down
        self._buffer: list[int] = []
        self._is_last = False

    def seek(self, key: int) -> int | None:
        at = bisect_left(self._buffer, key)
        if at == len(self._buffer):
            if self._is_last:
                return None
            sign = -1 if self._down else 1
            self._buffer = [
                sign * seq
                for seq in next_live(self._db, self._mailbox, sign * key, self._now_ms, self._down)
            ]
            self._is_last, at = not self._buffer, 0
        return self._buffer[at] if self._buffer else None


class From:
    """What a walk has from a seq on, that one included."""

    def __init__(self, walk: Walk, floor: int, down: bool) -> None:
        self._walk, self._floor, self._down = walk, floor, down

    def seek(self, key: int) -> int | None:
        if not self._down:
            return self._walk.seek(max(key, self._floor))
        found = self._walk.seek(key)
        return None if found is None or -found < self._floor else found


class Fixed:
    """A few seqs that are known."""

    def __init__(self, seqs: Sequence[int], down: bool) -> None:
        self._keys = sorted(-seq if down else seq for seq in seqs)

    def seek(self, key: int) -> int | None:
        at = bisect_left(self._keys, key)
        return self._keys[at] if at < len(self._keys) else None


class Either:
    """What is in any of several walks."""

    def __init__(self, walks: Sequence[Walk]) -> None:
        self._heads: list[tuple[int, Walk]] = [(-(2**63), walk) for walk in walks]

    def seek(self, key: int) -> int | None:
        if self._heads and self._heads[0][0] >= key:
            return self._heads[0][0]
        heads = []
        for head, walk in self._heads:
            found = head if head >= key else walk.seek(key)
            if found is not None:
                heads.append((found, walk))
        heads.sort(key=_FIRST)
        self._heads = heads
        return heads[0][0] if heads else None


class Every:
    """What is in each of several walks. The ones that match least, or are cheapest, go first."""

    def __init__(self, walks: Sequence[Walk]) -> None:
        self._walks = walks

    def seek(self, key: int) -> int | None:
        while True:
            begun = key
            for walk in self._walks:
                found = walk.seek(key)
                if found is None:
                    return None
                key = found
            if key == begun:
                return key


class Unsettled:
    """What a reader is not done with, of a walk over its messages of one kind (lasting or not)."""

    def __init__(
        self, db: sqlite3.Connection, walk: Walk, reader: str, lasting: int, down: bool
    ) -> None:
        self._db, self._walk, self._who, self._down = db, walk, (reader, lasting), down
        self._gap = (0, -1)

    def seek(self, key: int) -> int | None:
        while (found := self._walk.seek(key)) is not None:
            seq = abs(found)
            if self._gap[0] <= seq <= self._gap[1]:
                return found
            below = self._db.execute(
                "SELECT lo, hi FROM settled WHERE reader = ? AND lasting = ? AND lo <= ? ORDER BY"
                " lo DESC LIMIT 1",
                (*self._who, seq),
            ).fetchone()
            if below is None or below[1] < seq:
                above = self._db.execute(
                    "SELECT min(lo) FROM settled WHERE reader = ? AND lasting = ? AND lo > ?",
                    (*self._who, seq),
                ).fetchone()[0]
                self._gap = (
                    1 if below is None else below[1] + 1,
                    2**62 if above is None else above - 1,
                )
                return found
            key = 1 - below[0] if self._down else below[1] + 1
        return None


class Words:
    """The messages that a full-text query finds.

    Its cursor stays open: beginning one may mean merging many words.
    """

    def __init__(self, db: sqlite3.Connection, query: str, down: bool) -> None:
        self._begin: Callable[[int], sqlite3.Cursor] = lambda key: db.execute(
            f"SELECT rowid FROM words WHERE words MATCH ? AND rowid {'<=' if down else '>='} ?"
            f" ORDER BY rowid {'DESC' if down else 'ASC'}",
            (query, -key if down else key),
        )
        self._is_prefix = "*" in query
        self._down = down
        self._cursor: sqlite3.Cursor | None = None
        self._buffer: list[int] = []

    def seek(self, key: int) -> int | None:
        for chunk in range(1 << 62):
            at = bisect_left(self._buffer, key)
            if at < len(self._buffer):
                return self._buffer[at]
            if self._cursor is None or (chunk >= _PATIENT and not self._is_prefix):
                self._cursor = self._begin(key)
            self._buffer = [
                -seq if self._down else seq for (seq,) in self._cursor.fetchmany(_FEW * 8)
            ]
            if not self._buffer:
                return None
        raise AssertionError("a walk ends")
