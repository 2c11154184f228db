"""What each kind of record does to the index. The only code that writes to it."""

from __future__ import annotations

import sqlite3
from typing import Any

import orjson

from bus.index import calls, expiring, joining, machines
from bus.index.settled import NewestRanges, settle_many, settle_through
from bus.model import checks, records
from bus.model.filter import recipients
from bus.model.records import EVERYBODY, Position, Record

_HIDDEN = ("kind", "sum", "digest", "tenure")

_INSERTS = {
    "messages": "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?)",
    "inbox": "INSERT OR IGNORE INTO inbox VALUES (?, ?, ?)",
    "old_ids": "INSERT OR IGNORE INTO old_ids VALUES (?, ?)",
    "ranked": "INSERT OR IGNORE INTO ranked VALUES (?, ?, ?)",
    "tags": "INSERT OR IGNORE INTO tags VALUES (?, ?)",
    "words": "INSERT INTO words (rowid, body) VALUES (?, ?)",
    "unique_keys": "INSERT OR IGNORE INTO unique_keys VALUES (?, ?, ?, NULL)",
    "damage": "INSERT OR IGNORE INTO damage VALUES (?, ?, ?)",
}


def public(record: Record) -> Record:
    """A message as callers see it: the record without what only the hub needs."""
    shown = dict(record)
    for key in _HIDDEN:
        shown.pop(key, None)
    return shown


class Applier:
    """Applies records in order within one transaction; `finish` writes what was held back and the
    place.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._rows: dict[str, list[tuple[Any, ...]]] = {table: [] for table in _INSERTS}
        self._agents: dict[str, tuple[str, int]] = {}
        self._ackers: dict[str, int] = {}
        self._machines: set[str] = set()
        self._newest = NewestRanges(db)
        self._expiring: expiring.Rows = {}
        self._messages = self._damaged = 0

    def apply(self, record: Record) -> None:
        """Apply one record; a kind that is not known here has no meaning for queries and is passed
        over.
        """
        kind = record["kind"]
        if name := machines.name_in(record):
            self._machines.add(name)
        if kind == "message":
            self._message(record)
        elif kind == "ack":
            self._ack(record)
        elif kind == "damaged":
            self._damaged += 1
            self._rows["damage"].append((record["segment"], record["offset"], record["reason"]))
        else:
            if kind == "credential":
                self._flush()
                self._flush_names()
                joining.apply(self._db, record)
            calls.apply(self._db, record)
            if kind in ("call_started", "permission", "approval_answered"):
                self._acted(str(record.get("from") or record["auth"]), record)

    def finish(self, place: Position) -> None:
        """Write everything and note that the log is applied up to `place`."""
        self._flush()
        self._flush_names()
        self._db.execute(
            "UPDATE place SET seq = ?, token = ?, messages = messages + ?, damaged = damaged + ?",
            (place.seq, place.token, self._messages, self._damaged),
        )

    def _flush(self) -> None:
        for table, rows in self._rows.items():
            if rows:
                self._db.executemany(_INSERTS[table], rows)
                rows.clear()
        expiring.write(self._db, self._expiring)
        self._newest.write()

    def _flush_names(self) -> None:
        self._db.executemany(
            "INSERT INTO agents VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET ts = max(ts, excluded.ts)",
            ((name, ts, since) for name, (ts, since) in self._agents.items()),
        )
        self._db.executemany("INSERT OR REPLACE INTO ackers VALUES (?, ?)", self._ackers.items())
        machines.note(self._db, self._machines)
        self._agents.clear()
        self._ackers.clear()
        self._machines.clear()

    def _acted(self, name: str, record: Record) -> None:
        ts, since = self._agents.get(name, ("", record["seq"]))
        self._agents[name] = (
            max(ts, record["ts"]),
            since,
        )  # an imported one is older than it stands here

    def _message(self, record: Record) -> None:
        seq, sender, rows = record["seq"], record["from"], self._rows
        expires = record.get("expires")
        expires_ms = None if expires is None else records.unix_ms(expires)
        priority = record.get("priority", "normal")
        rows["messages"].append(
            (
                seq,
                record["id"],
                sender,
                record.get("thread"),
                expires_ms,
                orjson.dumps(public(record)).decode(),
            )
        )
        names, lasting = recipients(record), int(expires_ms is None)
        expiring.note(
            self._expiring, expiring.ALL, seq, expiring.NEVER if expires_ms is None else expires_ms
        )
        for name in names:
            rows["inbox"].append((name, lasting, seq))
            if expires_ms is not None:
                expiring.note(self._expiring, name, seq, expires_ms)
            rows["ranked"].append((name, priority, seq))
        for tag in record.get("tags", ()):
            rows["tags"].append((tag, seq))
        rows["words"].append((seq, record["body"]))
        if "old_id" in record:
            rows["old_ids"].append((checks.old_key(record["old_id"]), seq))
        key = records.unique_key(record)
        if key is not None:
            rows["unique_keys"].append((key, seq, record["digest"]))
        self._messages += 1
        self._acted(sender, record)
        if EVERYBODY in names or sender in names:
            self._newest.settle(
                sender, lasting, seq
            )  # one's own messages are never unread to oneself
        self._newest.note(names, lasting, seq)

    def _ack(self, record: Record) -> None:
        reader, ts = record["reader"], record["ts"]
        machine = reader.partition("/")[0]
        is_by_another = record.get("auth", machine) != machine
        if is_by_another and (machine in self._machines or machines.has(self._db, machine)):
            return  # it was on its way while the machine got its credential
        self._flush()
        if is_by_another:
            joining.note_ack(self._db, record)
        now_ms = records.unix_ms(ts)
        self._acted(reader, record)
        self._ackers[reader] = record["seq"]
        if "through" in record:
            through = record["through"]
            self._db.execute(
                "INSERT OR IGNORE INTO acks_through VALUES (?, ?, ?)", (reader, through, ts)
            )
            settle_through(self._db, reader, through, now_ms)
        if seqs := record.get("seqs"):
            self._db.executemany(
                "INSERT OR IGNORE INTO acks VALUES (?, ?, ?)", [(seq, reader, ts) for seq in seqs]
            )
            settle_many(self._db, reader, seqs, now_ms)
