"""Which messages a reader is done with, as few ranges of seq as can be.

There are ranges for the lasting messages (`lasting` = 1) and others for those that expire (0). A
range says that none of those in it is unread. It reaches over whatever lies between two of the
reader's messages, so that two neighbours that are both done with always share one range. Hence
every gap between ranges holds an unread message, and a poll costs by what it gives, not by how long
the log is or how many messages were acknowledged behind one that never was.

Of messages that expire, those that were dead when their neighbour was acknowledged (by the time in
that record, so that every index has the same ranges) are no neighbours: a range reaches over them
too.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from bus.index.expiring import next_live
from bus.index.floors import floor
from bus.model.records import EVERYBODY

SCHEMA = """
-- No message of that kind with lo <= seq <= hi is unread by reader; as few ranges as can be.
CREATE TABLE settled (
    reader TEXT NOT NULL,
    lasting INTEGER NOT NULL,
    lo INTEGER NOT NULL,
    hi INTEGER NOT NULL,
    PRIMARY KEY (reader, lasting, lo)
) WITHOUT ROWID;
"""

LAST = 2**62
_SPARSE = 20  # seqs an acknowledged one stands for at most, to be worth looking at all between


class Mail(NamedTuple):
    """A reader's messages of one kind: the lasting ones, or those that expire as they are at a
    time.

    `floor`: the seq from which on broadcasts are among them.
    """

    reader: str
    lasting: int
    now_ms: int
    floor: int


def settle(db: sqlite3.Connection, mail: Mail, first: int, last: int = 0) -> None:
    """Note that the reader is done with the message `first`, or with all of its messages from
    `first` to `last`.
    """
    last = last or first
    below = _range_at(db, mail, first)
    if below is not None and below[1] >= last:
        return
    lo = (_neighbour(db, mail, first, down=True) or 0) + 1
    hi = (_neighbour(db, mail, last, down=False) or last + 1) - 1
    if below is not None and below[0] > lo:
        below = _range_at(db, mail, lo)  # it reached over dead ones that are no neighbours any more
    if below is not None and below[1] >= lo - 1:
        lo = min(lo, below[0])
    above = _range_at(db, mail, hi + 1)
    if above is not None:
        hi = max(hi, above[1])
    db.execute(
        "DELETE FROM settled WHERE reader = ? AND lasting = ? AND lo BETWEEN ? AND ?",
        (*mail[:2], lo, hi),
    )
    db.execute("INSERT INTO settled VALUES (?, ?, ?, ?)", (*mail[:2], lo, hi))


def settle_many(db: sqlite3.Connection, reader: str, seqs: list[int], now_ms: int) -> None:
    """Note that the reader is done with these messages: neighbours among its messages are settled
    together.
    """
    places = json.dumps(seqs)
    expiring = {
        seq
        for (seq,) in db.execute(
            "SELECT value FROM json_each(?) CROSS JOIN messages ON seq = value WHERE expires_ms IS"
            " NOT NULL",
            (places,),
        )
    }
    for lasting, of_kind in ((1, set(seqs) - expiring), (0, expiring)):
        if of_kind:
            _settle_set(db, Mail(reader, lasting, now_ms, floor(db, reader)), of_kind)


def _settle_set(db: sqlite3.Connection, mail: Mail, done: set[int]) -> None:
    low, high = min(done), max(done)
    if high - low > _SPARSE * len(done):
        for seq in done:
            settle(db, mail, seq)
        return
    first = last = 0
    for seq in sorted({*_addressed(db, mail, low, high), *done}):
        if seq in done:
            first, last = first or seq, seq
        elif first:
            settle(db, mail, first, last)
            first = 0
    settle(db, mail, first, last)


class NewestRanges:
    """What `settle` does for messages that are the newest of all, without asking the database for
    each.

    A busy sender of broadcasts settles every one of them for itself; here that only moves a number.
    `write` must be called before anything else looks at the ranges.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._last: dict[tuple[str, int], int] = {}
        self._floors: dict[str, int] = {}
        self._ranges: dict[tuple[str, int], tuple[int, int]] = {}

    def note(self, names: list[str], lasting: int, seq: int) -> None:
        """A message to these names was applied; it is the newest."""
        for name in names:
            self._last[name, lasting] = seq

    def settle(self, reader: str, lasting: int, seq: int) -> None:
        """The reader is done with `seq`, which is newer than all that was noted."""
        last_to_all = self._last_of(EVERYBODY, lasting)
        before = max(
            self._last_of(reader, lasting),
            last_to_all if last_to_all >= self._floor_of(reader) else 0,
        )
        lo, hi = self._ranges.get((reader, lasting)) or self._stored(reader, lasting)
        if hi < before:
            self._put(reader, lasting, lo, hi)
            lo = before + 1
        self._ranges[reader, lasting] = (lo, seq)

    def write(self) -> None:
        """Put the ranges into the database, and forget them: others may change them now."""
        for (reader, lasting), (lo, hi) in self._ranges.items():
            self._put(reader, lasting, lo, hi)
        self._ranges.clear()
        self._floors.clear()

    def _put(self, reader: str, lasting: int, lo: int, hi: int) -> None:
        if hi >= lo:
            self._db.execute(
                "INSERT OR REPLACE INTO settled VALUES (?, ?, ?, ?)", (reader, lasting, lo, hi)
            )

    def _stored(self, reader: str, lasting: int) -> tuple[int, int]:
        row = self._db.execute(
            "SELECT lo, hi FROM settled WHERE reader = ? AND lasting = ? ORDER BY lo DESC LIMIT 1",
            (reader, lasting),
        ).fetchone()
        return (1, 0) if row is None else row

    def _floor_of(self, reader: str) -> int:
        if reader not in self._floors:
            self._floors[reader] = floor(self._db, reader)
        return self._floors[reader]

    def _last_of(self, name: str, lasting: int) -> int:
        if (name, lasting) not in self._last:
            row = self._db.execute(
                "SELECT max(seq) FROM inbox WHERE recipient = ? AND lasting = ?", (name, lasting)
            ).fetchone()
            self._last[name, lasting] = row[0] or 0
        return self._last[name, lasting]


def settle_through(db: sqlite3.Connection, reader: str, through: int, now_ms: int) -> None:
    """Note that the reader is done with every message up to `through`."""
    for lasting in (0, 1):
        mail = Mail(reader, lasting, now_ms, floor(db, reader))
        hi = (_neighbour(db, mail, through, down=False) or through + 1) - 1
        above = _range_at(db, mail, hi + 1)
        if above is not None:
            hi = max(hi, above[1])
        db.execute(
            "DELETE FROM settled WHERE reader = ? AND lasting = ? AND lo <= ?",
            (reader, lasting, hi),
        )
        db.execute("INSERT INTO settled VALUES (?, ?, 1, ?)", (reader, lasting, hi))


def is_settled(db: sqlite3.Connection, reader: str, lasting: int, seq: int) -> bool:
    """Return whether the reader is done with the message `seq`, which is of that kind."""
    found = _range_at(db, Mail(reader, lasting, 0, 0), seq)
    return found is not None and found[1] >= seq


def around(db: sqlite3.Connection, reader: str, lasting: int, seq: int) -> tuple[int, int]:
    """Up to where the range reaches that covers `seq` (0: none does), and where the next one
    begins.
    """
    found = _range_at(db, Mail(reader, lasting, 0, 0), seq)
    if found is not None and found[1] >= seq:
        return found[1], found[1] + 1
    above = db.execute(
        "SELECT min(lo) FROM settled WHERE reader = ? AND lasting = ? AND lo > ?",
        (reader, lasting, seq),
    )
    return 0, above.fetchone()[0] or LAST


def gaps(db: sqlite3.Connection, reader: str, lasting: int) -> Iterator[tuple[int, int]]:
    """Yield the stretches of seq, ends included, that no range covers."""
    low = 1
    for lo, hi in db.execute(
        "SELECT lo, hi FROM settled WHERE reader = ? AND lasting = ? ORDER BY lo", (reader, lasting)
    ):
        if low < lo:
            yield low, lo - 1
        low = max(low, hi + 1)
    yield low, LAST


def _range_at(db: sqlite3.Connection, mail: Mail, seq: int) -> tuple[int, int] | None:
    """Return the last range that begins at `seq` or before it."""
    row: tuple[int, int] | None = db.execute(
        "SELECT lo, hi FROM settled WHERE reader = ? AND lasting = ? AND lo <= ? ORDER BY lo DESC"
        " LIMIT 1",
        (*mail[:2], seq),
    ).fetchone()
    return row


def _addressed(db: sqlite3.Connection, mail: Mail, low: int, high: int) -> list[int]:
    """Return the reader's messages between two seqs, ends included."""
    sql = (
        "SELECT seq FROM inbox WHERE recipient = ? AND lasting = 1 AND seq BETWEEN ? AND ?"
        if mail.lasting
        else (
            "SELECT place FROM expiring WHERE recipient = ? AND level = 0 AND place BETWEEN ? AND ?"
            " AND until_ms > ?"
        )
    )
    bounds = (high,) if mail.lasting else (high, mail.now_ms)
    lows = {mail.reader: low, EVERYBODY: max(low, mail.floor)}
    return [
        row[0] for name, first in lows.items() for row in db.execute(sql, (name, first, *bounds))
    ]


def _neighbour(db: sqlite3.Connection, mail: Mail, seq: int, *, down: bool) -> int | None:
    """Return the nearest message of the reader's on one side of `seq`; None where there is none."""
    to_name = _nearest(db, mail, mail.reader, seq, down)
    to_all = _nearest(db, mail, EVERYBODY, seq if down else max(seq, mail.floor - 1), down)
    found = [
        near
        for near, low in ((to_name, 0), (to_all, mail.floor))
        if near is not None and near >= low
    ]
    return (max(found) if down else min(found)) if found else None


def _nearest(db: sqlite3.Connection, mail: Mail, name: str, seq: int, down: bool) -> int | None:
    if not mail.lasting:
        return next(
            iter(next_live(db, name, seq - 1 if down else seq + 1, mail.now_ms, down)), None
        )
    pick, side = ("max(seq)", "<") if down else ("min(seq)", ">")
    row: tuple[int | None] = db.execute(
        f"SELECT {pick} FROM inbox WHERE recipient = ? AND lasting = 1 AND seq {side} ?",
        (name, seq),
    ).fetchone()
    return row[0]
