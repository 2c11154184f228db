"""Which record has which unique key: no two records share one."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from itertools import islice

import orjson

from bus.index.projection import Batch
from bus.model import records
from bus.model.records import Record

_AT_ONCE = 500  # parameters of one question


SCHEMA = """
CREATE TABLE unique_keys (
    key TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,
    digest TEXT NOT NULL,
    json TEXT                             -- the record, where it is no message
) WITHOUT ROWID;
"""


class UniqueKeys:
    """Notes the keys of records."""

    kinds: tuple[str, ...] = (
        *("message", "call_started", "approval_used", "agent_joined"),
        *("message_retracted", "deadline_passed", "role_given", "files_leased", "action_changed"),
        *("message_starred", "permission"),
        *("silence_begun", "silence_over", "escalation_set", "escalated"),
    )
    schema = SCHEMA

    def __init__(self, batch: Batch) -> None:
        self._rows = batch.rows("INSERT OR IGNORE INTO unique_keys VALUES (?, ?, ?, ?)")

    def apply(self, record: Record) -> None:
        """Note the key of this record, if it has one."""
        key = records.unique_key(record)
        if key is None:
            return
        is_message = record["kind"] == "message"
        row = (
            key,
            record["seq"],
            record.get("digest", ""),
            None if is_message else as_json(record),
        )
        self._rows.append(row)


def as_json(record: Record) -> str:
    """Return a record as the index keeps it."""
    return orjson.dumps({name: record[name] for name in record if name != "sum"}).decode()


def records_of(db: sqlite3.Connection, keys: Collection[str]) -> dict[str, Record]:
    """Return the records with these keys."""
    found: dict[str, Record] = {}
    wanted = iter(keys)
    while some := list(islice(wanted, _AT_ONCE)):
        rows = db.execute(
            "SELECT key, messages.json, digest, unique_keys.json FROM unique_keys "
            "LEFT JOIN messages USING (seq) "
            f"WHERE key IN ({', '.join('?' * len(some))})",
            some,
        )
        for key, message, digest, record in rows:
            found[key] = (
                {**orjson.loads(message), "kind": "message", "digest": digest}
                if record is None
                else orjson.loads(record)
            )
    return found
