"""The feed of what happened: messages, and the events of the table `events`, by seq."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from bus.index import walks
from bus.index.messages import cut
from bus.index.projection import Batch
from bus.index.ranges import LAST
from bus.index.walks import Either, Every, Rows, Walk
from bus.model import records
from bus.model.activity import Event
from bus.model.records import Fields, Record

_TIME = 10  # characters of an id
_SESSIONS = 100  # names below one name that are walked one by one

_LONGEST_SHOWN = 1_000

SCHEMA = """
-- The feed, but for messages. A call stands where its last record stands.
CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    ms INTEGER NOT NULL,
    type TEXT NOT NULL,
    sender TEXT NOT NULL,
    auth TEXT NOT NULL,
    target TEXT NOT NULL,
    json TEXT NOT NULL
);

CREATE INDEX events_by_time ON events (ms);
CREATE INDEX events_by_type ON events (type, seq);
CREATE INDEX events_by_sender ON events (sender, seq);
CREATE INDEX events_by_auth ON events (auth, seq);
CREATE INDEX events_by_target ON events (target, seq);
"""


class Events:
    """Makes the table of events. The projections whose records are events fill it with `note`."""

    kinds: tuple[str, ...] = ()
    schema = SCHEMA

    def __init__(self, batch: Batch) -> None:
        pass

    def apply(self, record: Record) -> None:
        """Do nothing: see `note`."""


def note(db: sqlite3.Connection, record: Record, event: Fields) -> None:
    """Note an event; `record` is the one that it is of."""
    shown = {"seq": record["seq"], "id": record["id"], "time": record["ts"], **_brief(event)}
    db.execute(
        "INSERT OR REPLACE INTO events VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            record["seq"],
            records.unix_ms(record["ts"]),
            shown["type"],
            shown["from"],
            record.get("auth", ""),
            shown.get("target") or "",
            json.dumps(shown),
        ),
    )


def _brief(event: Fields) -> Fields:
    """Return an event with long commands cut: a feed of a hundred must not be megabytes.

    The call has them whole.
    """
    shown = dict(event)
    for name in ("command", "path"):
        if len(shown.get(name, "")) > _LONGEST_SHOWN:
            shown[name] = shown[name][:_LONGEST_SHOWN] + "…"
    if "argv" in shown and sum(map(len, shown["argv"])) > _LONGEST_SHOWN:
        shown["argv"] = [*(text[: _LONGEST_SHOWN // 8] for text in shown["argv"][:8]), "…"]
    return shown


class Filter(NamedTuple):
    """Which events: None is no condition.

    `since_ms` is a time, `after` and `before` are seqs, both exclusive.
    """

    since_ms: int
    sender: str | None = None
    type: str | None = None
    target: str | None = None
    after: int | None = None
    limit: int = 100
    before: int | None = None


def events(db: sqlite3.Connection, wanted: Filter) -> tuple[list[tuple[str, Event]], bool]:
    """Yield events oldest first, each with the credential behind it, and whether there are more:
    the newest, or the next `after`.

    As many as fit into a page of messages.
    """
    down = wanted.after is None
    parts = [] if wanted.type == "message" else [_others(db, wanted, down)]
    if wanted.type in (None, "message"):
        parts.append(_messages(db, wanted, down))
    after = max(wanted.after or 0, _first_since(db, wanted.since_ms) - 1)
    before = LAST if wanted.before is None else wanted.before
    found: dict[int, tuple[str, Event]] = {}

    def texts() -> Iterator[tuple[int, str]]:
        for seq in walks.through(Either(parts), after, before, down):
            text, found[seq] = _event(db, seq)
            yield seq, text

    kept, has_more = cut(texts(), wanted.limit)
    return [found[seq] for seq, _ in sorted(kept)], has_more


def _others(db: sqlite3.Connection, wanted: Filter, down: bool) -> Walk:
    parts: list[Walk] = []
    for column, value in (("type", wanted.type), ("target", wanted.target)):
        if value is not None:
            parts.append(
                Rows(db, f"SELECT seq FROM events WHERE {column} = ?", (value,), "seq", down)
            )
    if wanted.sender is not None:
        by_auth = Rows(db, "SELECT seq FROM events WHERE auth = ?", (wanted.sender,), "seq", down)
        parts.append(Either([by_auth, _from(db, "events", wanted.sender, down)]))
    return Every(parts) if parts else Rows(db, "SELECT seq FROM events WHERE 1", (), "seq", down)


def _messages(db: sqlite3.Connection, wanted: Filter, down: bool) -> Walk:
    parts: list[Walk] = []
    if wanted.sender is not None:
        parts.append(_from(db, "messages", wanted.sender, down))
    if wanted.target is not None:
        sql = "SELECT seq FROM inbox WHERE recipient = ? AND lasting = ?"
        parts.append(
            Either([Rows(db, sql, (wanted.target, lasting), "seq", down) for lasting in (0, 1)])
        )
    return Every(parts) if parts else Rows(db, "SELECT seq FROM messages WHERE 1", (), "seq", down)


def _from(db: sqlite3.Connection, table: str, name: str, down: bool) -> Walk:
    """Return what is from a name or its sessions.

    With too many sessions for a walk each, all is looked through.
    """
    names, last = [name], name + "/"
    while len(names) <= _SESSIONS:
        row = db.execute(
            f"SELECT min(sender) FROM {table} WHERE sender > ? AND sender < ?", (last, name + "0")
        ).fetchone()
        if row[0] is None:
            return Either(
                [
                    Rows(db, f"SELECT seq FROM {table} WHERE sender = ?", (who,), "seq", down)
                    for who in names
                ]
            )
        names.append(last := row[0])
    where = "(sender = ? OR (sender > ? AND sender < ?))"
    return Rows(
        db, f"SELECT seq FROM {table} WHERE {where}", (name, name + "/", name + "0"), "seq", down
    )


def first_since(db: sqlite3.Connection, table: str, since_ms: int) -> int | None:
    """Return the seq of the first row of a table since a time; None without one.

    Ids begin with their time, and go on at random.
    """
    if since_ms <= 0:
        return 1
    first_id = next(records.new_ids(since_ms / 1000))[:_TIME]
    row = db.execute(
        f"SELECT id FROM {table} WHERE id >= ? ORDER BY id LIMIT 1", (first_id,)
    ).fetchone()
    if row is None:
        return None
    found = db.execute(
        f"SELECT min(seq) FROM {table} WHERE id >= ? AND id < ?",
        (row[0][:_TIME], row[0][:_TIME] + "~"),
    )
    return int(found.fetchone()[0])


def _first_since(db: sqlite3.Connection, since_ms: int) -> int:
    event = db.execute(
        "SELECT min(seq) FROM events WHERE ms = (SELECT min(ms) FROM events WHERE ms >= ?)",
        (since_ms,),
    )
    seqs = (first_since(db, "messages", since_ms), event.fetchone()[0])
    return min((seq for seq in seqs if seq is not None), default=LAST - 1)


def _event(db: sqlite3.Connection, seq: int) -> tuple[str, tuple[str, Event]]:
    """Return the JSON of what stands at a seq, and the event with the credential behind it."""
    row = db.execute("SELECT auth, json FROM events WHERE seq = ?", (seq,)).fetchone()
    if row is not None:
        return row[1], (row[0], json.loads(row[1]))
    (text,) = db.execute("SELECT json FROM messages WHERE seq = ?", (seq,)).fetchone()
    message = json.loads(text)
    return text, (message["auth"], _message_event(message))


def _message_event(message: Record) -> Event:
    return {
        "seq": message["seq"],
        "id": message["id"],
        "time": message["ts"],
        "from": message["from"],
        "type": "message",
        "target": message["to"],
        "body": message["body"],
        "verified": message.get("verified", False),
        "result": "ok",
    }
