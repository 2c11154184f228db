"""What a reader has not acknowledged: questions about one mailbox, answered from the index."""

from __future__ import annotations

import sqlite3
from bisect import bisect_left
from collections.abc import Callable
from itertools import islice

from bus.index import expiring
from bus.index.floors import floor
from bus.index.mailboxes import Mailboxes
from bus.index.ranges import LAST, around, gaps, is_settled
from bus.index.stars import of_reader
from bus.index.walks import Either, Every, From, Live, Rows, Unsettled, Walk, through
from bus.model.groups import is_group
from bus.model.records import EVERYBODY, unix_ms

_TO_NAME = "SELECT seq FROM inbox WHERE recipient = ? AND lasting = ?"


def unread_count(
    db: sqlite3.Connection, boxes: Mailboxes, now_ms: int, cap: int, starred_by: str | None = None
) -> int:
    """Return how many messages wait in some mailboxes, counted up to `cap`; `starred_by` counts
    only those that this reader has starred.
    """
    if not boxes.direct and starred_by is None:
        return _count(db, boxes.whole, now_ms, cap)
    # One message may lie in several of them.
    walk = unread(db, boxes, now_ms, False, starred_by)
    return sum(1 for _ in islice(through(walk, 0, LAST, down=False), cap))


def _count(db: sqlite3.Connection, reader: str, now_ms: int, cap: int) -> int:
    total, start = 0, floor(db, reader)
    for lo, hi in gaps(db, reader, 1):
        for name, low in {reader: lo, EVERYBODY: max(lo, start)}.items():
            total += db.execute(
                "SELECT count(*) FROM (SELECT 1 FROM inbox WHERE recipient = ? AND lasting = 1 AND"
                " seq BETWEEN ? AND ? LIMIT ?)",
                (name, low, hi, cap),
            ).fetchone()[0]
        if total >= cap:
            return cap
    starts = {reader: 1, EVERYBODY: max(start, 1)}
    return min(
        total
        + sum(
            _count_live(db, name, first, reader, now_ms, cap - total)
            for name, first in starts.items()
        ),
        cap,
    )


def oldest_unread_ms(db: sqlite3.Connection, boxes: Mailboxes, now_ms: int) -> int | None:
    """Return when the oldest message that waits in some mailboxes was saved (Unix milliseconds)."""
    seq = unread(db, boxes, now_ms, down=False).seek(0)
    if seq is None:
        return None
    row = db.execute(
        "SELECT json_extract(json, '$.ts') FROM messages WHERE seq = ?", (seq,)
    ).fetchone()
    return unix_ms(row[0])


def has_mail(db: sqlite3.Connection, name: str, now_ms: int) -> bool:
    """Return whether a message to this very name waits, whatever waits for everybody."""
    return Either(_direct(db, name, now_ms, down=False)).seek(0) is not None


def _count_live(
    db: sqlite3.Connection, mailbox: str, seq: int, reader: str, now_ms: int, cap: int
) -> int:
    """Return how many expiring messages of a mailbox, from `seq` on, live and are unread by a
    reader; some at a time, at most `cap`.
    """
    total = 0
    while total < cap and (some := expiring.next_live(db, mailbox, seq, now_ms)):
        covered_to, next_range = around(db, reader, 0, some[0])
        if covered_to:
            seq = covered_to + 1
            continue
        here = bisect_left(some, next_range)
        total, seq = total + here, some[here - 1] + 1
    return total


def is_unread(db: sqlite3.Connection, reader: str, seq: int) -> bool:
    """Return whether an acknowledgement of this message by this reader would say something new."""
    lasts = db.execute("SELECT expires_ms IS NULL FROM messages WHERE seq = ?", (seq,)).fetchone()
    if db.execute("SELECT 1 FROM acks WHERE seq = ? AND reader = ?", (seq, reader)).fetchone():
        return False
    if lasts is not None and not is_settled(db, reader, lasts[0], seq):
        return True
    # Settled by "through", or one's own, or dead: only a recorded acknowledgement counts.
    through = "SELECT 1 FROM acks_through WHERE reader = ? AND seq >= ? LIMIT 1"
    return db.execute(through, (reader, seq)).fetchone() is None


def unread(
    db: sqlite3.Connection,
    boxes: Mailboxes,
    now_ms: int | None,
    down: bool,
    starred_by: str | None = None,
) -> Walk:
    """Return what waits in some mailboxes; expired ones too without a time. `starred_by` takes only
    what this reader has starred.
    """
    reader, start = boxes.whole, floor(db, boxes.whole)
    expiring_ones = (
        _all_of(db, reader, 0, down, start)
        if now_ms is None
        else _live(db, reader, now_ms, down, start)
    )
    parts = [(1, walk) for walk in _all_of(db, reader, 1, down, start)] + [
        (0, walk) for walk in expiring_ones
    ]
    walks = [Unsettled(db, walk, reader, lasting, down) for lasting, walk in parts]
    for name in boxes.direct:
        walks += _direct(db, name, now_ms, down)
    found = Either(walks)
    return found if starred_by is None else Every([of_reader(db, starred_by, down), found])


def _direct(db: sqlite3.Connection, name: str, now_ms: int | None, down: bool) -> list[Unsettled]:
    """Return what waits of the mail to a very name."""
    lasting, expiring_ones = (Rows(db, _TO_NAME, (name, kind), "seq", down) for kind in (1, 0))
    alive: Walk = expiring_ones if now_ms is None else Live(db, name, now_ms, down)
    return [Unsettled(db, lasting, name, 1, down), Unsettled(db, alive, name, 0, down)]


def mailbox(db: sqlite3.Connection, name: str, now_ms: int | None, down: bool) -> Walk:
    """Return what is to a name or to everybody; expired ones too without a time."""
    expiring_ones = _all_of(db, name, 0, down) if now_ms is None else _live(db, name, now_ms, down)
    return Either([*_all_of(db, name, 1, down), *expiring_ones])


def _all_of(
    db: sqlite3.Connection, name: str, lasting: int, down: bool, start: int = 0
) -> list[Walk]:
    """Return the walks over what is to a name, and over broadcasts from `start` on."""
    return _of_both(name, lambda who: Rows(db, _TO_NAME, (who, lasting), "seq", down), down, start)


def _live(db: sqlite3.Connection, name: str, now_ms: int, down: bool, start: int = 0) -> list[Walk]:
    return _of_both(name, lambda who: Live(db, who, now_ms, down), down, start)


def _of_both(name: str, walk: Callable[[str], Walk], down: bool, start: int) -> list[Walk]:
    if is_group(name):
        return [walk(name)]
    to_all = walk(EVERYBODY)
    both = [From(to_all, start, down) if start else to_all]
    return both if name == EVERYBODY else [*both, walk(name)]
