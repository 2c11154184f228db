"""Questions about messages, answered from the index.

Each gives JSON text as it is shown to callers.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple, cast

import orjson

from bus.index import expiring, ranges, stars, walks
from bus.index.mailboxes import of_reader
from bus.index.projection import Batch
from bus.index.ranges import LAST, NewestRanges
from bus.index.topics import subscribers
from bus.index.unread import mailbox, unread
from bus.index.walks import Either, Every, Fixed, Live, Rows, Walk
from bus.model import checks, records
from bus.model.filter import MAX_PAGE_BYTES, Selection, recipients
from bus.model.groups import TOPIC_PREFIX, is_topic
from bus.model.messages import Message
from bus.model.records import EVERYBODY, Record

_AT_ONCE = 64  # messages fetched together
_FEW_DEAD = 8  # to be passed one by one before a walk is worth more

SCHEMA = """
CREATE TABLE messages (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    sender TEXT NOT NULL,
    thread TEXT,
    expires_ms INTEGER,                   -- Unix time; NULL: never
    json TEXT NOT NULL                    -- as it is shown to callers
);
CREATE UNIQUE INDEX messages_by_id ON messages (id);
CREATE INDEX messages_by_sender ON messages (sender, seq);
CREATE INDEX messages_by_thread ON messages (thread, seq) WHERE thread IS NOT NULL;
-- Of imported messages: the id in the bus they came from, see checks.old_key.
CREATE TABLE old_ids (
    id TEXT PRIMARY KEY,
    seq INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE inbox (                      -- a row for each name in `to`; 'any' for a broadcast
    recipient TEXT NOT NULL,
    lasting INTEGER NOT NULL,             -- 0: it expires
    seq INTEGER NOT NULL,
    PRIMARY KEY (recipient, lasting, seq)
) WITHOUT ROWID;
CREATE TABLE ranked (                     -- the rows of inbox again, by priority
    recipient TEXT NOT NULL,
    priority TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (recipient, priority, seq)
) WITHOUT ROWID;
-- A tree over the rows with lasting = 0, so that dead ones are never walked over: see expiring.py.
CREATE TABLE expiring (
    recipient TEXT NOT NULL,
    level INTEGER NOT NULL,               -- 0: place is a seq; n: a stretch of 64**n seqs
    place INTEGER NOT NULL,
    until_ms INTEGER NOT NULL,            -- the latest deadline in it
    PRIMARY KEY (recipient, level, place)
) WITHOUT ROWID;
CREATE TABLE tags (
    tag TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (tag, seq)
) WITHOUT ROWID;
"""

_MESSAGE = "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?)"
_INBOX = "INSERT OR IGNORE INTO inbox VALUES (?, ?, ?)"
_RANKED = "INSERT OR IGNORE INTO ranked VALUES (?, ?, ?)"
_TAG = "INSERT OR IGNORE INTO tags VALUES (?, ?)"
_OLD_ID = "INSERT OR IGNORE INTO old_ids VALUES (?, ?)"
_FANOUT = "INSERT OR IGNORE INTO fanout VALUES (?, ?)"
_HIDDEN = ("kind", "sum", "digest", "tenure", "prior", "acked_by")


def public(record: Record) -> Record:
    """Return a message as callers see it: the record without what only the hub needs."""
    shown = dict(record)
    for name in _HIDDEN:
        shown.pop(name, None)
    return shown


class Messages:
    """Applies messages."""

    kinds: tuple[str, ...] = ("message",)
    schema = SCHEMA + ranges.SCHEMA

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._messages, self._inbox = batch.rows(_MESSAGE), batch.rows(_INBOX)
        self._ranked, self._tags = batch.rows(_RANKED), batch.rows(_TAG)
        self._old_ids, self._fanout = batch.rows(_OLD_ID), batch.rows(_FANOUT)
        self._newest = NewestRanges(batch.db)
        self._expiring: expiring.Rows = {}
        batch.at_flush(self._write)

    def _mailboxes(self, record: Record) -> list[str]:
        """Return the names in `to`, and the present subscribers of the topics in it."""
        names = recipients(record)
        topics = [name for name in names if is_topic(name)]
        if not topics:
            return names
        found = set(names)
        for topic in topics:
            found |= subscribers(self._batch.db, topic.removeprefix(TOPIC_PREFIX))
        found -= {record["from"]} - set(names)
        self._fanout.extend((record["seq"], name) for name in found if not is_topic(name))
        return sorted(found)

    def _write(self) -> None:
        expiring.write(self._batch.db, self._expiring)
        self._newest.write()

    def apply(self, record: Record) -> None:
        """Put a message into the mailboxes that it is for."""
        seq, sender = record["seq"], record["from"]
        expires = record.get("expires")
        expires_ms = None if expires is None else records.unix_ms(expires)
        priority = record.get("priority", "normal")
        text = orjson.dumps(public(record)).decode()
        self._messages.append((seq, record["id"], sender, record.get("thread"), expires_ms, text))
        names, lasting = self._mailboxes(record), int(expires_ms is None)
        expiring.note(
            self._expiring, expiring.ALL, seq, expiring.NEVER if expires_ms is None else expires_ms
        )
        for name in names:
            self._inbox.append((name, lasting, seq))
            if expires_ms is not None:
                expiring.note(self._expiring, name, seq, expires_ms)
            self._ranked.append((name, priority, seq))
        for tag in record.get("tags", ()):
            self._tags.append((tag, seq))
        if "old_id" in record:
            self._old_ids.append((checks.old_key(record["old_id"]), seq))
        self._batch.messages += 1
        if EVERYBODY in names or sender in names:
            # One's own messages are never unread to oneself.
            self._newest.settle(sender, lasting, seq)
        self._newest.note(names, lasting, seq)


class Page(NamedTuple):
    """Messages as JSON in the order asked for, with their seqs; `has_more` when a limit, of count
    or bytes, cut some off.
    """

    messages: list[str]
    seqs: list[int]
    has_more: bool

    @property
    def last(self) -> int | None:
        """The highest seq: the cursor to go on from. None on an empty page."""
        return max(self.seqs, default=None)


def page(db: sqlite3.Connection, selection: Selection, now_ms: int) -> Page:
    """Return the messages of a selection: at most its limit and MAX_PAGE_BYTES of JSON, but one at
    least.
    """
    down = selection.newest or selection.descending
    found = _plain(db, selection, now_ms, down) if selection.is_plain else None
    if found is None:
        seqs = seqs_of(selection, walk_of(db, selection, now_ms, down), down)
        found = cut(seen(db, selection, fetch(db, seqs, selection.limit + 1)), selection.limit)
    rows, has_more = found
    rows.sort(reverse=selection.descending)
    return Page([text for _, text in rows], [seq for seq, _ in rows], has_more)


def _plain(
    db: sqlite3.Connection, selection: Selection, now_ms: int, down: bool
) -> tuple[list[tuple[int, str]], bool] | None:
    """Return what `cut` gives for a selection without a filter, read straight from the table: half
    the cost of a walk.

    None where many dead messages lie between: a walk steps over those.
    """
    found = db.execute(
        "SELECT seq, CASE WHEN expires_ms IS NULL OR expires_ms > ? THEN json END FROM messages"
        f" WHERE seq BETWEEN ? AND ? ORDER BY seq {'DESC' if down else 'ASC'}",
        (now_ms, *bounds(selection)),
    )
    dead: list[int] = []
    kept, has_more = cut(_until_many(dead, found), selection.limit)
    return None if len(dead) > _FEW_DEAD else (kept, has_more)


def _until_many(
    dead: list[int], found: Iterable[tuple[int, str | None]]
) -> Iterator[tuple[int, str]]:
    """Yield the live ones, until there are too many among them without a text: those are put into
    `dead`.
    """
    for seq, text in found:
        if text is not None:
            yield seq, text
            continue
        dead.append(seq)
        if len(dead) > _FEW_DEAD:
            return


def by_seq(db: sqlite3.Connection, seq: int) -> str | None:
    """Return one message."""
    text: str | None = _one(db, "SELECT json FROM messages WHERE seq = ?", seq)
    return text


def ends(db: sqlite3.Connection, seq: int) -> Message:
    """Return the id, the sender and the recipients of a message: what says who may see it."""
    (text,) = db.execute(
        "SELECT json_object('id', id, 'from', sender, 'to', json_extract(json, '$.to'))"
        " FROM messages WHERE seq = ?",
        (seq,),
    ).fetchone()
    return cast(Message, json.loads(text))


def seq_of_id(db: sqlite3.Connection, id: str) -> int | None:
    """Return the seq of a message, by its id here or in the bus that it was imported from."""
    seq: int | None = _one(db, "SELECT seq FROM messages WHERE id = ?", id)
    return seq_of_old_id(db, id) if seq is None else seq


def seq_of_old_id(db: sqlite3.Connection, key: str) -> int | None:
    """Return the seq of an imported message; `key` is the `drafts.old_key` of its id there."""
    seq: int | None = _one(db, "SELECT seq FROM old_ids WHERE id = ?", key)
    return seq


def walk_of(
    db: sqlite3.Connection,
    selection: Selection,
    now_ms: int,
    down: bool,
    found: Iterable[Walk] = (),
) -> Walk:
    """Return the seqs of a selection, whatever its place and limit; `found` are more walks that
    must agree, asked last.
    """
    parts: list[Walk] = []
    if selection.thread is not None:
        parts.append(_thread(db, selection.thread, down))
    if selection.sender is not None:
        parts.append(_rows(db, "messages WHERE sender = ?", selection.sender, down))
    if selection.tag is not None:
        parts.append(_rows(db, "tags WHERE tag = ?", selection.tag, down))
    if selection.briefs:
        parts.append(Rows(db, "SELECT seq FROM briefs WHERE 1", (), "seq", down))
    if selection.starred_by is not None:
        parts.append(stars.of_reader(db, selection.starred_by, down))
    seen_at = None if selection.expired else now_ms
    if selection.unread_by is not None:
        boxes = of_reader(db, selection.unread_by, selection.machine)
        parts.append(unread(db, boxes, seen_at, down))
    if selection.to not in (None, selection.unread_by):
        parts.append(mailbox(db, str(selection.to), seen_at, down))
    if not (selection.to or selection.unread_by or selection.expired):
        parts.append(Live(db, expiring.ALL, now_ms, down))
    parts += found
    if not parts:
        parts.append(Rows(db, "SELECT seq FROM messages WHERE 1", (), "seq", down))
    return parts[0] if len(parts) == 1 else Every(parts)


def seqs_of(selection: Selection, walk: Walk, down: bool) -> Iterator[int]:
    """Return the seqs of a walk between the places of a selection."""
    low, high = bounds(selection)
    return walks.through(walk, low - 1, high + 1, down)


def bounds(selection: Selection) -> tuple[int, int]:
    """Return the first and the last seq that a selection may hold by its places; none where the
    first is the greater.
    """
    after = selection.after if selection.after is not None else 0
    before = selection.before if selection.before is not None else LAST
    return after + 1, before - 1


def fetch(
    db: sqlite3.Connection, seqs: Iterator[int], wanted: int = _AT_ONCE
) -> Iterator[tuple[int, str]]:
    """Yield the messages of these seqs, in their order, a few at a time; no more at once than are
    wanted.
    """
    while some := list(islice(seqs, min(wanted, _AT_ONCE))):
        yield from db.execute(
            "SELECT seq, messages.json FROM json_each(?) CROSS JOIN messages ON seq = value",
            (json.dumps(some),),
        )


def seen(
    db: sqlite3.Connection, selection: Selection, rows: Iterable[tuple[int, str]]
) -> Iterable[tuple[int, str]]:
    """Return the rows that whoever asks may see."""
    return rows if selection.view is None else selection.view.only_seen(db, rows)


def cut(rows: Iterable[tuple[int, str]], limit: int) -> tuple[list[tuple[int, str]], bool]:
    """Return the first rows, as many as fit into a page, and whether there are more."""
    kept: list[tuple[int, str]] = []
    left = MAX_PAGE_BYTES
    for row in rows:
        left -= len(row[1]) if row[1].isascii() else len(row[1].encode())
        if len(kept) == limit or (kept and left < 0):
            return kept, True
        kept.append(row)
    return kept, False


def _rows(db: sqlite3.Connection, where: str, value: str, down: bool) -> Walk:
    return Rows(db, f"SELECT seq FROM {where}", (value,), "seq", down)


def _thread(db: sqlite3.Connection, thread: str, down: bool) -> Walk:
    first = seq_of_id(db, thread)
    return Either(
        [
            _rows(db, "messages WHERE thread = ?", thread, down),
            Fixed([] if first is None else [first], down),
        ]
    )


def _one(db: sqlite3.Connection, sql: str, *values: Any) -> Any:
    row = db.execute(sql, values).fetchone()
    return None if row is None else row[0]
