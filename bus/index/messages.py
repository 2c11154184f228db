"""Questions about messages, answered from the index. Each gives JSON text as it is shown to callers."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any, NamedTuple

from bus.index.settled import LAST, gaps, is_settled
from bus.records import EVERYBODY
from bus.selection import Selection

Row = tuple[int, str]


class Page(NamedTuple):
    """Messages as JSON in the order asked for, with their seqs; `has_more` when the limit cut some off."""

    messages: list[str]
    seqs: list[int]
    has_more: bool

    @property
    def last(self) -> int | None:
        """The highest seq: the cursor to go on from. None on an empty page."""
        return max(self.seqs, default=None)


def page(db: sqlite3.Connection, selection: Selection, now_ms: int) -> Page:
    """The messages of a selection."""
    descending = selection.newest or selection.descending
    rows = list(_rows(db, selection, now_ms, selection.limit + 1, descending))
    has_more = len(rows) > selection.limit
    rows = sorted(rows[: selection.limit], reverse=selection.descending)
    return Page([text for _, text in rows], [seq for seq, _ in rows], has_more)


def by_seq(db: sqlite3.Connection, seq: int) -> str | None:
    """One message, expired or not."""
    text: str | None = _one(db, "SELECT json FROM messages WHERE seq = ?", seq)
    return text


def seq_of_id(db: sqlite3.Connection, id: str) -> int | None:
    """The seq of a message."""
    seq: int | None = _one(db, "SELECT seq FROM messages WHERE id = ?", id)
    return seq


def count(db: sqlite3.Connection) -> tuple[int, int]:
    """How many messages there are, and how many damaged lines were met."""
    row: tuple[int, int] = db.execute("SELECT messages, damaged FROM place").fetchone()
    return row


def unread_count(db: sqlite3.Connection, reader: str, now_ms: int, cap: int) -> int:
    """How many messages wait for a reader, counted up to `cap`."""
    total = 0
    for lo, hi in gaps(db, reader, 0, LAST):
        for name in {reader, EVERYBODY}:
            total += db.execute(
                "SELECT count(*) FROM (SELECT 1 FROM inbox WHERE recipient = ? AND lasting = 1 AND seq BETWEEN ? AND ? LIMIT ?)",
                (name, lo, hi, cap),
            ).fetchone()[0]
        if total >= cap:
            return cap
    for _ in _expiring_unread(db, Selection(unread_by=reader), now_ms):
        total += 1
    return min(total, cap)


def is_unread(db: sqlite3.Connection, reader: str, seq: int) -> bool:
    """Whether an acknowledgement of this message by this reader would say something new."""
    lasts = db.execute("SELECT expires_ms IS NULL FROM messages WHERE seq = ?", (seq,)).fetchone()
    if db.execute("SELECT 1 FROM acks WHERE seq = ? AND reader = ?", (seq, reader)).fetchone():
        return False
    if lasts is not None and lasts[0] and not is_settled(db, reader, seq):
        return True
    # Settled by "through", or one's own, or expiring: only a recorded acknowledgement counts.
    return not _acked_through(db, reader, seq)


def waits_for(db: sqlite3.Connection, reader: str, seq: int) -> bool:
    """Whether a message is unread by a reader: to it or to everybody, not its own, and not acknowledged."""
    row = db.execute("SELECT sender, expires_ms IS NULL FROM messages WHERE seq = ?", (seq,)).fetchone()
    return row is not None and row[0] != reader and _is_to(db, seq, reader) and is_unread(db, reader, seq)


def filters(selection: Selection, now_ms: int, place: str = "m.seq") -> tuple[str, list[Any]]:
    """SQL conditions on `m`, a row of messages, for all of a selection but recipient and order; and their values.

    `place` is the column that `after` and `before` are compared with.
    """
    after = selection.after if selection.after is not None else 0
    before = selection.before if selection.before is not None else LAST
    terms = [f"{place} > ? AND {place} < ?"]
    values: list[Any] = [after, before]
    if selection.sender is not None:
        terms.append("m.sender = ?")
        values.append(selection.sender)
    if selection.tag is not None:
        terms.append("EXISTS (SELECT 1 FROM tags WHERE tag = ? AND tags.seq = m.seq)")
        values.append(selection.tag)
    if selection.thread is not None:
        terms.append("m.seq IN (SELECT seq FROM messages WHERE thread = ? UNION ALL SELECT seq FROM messages WHERE id = ?)")
        values += [selection.thread, selection.thread]
    if not selection.expired:
        terms.append("(m.expires_ms IS NULL OR m.expires_ms > ?)")
        values.append(now_ms)
    return " AND ".join(terms), values


def _rows(db: sqlite3.Connection, selection: Selection, now_ms: int, limit: int, descending: bool) -> Iterator[Row]:
    if selection.unread_by is not None:
        yield from _unread(db, selection, now_ms, limit, descending)
        return
    # The place is asked of the table that leads, or SQLite walks it from its beginning.
    place = "i.seq" if selection.to is not None else "t.seq" if selection.tag is not None else "m.seq"
    terms, values = filters(selection, now_ms, place)
    order = f"ORDER BY {place} {'DESC' if descending else 'ASC'} LIMIT {limit}"
    if selection.to is not None:
        found = [
            row
            for name in sorted({selection.to, EVERYBODY})
            for lasting in (0, 1)
            for row in db.execute(
                "SELECT m.seq, m.json FROM inbox i CROSS JOIN messages m ON m.seq = i.seq"
                f" WHERE i.recipient = ? AND i.lasting = ? AND {terms} {order}",
                (name, lasting, *values),
            )
        ]
        yield from sorted(set(found), reverse=descending)[:limit]
    elif selection.tag is not None:
        yield from db.execute(
            f"SELECT m.seq, m.json FROM tags t CROSS JOIN messages m ON m.seq = t.seq WHERE t.tag = ? AND {terms} {order}",
            (selection.tag, *values),
        )
    else:
        yield from db.execute(f"SELECT m.seq, m.json FROM messages m WHERE {terms} {order}", values)


def _unread(db: sqlite3.Connection, selection: Selection, now_ms: int, limit: int, descending: bool) -> Iterator[Row]:
    reader = selection.unread_by
    assert reader is not None
    # "+" keeps SQLite from bounding the walk by these instead of the gap, which is the narrower.
    terms, values = filters(selection, now_ms, "+m.seq")
    after = selection.after if selection.after is not None else 0
    before = selection.before if selection.before is not None else LAST
    sql = (
        "SELECT m.seq, m.json FROM inbox i CROSS JOIN messages m ON m.seq = i.seq"
        " WHERE i.recipient = ? AND i.lasting = 1 AND i.seq BETWEEN ? AND ?"
        f" AND {terms} ORDER BY i.seq {'DESC' if descending else 'ASC'} LIMIT ?"
    )
    found = list(_expiring_unread(db, selection, now_ms))
    lasting = 0
    for lo, hi in gaps(db, reader, after, before, descending=descending):
        here = {row for name in (reader, EVERYBODY) for row in db.execute(sql, (name, lo, hi, *values, limit))}
        if selection.to is not None and selection.to != reader:
            here = {row for row in here if _is_to(db, row[0], selection.to)}
        found += here
        lasting += len(here)
        if lasting >= limit:
            break
    yield from sorted(found, reverse=descending)[:limit]


def _expiring_unread(db: sqlite3.Connection, selection: Selection, now_ms: int) -> Iterator[Row]:
    """The messages with an expiry that are unread; costs by how many live ones there are."""
    reader = selection.unread_by
    terms, values = filters(selection, now_ms)
    seen = set()
    for name in (reader, EVERYBODY):
        for seq, text, sender in db.execute(
            "SELECT m.seq, m.json, m.sender FROM expiring e CROSS JOIN messages m ON m.seq = e.seq"
            f" WHERE e.recipient = ? AND e.expires_ms > ? AND {terms}",
            (name, 0 if selection.expired else now_ms, *values),
        ):
            if sender == reader or seq in seen:
                continue
            seen.add(seq)
            if selection.to not in (None, reader) and not _is_to(db, seq, str(selection.to)):
                continue
            acked = db.execute("SELECT 1 FROM acks WHERE seq = ? AND reader = ?", (seq, reader)).fetchone()
            if acked is None and not _acked_through(db, str(reader), seq):
                yield seq, text


def _is_to(db: sqlite3.Connection, seq: int, name: str) -> bool:
    return any(
        db.execute("SELECT 1 FROM inbox WHERE recipient = ? AND lasting IN (0, 1) AND seq = ?", (who, seq)).fetchone()
        for who in (name, EVERYBODY)
    )


def _acked_through(db: sqlite3.Connection, reader: str, seq: int) -> bool:
    return _one(db, "SELECT 1 FROM acks_through WHERE reader = ? AND seq >= ? LIMIT 1", reader, seq) is not None


def _one(db: sqlite3.Connection, sql: str, *values: Any) -> Any:
    row = db.execute(sql, values).fetchone()
    return None if row is None else row[0]
