"""What a digest is made of: the unread messages of a reader by urgency, and how many of each."""

from __future__ import annotations

import json
import sqlite3
from itertools import islice
from typing import NamedTuple

from bus.index.inbox import PRIORITIES
from bus.index.mailboxes import Mailboxes
from bus.index.ranges import LAST
from bus.index.unread import unread
from bus.index.walks import Either, Every, Rows, Walk, through
from bus.model.messages import Message
from bus.model.records import EVERYBODY

_BRIEFS = 2_000  # unread ones that are looked at


class Count(NamedTuple):
    """How many unread messages one sender has sent of a priority."""

    sender: str
    priority: str
    messages: int


def most_urgent(
    db: sqlite3.Connection, boxes: Mailboxes, now_ms: int, limit: int, longest: int
) -> list[Message]:
    """Return `limit` unread messages: the urgent ones, then briefs that say `high`, then the rest
    by priority; of each the oldest, with at most `longest` characters of a body.
    """
    seqs = dict.fromkeys(_unread(db, boxes, now_ms, "urgent", limit))
    if len(seqs) < limit:
        seqs |= dict.fromkeys(_high(db, boxes, now_ms))
    for priority in PRIORITIES[1:]:
        if len(seqs) < limit:
            seqs |= dict.fromkeys(_unread(db, boxes, now_ms, priority, limit))
    rows = db.execute(
        "SELECT CASE WHEN length(messages.json) <= ?2 THEN messages.json ELSE"
        " json_set(json_remove(messages.json, '$.data'), '$.body',"
        " substr(json_extract(messages.json, '$.body'), 1, ?2)) END"
        " FROM json_each(?1) CROSS JOIN messages ON seq = value",
        (json.dumps(list(seqs)[:limit]), longest),
    )
    return [json.loads(text) for (text,) in rows]


def counts(
    db: sqlite3.Connection, boxes: Mailboxes, now_ms: int, cap: int
) -> tuple[list[Count], bool]:
    """Return how many messages are unread, of the oldest `cap`, and whether these are all."""
    walk = unread(db, boxes, now_ms, down=False)
    seqs = list(islice(through(walk, 0, LAST, down=False), cap + 1))
    rows = db.execute(
        "SELECT sender, json_extract(messages.json, '$.priority'), count(*)"
        " FROM json_each(?) CROSS JOIN messages ON seq = value GROUP BY 1, 2",
        (json.dumps(seqs[:cap]),),
    )
    return [Count(*row) for row in rows], len(seqs) <= cap


def _unread(
    db: sqlite3.Connection, boxes: Mailboxes, now_ms: int, priority: str, limit: int
) -> list[int]:
    everything = unread(db, boxes, now_ms, down=False)
    walk = Every([_of_priority(db, boxes, priority), everything])
    return list(islice(through(walk, 0, LAST, down=False), limit))


def _high(db: sqlite3.Connection, boxes: Mailboxes, now_ms: int) -> list[int]:
    """Return the unread briefs that say `high`: as messages they are like all others."""
    briefs = Rows(db, "SELECT seq FROM briefs WHERE 1", (), "seq", down=False)
    walk = Every([briefs, unread(db, boxes, now_ms, down=False)])
    seqs = list(islice(through(walk, 0, LAST, down=False), _BRIEFS))
    rows = db.execute(
        "SELECT seq FROM json_each(?) CROSS JOIN messages ON seq = value"
        " WHERE json_extract(messages.json, '$.brief.priority') = 'high'",
        (json.dumps(seqs),),
    )
    return [seq for (seq,) in rows]


def _of_priority(db: sqlite3.Connection, boxes: Mailboxes, priority: str) -> Walk:
    sql = "SELECT seq FROM ranked WHERE recipient = ? AND priority = ?"
    names = (*boxes.names, EVERYBODY)
    return Either([Rows(db, sql, (name, priority), "seq", down=False) for name in names])
