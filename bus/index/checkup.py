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


_OPEN = (
    "SELECT number, message, status, priority, assignee, due_ms, waiting_on, changed"
    " FROM actions WHERE is_open = 1"
)


class Window(NamedTuple):
    """A stretch of seq, both ends included."""

    low: int
    high: int


def open_actions(db: sqlite3.Connection, limit: int) -> tuple[list[OpenAction], bool]:
    """Return the actions that are not closed, the oldest first, and whether these are all; of too
    many, as many of each credential that asks, so that one who asks for much hides no other's.
    """
    rows = db.execute(f"{_OPEN} ORDER BY number LIMIT ?", (limit + 1,))
    found = list(map(OpenAction._make, rows))
    if len(found) <= limit:
        return found, True
    askers = _askers(db)
    each = max(1, limit // len(askers))
    of_one = f"{_OPEN} AND auth = ? ORDER BY number LIMIT ?"
    found = [OpenAction(*row) for auth in askers for row in db.execute(of_one, (auth, each))]
    return sorted(found, key=lambda one: one.number), False


def _askers(db: sqlite3.Connection) -> list[str]:
    """Return the credentials that ask for something that is not closed."""
    found: list[str] = []
    auth = ""
    while True:
        sql = "SELECT min(auth) FROM actions WHERE is_open = 1 AND auth > ?"
        (auth,) = db.execute(sql, (auth,)).fetchone()
        if auth is None:
            return found
        found.append(auth)


def recipients(db: sqlite3.Connection, limit: int, begins: str = "") -> list[str]:
    """Return the names and roles that were ever sent something, in their order; only those that
    begin so, which are behind that itself.
    """
    found: list[str] = []
    name = begins
    while len(found) < limit:
        (name,) = db.execute(
            "SELECT min(recipient) FROM inbox WHERE recipient > ?", (name,)
        ).fetchone()
        if name is None or not name.startswith(begins):
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
