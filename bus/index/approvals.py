"""Approvals: what admins are asked, what they answered, and what was used.

`approval_asked` has approval, the fields of its call as in `call_started`, and expires;
`approval_answered` approval, allow, expires; `approval_used` approval: its one call has started.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from bus.index import activity
from bus.index.activity import first_since
from bus.index.projection import Batch
from bus.index.ranges import LAST
from bus.index.tenures import is_over
from bus.index.unique_keys import as_json
from bus.model import records
from bus.model.records import Record

SCHEMA = """
CREATE TABLE approvals (
    id TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,
    auth TEXT NOT NULL,
    digest TEXT NOT NULL,
    question TEXT NOT NULL,
    answer TEXT,
    used TEXT
) WITHOUT ROWID;
CREATE INDEX approvals_by_request ON approvals (auth, digest, seq);
CREATE INDEX approvals_by_caller ON approvals (auth, seq);
CREATE INDEX approvals_by_seq ON approvals (seq);
"""


class Asked(NamedTuple):
    """A question as the log tells it: its record, that of the answer, and when its one call was
    made.
    """

    question: Record
    answer: Record | None
    used: str | None


class Approvals:
    """Applies questions, answers and uses."""

    kinds: tuple[str, ...] = ("approval_asked", "approval_answered", "approval_used")
    schema = SCHEMA

    def __init__(self, batch: Batch) -> None:
        self._db = batch.db

    def apply(self, record: Record) -> None:
        """Apply one of them."""
        kind = record["kind"]
        if kind == "approval_asked":
            _asked(self._db, record)
        elif kind == "approval_answered":
            _answered(self._db, record)
        else:
            values = (record["ts"], record["approval"])
            self._db.execute("UPDATE approvals SET used = ? WHERE id = ?", values)


def _asked(db: sqlite3.Connection, record: Record) -> None:
    db.execute(
        "INSERT OR IGNORE INTO approvals VALUES (?, ?, ?, ?, ?, NULL, NULL)",
        (record["approval"], record["seq"], record["auth"], record["digest"], as_json(record)),
    )
    names = ("type", "from", "target", "command", "argv", "path")
    shown: Record = {name: record[name] for name in names if name in record}
    activity.note(db, record, {"id": record["approval"], **shown, "result": "asked"})


def _answered(db: sqlite3.Connection, record: Record) -> None:
    found = get(db, record["approval"])
    if found is None or found[1] is not None or is_over(db, found[0]):
        return
    db.execute(
        "UPDATE approvals SET answer = ? WHERE id = ?", (as_json(record), record["approval"])
    )
    said = "approve" if record["allow"] else "refuse"
    event = {
        "from": record["auth"],
        "type": "permit",
        "target": found[0]["target"],
        "source": found[0]["from"],
        **({"origin": record["origin"]} if "origin" in record else {}),
    }
    activity.note(db, record, {**event, "command": f"{said} {record['approval']}", "result": "ok"})


def end(db: sqlite3.Connection, record: Record) -> None:
    """What a name has asked expires with every answer to it, and so does what it has answered,
    unless it was used before.
    """
    ends = "json_set({0}, '$.expires', min(json_extract({0}, '$.expires'), ?1))"
    db.execute(
        f"UPDATE approvals SET question = {ends.format('question')},"
        f" answer = CASE WHEN answer IS NULL THEN NULL ELSE {ends.format('answer')} END"
        " WHERE auth = ?2 AND used IS NULL",
        (record["ts"], record["name"]),
    )
    db.execute(
        f"UPDATE approvals SET answer = {ends.format('answer')} WHERE json_extract(answer,"
        " '$.auth') = ?2 AND used IS NULL",
        (record["ts"], record["name"]),
    )


def get(db: sqlite3.Connection, id: str) -> Asked | None:
    """Return a question, its answer, and when it was used."""
    row = db.execute("SELECT question, answer, used FROM approvals WHERE id = ?", (id,)).fetchone()
    return None if row is None else _approval(row)


def pending_count(db: sqlite3.Connection, auth: str, now: str, since: str) -> int:
    """Return how many questions of a caller, asked since a time, wait for an answer."""
    row = db.execute(
        "SELECT COUNT(*) FROM approvals WHERE auth = ? AND seq >= ? AND answer IS NULL"
        " AND json_extract(question, '$.expires') > ?",
        (auth, _first_question(db, since), now),
    ).fetchone()
    return int(row[0])


def last(db: sqlite3.Connection, auth: str, digest: str) -> Asked | None:
    """Return the newest question of a caller about one request."""
    row = db.execute(
        "SELECT question, answer, used FROM approvals WHERE auth = ? AND digest = ? ORDER BY seq"
        " DESC LIMIT 1",
        (auth, digest),
    ).fetchone()
    return None if row is None else _approval(row)


def newest(db: sqlite3.Connection, auth: str | None, since: str) -> Iterator[Asked]:
    """Yield the questions that were asked since a time, of one caller or all, newest first."""
    whose = "" if auth is None else "auth = ? AND "
    values = (() if auth is None else (auth,)) + (_first_question(db, since),)
    for row in db.execute(
        f"SELECT question, answer, used FROM approvals WHERE {whose}seq >= ? ORDER BY seq DESC",
        values,
    ):
        yield _approval(row)


def _first_question(db: sqlite3.Connection, since: str) -> int:
    return first_since(db, "approvals", records.unix_ms(since)) or LAST


def _approval(row: tuple[str, str | None, str | None]) -> Asked:
    return Asked(json.loads(row[0]), None if row[1] is None else json.loads(row[1]), row[2])
