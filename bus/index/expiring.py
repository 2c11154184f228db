"""Which messages still live, found in order of seq without walking over those that are dead.

The table `expiring` is a tree for each mailbox: level 0 has the deadline of each of its expiring
messages, level n the latest deadline within each stretch of 64**n seqs. A stretch whose latest
deadline has passed is stepped over as one, so that a search costs a few steps however many messages
have died, and no clock is needed to keep it in order.

The mailbox `ALL` has every message of the hub, those that never expire too, from level 1 on: its
level 0 is the table of messages.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

NEVER = 2**62  # the deadline of what has none
ALL = ""
_BITS, _TOP = 6, 4
_LAST_OF = (1 << _BITS) - 1

Rows = dict[tuple[str, int, int], int]
# The seqs of live messages from one seq to another, both ends included, in the order of the search.
Leaves = Callable[[int, int], list[int]]


def note(rows: Rows, mailbox: str, seq: int, until_ms: int) -> None:
    """Add a message to rows that `write` is given later."""
    place = seq
    for level in range(_TOP + 1):
        if level or mailbox != ALL:
            key = (mailbox, level, place)
            if rows.get(key, 0) >= until_ms:
                return  # the stretches above have been told of as late a deadline
            rows[key] = until_ms
        place >>= _BITS


def write(db: sqlite3.Connection, rows: Rows) -> None:
    """Write what was noted, and forget it."""
    db.executemany(
        "INSERT INTO expiring VALUES (?, ?, ?, ?) ON CONFLICT (recipient, level, place) DO UPDATE"
        " SET until_ms = max(until_ms, excluded.until_ms)",
        ((*key, until_ms) for key, until_ms in rows.items()),
    )
    rows.clear()


def live(db: sqlite3.Connection, mailbox: str, now_ms: int, down: bool) -> Leaves:
    """Return the live messages of a mailbox."""
    order = "DESC" if down else "ASC"
    if mailbox == ALL:
        sql = (
            "SELECT seq FROM messages WHERE seq BETWEEN ? AND ?"
            f" AND (expires_ms IS NULL OR expires_ms > ?) ORDER BY seq {order}"
        )
        return lambda low, high: [seq for (seq,) in db.execute(sql, (low, high, now_ms))]
    sql = (
        "SELECT place FROM expiring WHERE recipient = ? AND level = 0 AND place BETWEEN ? AND ?"
        f" AND until_ms > ? ORDER BY place {order}"
    )
    return lambda low, high: [seq for (seq,) in db.execute(sql, (mailbox, low, high, now_ms))]


def next_live(
    db: sqlite3.Connection, mailbox: str, seq: int, now_ms: int, down: bool = False
) -> list[int]:
    """Return the first live message of a mailbox at `seq` or behind it (before it with `down`), and
    some that follow it at once.
    """
    leaves = live(db, mailbox, now_ms, down)
    if _found(db, mailbox, _TOP, 0, NEVER, now_ms, down) is None:
        return []
    level, place = 0, seq
    while place >= 0:
        low, high = (place & ~_LAST_OF, place) if down else (place, place | _LAST_OF)
        if level == 0:
            if seqs := leaves(low, high):
                return seqs
        elif level == _TOP and down:
            low = 0
        elif level == _TOP:
            high = NEVER
        found = None if level == 0 else _found(db, mailbox, level, low, high, now_ms, down)
        if found is not None:
            level, place = level - 1, found << _BITS | (_LAST_OF if down else 0)
        elif level == _TOP:
            break
        else:
            level, place = level + 1, (place >> _BITS) + (-1 if down else 1)
    return []


def _found(
    db: sqlite3.Connection, mailbox: str, level: int, low: int, high: int, now_ms: int, down: bool
) -> int | None:
    """Return the first stretch between two places, ends included, in which something lives."""
    row: tuple[int] | None = db.execute(
        "SELECT place FROM expiring WHERE recipient = ? AND level = ? AND place BETWEEN ? AND ?"
        f" AND until_ms > ? ORDER BY place {'DESC' if down else 'ASC'} LIMIT 1",
        (mailbox, level, low, high, now_ms),
    ).fetchone()
    return None if row is None else row[0]
