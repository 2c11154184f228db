"""What a check-up looks at: open actions, and mailboxes one by one. Nothing here walks over all
messages: a mailbox is asked by the ranges that its reader is done with.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

from bus.index.floors import floor
from bus.model.groups import is_topic
from bus.model.records import EVERYBODY


class OpenAction(NamedTuple):
    """What a check-up looks at of an action that is not closed."""

    number: int
    message: int
    status: str
    priority: str
    assignee: str | None
    due_ms: int | None
    waiting_on: str | None
    changed: str


class Window(NamedTuple):
    """A stretch of seq, both ends included."""

    low: int
    high: int


def open_actions(db: sqlite3.Connection, limit: int) -> list[OpenAction]:
    """Return the actions that are not closed, the oldest first."""
    rows = db.execute(
        "SELECT number, message, status, priority, assignee, due_ms, waiting_on, changed"
        " FROM actions WHERE is_open = 1 ORDER BY number LIMIT ?",
        (limit,),
    )
    return list(map(OpenAction._make, rows))


def recipients(db: sqlite3.Connection, limit: int) -> list[str]:
    """Return the names and roles that were ever sent something, in their order."""
    found: list[str] = []
    name = ""
    while len(found) < limit:
        (name,) = db.execute(
            "SELECT min(recipient) FROM inbox WHERE recipient > ?", (name,)
        ).fetchone()
        if name is None:
            break
        if is_topic(name):
            name = "topic:\U0010ffff"
        elif name != EVERYBODY:
            found.append(name)
    return found


def waiting(
    db: sqlite3.Connection, name: str, window: Window, cap: int, *, with_broadcasts: bool
) -> tuple[int, int]:
    """Return how many lasting messages of a mailbox between two seqs are unread, counted up to
    `cap`, and the seq of the oldest (0: there is none).
    """
    boxes = {name: window.low}
    if with_broadcasts:
        boxes[EVERYBODY] = max(window.low, floor(db, name))
    count = oldest = 0
    for low, high in _gaps(db, name, window):
        for box, first in boxes.items():
            some, least = db.execute(
                "SELECT count(*), min(seq) FROM (SELECT seq FROM inbox WHERE recipient = ? AND"
                " lasting = 1 AND seq BETWEEN ? AND ? ORDER BY seq LIMIT ?)",
                (box, max(low, first), high, cap - count),
            ).fetchone()
            count += some
            if least is not None:
                oldest = min(oldest or least, least)
        if count >= cap:
            break
    return count, oldest


def sent(
    db: sqlite3.Connection, name: str, window: Window, limit: int
) -> tuple[list[int], list[int]]:
    """Return the newest lasting messages to a very name between two seqs, and those of them that
    it is not done with.
    """
    rows = db.execute(
        "SELECT seq FROM inbox WHERE recipient = ? AND lasting = 1 AND seq BETWEEN ? AND ?"
        " ORDER BY seq DESC LIMIT ?",
        (name, *window, limit),
    )
    seqs = [seq for (seq,) in rows]
    if not seqs:
        return [], []
    gaps = list(_gaps(db, name, Window(seqs[-1], seqs[0])))
    lows = [low for low, _ in gaps]
    unread = []
    for seq in seqs:
        at = bisect_right(lows, seq) - 1
        if at >= 0 and seq <= gaps[at][1]:
            unread.append(seq)
    return seqs, unread


def _gaps(db: sqlite3.Connection, reader: str, window: Window) -> Iterator[tuple[int, int]]:
    """Yield the stretches between two seqs that the reader is not done with."""
    low = window.low
    (covered,) = db.execute(
        "SELECT hi FROM settled WHERE reader = ? AND lasting = 1 AND lo <= ? ORDER BY lo DESC"
        " LIMIT 1",
        (reader, low),
    ).fetchone() or (0,)
    low = max(low, covered + 1)
    for lo, hi in db.execute(
        "SELECT lo, hi FROM settled WHERE reader = ? AND lasting = 1 AND lo > ? AND lo <= ?"
        " ORDER BY lo",
        (reader, window.low, window.high),
    ):
        if low < lo:
            yield low, lo - 1
        low = max(low, hi + 1)
    if low <= window.high:
        yield low, window.high
