"""What a reader with little room should see first: unread messages in order of rank, at a bounded cost.

The rank of a message: urgent before normal before fyi; then by name before broadcast; then the sooner deadline
(`expires`) first, none last; then the older first. Each of the six classes (priority, by name or not) is read in order of
seq from where the cursor says, only as far as the answer has room, so that the cost goes with the answer and not with
the backlog. Bounds, for backlogs that no reader would work through this way:

- of the messages with a deadline, the soonest `_EXPIRING` per mailbox are looked at;
- normal messages are found by passing over those that are not; after `_PASSED_OVER` in a row the search ends;
- `_STEPS` stretches of acknowledged messages between unread ones are passed over in each class.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from heapq import merge
from itertools import islice
from typing import Any, NamedTuple

from bus.index.messages import _acked_through
from bus.index.settled import LAST
from bus.records import EVERYBODY

PRIORITIES = ("urgent", "normal", "fyi")
_NEVER = 2**62  # the deadline of what has none
_EXPIRING, _PASSED_OVER, _STEPS, _AT_ONCE = 500, 5_000, 2_000, 64
_CURSOR = re.compile(r"([0-2])\.([01])\.([0-9]{1,19})\.([0-9]{1,19})")


class Rank(NamedTuple):
    """Where a message stands; smaller is first. Also the cursor: what comes after it."""

    priority: int
    broadcast: int
    deadline_ms: int
    seq: int

    def as_text(self) -> str:
        return ".".join(map(str, self))

    @classmethod
    def from_text(cls, text: str) -> Rank | None:
        """The rank in a cursor; None when it is none."""
        match = _CURSOR.fullmatch(text)
        return cls(*map(int, match.groups())) if match and int(match[4]) < LAST else None


FIRST = Rank(0, 0, 0, 0)


def ranked(db: sqlite3.Connection, reader: str, now_ms: int, after: Rank = FIRST) -> Iterator[tuple[Rank, dict[str, Any]]]:
    """The unread messages of a reader by rank, those up to `after` left out."""
    for rank in _ranks(db, reader, now_ms, after):
        (text,) = db.execute("SELECT json FROM messages WHERE seq = ?", (rank.seq,)).fetchone()
        yield rank, json.loads(text)


def _ranks(db: sqlite3.Connection, reader: str, now_ms: int, after: Rank) -> Iterator[Rank]:
    expiring = _expiring(db, reader, now_ms)
    for priority in range(len(PRIORITIES)):
        for broadcast, mailbox in ((0, reader), (1, EVERYBODY)):
            if (priority, broadcast) < after[:2]:
                continue
            here = after if (priority, broadcast) == after[:2] else Rank(priority, broadcast, 0, 0)
            begin = here.seq if here.deadline_ms == _NEVER else 0
            lasting = (Rank(priority, broadcast, _NEVER, seq) for seq in _lasting(db, reader, mailbox, priority, begin))
            ending = [rank for rank in expiring if rank[:2] == (priority, broadcast)]
            yield from (rank for rank in merge(ending, lasting) if rank > here)


def _lasting(db: sqlite3.Connection, reader: str, mailbox: str, priority: int, after: int) -> Iterator[int]:
    """The seqs of one class's unread messages without a deadline, ascending."""
    place = after
    for _ in range(_STEPS):
        found, last = _next_of(db, mailbox, priority, place)
        if not found:
            return
        for seq in found:
            if seq <= place:
                continue
            settled = db.execute(
                "SELECT hi FROM settled WHERE reader = ? AND lo <= ? ORDER BY lo DESC LIMIT 1", (reader, seq)
            ).fetchone()
            if settled is not None and settled[0] >= seq:
                place = settled[0]  # all up to there is done with: go on behind it
            else:
                yield seq
        place = max(place, last)


def _next_of(db: sqlite3.Connection, mailbox: str, priority: int, after: int) -> tuple[list[int], int]:
    """Some seqs of a class, read or not, and up to where the mailbox has been looked through."""
    if priority != PRIORITIES.index("normal"):
        rows = db.execute(
            "SELECT seq FROM marked WHERE recipient = ? AND priority = ? AND seq > ? ORDER BY seq LIMIT ?",
            (mailbox, PRIORITIES[priority], after, _AT_ONCE),
        ).fetchall()
    else:
        rows = db.execute(
            "SELECT i.seq FROM (SELECT recipient, seq FROM inbox WHERE recipient = ? AND lasting = 1 AND seq > ?"
            " ORDER BY seq LIMIT ?) i"
            " WHERE NOT EXISTS (SELECT 1 FROM marked m WHERE m.recipient = i.recipient AND m.priority IN ('urgent', 'fyi')"
            " AND m.seq = i.seq) LIMIT ?",
            (mailbox, after, _PASSED_OVER, _AT_ONCE),
        ).fetchall()
    found = sorted(seq for (seq,) in rows)
    return found, found[-1] if found else after


def _expiring(db: sqlite3.Connection, reader: str, now_ms: int) -> list[Rank]:
    """The ranks of the unread messages with a deadline that has not passed, sorted."""
    found = set()
    for broadcast, mailbox in ((0, reader), (1, EVERYBODY)):
        rows = db.execute(
            "SELECT e.seq, e.expires_ms, m.sender, json_extract(m.json, '$.priority') FROM expiring e"
            " CROSS JOIN messages m ON m.seq = e.seq WHERE e.recipient = ? AND e.expires_ms > ? ORDER BY e.expires_ms LIMIT ?",
            (mailbox, now_ms, _EXPIRING),
        )
        for seq, expires_ms, sender, priority in rows.fetchall():
            acked = db.execute("SELECT 1 FROM acks WHERE seq = ? AND reader = ?", (seq, reader)).fetchone()
            if sender != reader and acked is None and not _acked_through(db, reader, seq):
                found.add(Rank(PRIORITIES.index(priority), broadcast, expires_ms, seq))
    return sorted(found)


def first(db: sqlite3.Connection, reader: str, now_ms: int, after: Rank, limit: int) -> list[tuple[Rank, dict[str, Any]]]:
    """The first `limit` of `ranked`."""
    return list(islice(ranked(db, reader, now_ms, after), limit))
