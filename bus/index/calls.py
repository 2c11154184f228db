"""Calls: how each began and ended.

`call_started` has call, type, from, target, digest, what is shown (command, argv or path),
client_id?, attempt?, approval?, detach?, cite?; `call_ended` call, result (ok, denied, error,
unknown), state, and facts: exitCode, duration_ms, sizes, sha256, error, and `unreached`: its target
could not be reached to end what was left of it; `call_reaped` call and leaked: what was left is
ended now.
"""

from __future__ import annotations

import json
import sqlite3
from typing import NamedTuple

from bus.index import activity, tallies
from bus.index.projection import Batch
from bus.index.tenures import is_over
from bus.index.unique_keys import as_json
from bus.model.records import Fields, Record

_NO_FACTS = ("kind", "seq", "id", "ts", "sum", "auth", "tenure")
_PRIVATE = frozenset(("digest", "client_id", "attempt", "approval", "detach", "cite"))
# The errors of calls that had begun and have done nothing. Their idempotency keys are free: the
# same call again is a new one, and its record has the number of the `attempt`, from 1 on.
UNDONE = ("target_busy", "driver_unavailable")


SCHEMA = """
-- Exec, files, containers: what was asked, and how it ended.
CREATE TABLE calls (
    id TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,
    sender TEXT NOT NULL,
    asked TEXT NOT NULL,
    done TEXT
) WITHOUT ROWID;
CREATE INDEX calls_running ON calls (seq) WHERE done IS NULL;
"""


class Found(NamedTuple):
    """A call as the log tells it: the record that asked for it, and the one that it ended with, or
    None.
    """

    asked: Record
    done: Record | None

    @property
    def is_undone(self) -> bool:
        """Whether it has ended and done nothing, so that its key is free."""
        return self.done is not None and self.done.get("error") in UNDONE


class Calls:
    """Applies the records of calls."""

    kinds: tuple[str, ...] = ("call_started", "call_ended", "call_reaped")
    schema = SCHEMA

    def __init__(self, batch: Batch) -> None:
        self._db = batch.db

    def apply(self, record: Record) -> None:
        """Apply one of them."""
        {"call_started": _started, "call_ended": _ended, "call_reaped": _reaped}[record["kind"]](
            self._db, record
        )


def _started(db: sqlite3.Connection, record: Record) -> None:
    db.execute(
        "INSERT OR IGNORE INTO calls VALUES (?, ?, ?, ?, NULL)",
        (record["call"], record["seq"], record["from"], as_json(record)),
    )
    activity.note(db, record, {**_event_of(record), "result": "running"})


def _ended(db: sqlite3.Connection, record: Record) -> None:
    found = get(db, record["call"])
    if found is None or found.done is not None:
        return
    db.execute("UPDATE calls SET done = ? WHERE id = ?", (as_json(record), record["call"]))
    tallies.count_call(db, found.asked["type"], record["result"])
    db.execute("DELETE FROM events WHERE seq = ?", (found.asked["seq"],))
    facts = {
        name: value for name, value in record.items() if name not in (*_NO_FACTS, "call", "state")
    }
    event = {**_event_of(found.asked), **facts, "time": found.asked["ts"]}
    # One that ends after its caller was revoked is nobody's: it must not be taken for the next
    # holder's.
    activity.note(
        db, {**record, "auth": "" if is_over(db, found.asked) else found.asked["auth"]}, event
    )


def _reaped(db: sqlite3.Connection, record: Record) -> None:
    found = get(db, record["call"])
    if found is None or found.done is None:
        return
    done = {
        name: value for name, value in found.done.items() if name not in ("unreached", "leaked")
    }
    left = {} if record["leaked"] == 0 else {"leaked": record["leaked"]}
    db.execute(
        "UPDATE calls SET done = ? WHERE id = ?", (as_json({**done, **left}), record["call"])
    )


def _event_of(asked: Record) -> Fields:
    shown = {
        name: value
        for name, value in asked.items()
        if name not in (*_NO_FACTS, "call") and name not in _PRIVATE
    }
    return {"id": asked["call"], **shown}


def get(db: sqlite3.Connection, id: str) -> Found | None:
    """Return one call."""
    row = db.execute("SELECT asked, done FROM calls WHERE id = ?", (id,)).fetchone()
    return (
        None
        if row is None
        else Found(json.loads(row[0]), None if row[1] is None else json.loads(row[1]))
    )


def unfinished(db: sqlite3.Connection) -> list[Record]:
    """Return what was asked and has not ended, oldest first."""
    return [
        json.loads(row[0])
        for row in db.execute("SELECT asked FROM calls WHERE done IS NULL ORDER BY seq")
    ]


def unreached(db: sqlite3.Connection) -> list[Record]:
    """Return what was asked and left something in a target that could not be reached to end it.

    Reads all calls, once at a start.
    """
    found = db.execute(
        "SELECT asked, done FROM calls WHERE done LIKE '%\"unreached\":%' ORDER BY seq"
    )
    return [json.loads(asked) for asked, done in found if "unreached" in json.loads(done)]
