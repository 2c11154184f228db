"""Permissions: the last word on each source, target and action.

The record `permission` has source, target, allow (null: removed), actions, commands?, approval?,
expires?.
"""

from __future__ import annotations

import json
import sqlite3

from bus.index import activity
from bus.index.projection import Batch
from bus.index.unique_keys import as_json
from bus.model.permissions import Rule
from bus.model.records import Record

SCHEMA = """
CREATE TABLE rules (                      -- the last word on each source, target and action
    source TEXT NOT NULL,
    target TEXT NOT NULL,
    action TEXT NOT NULL,
    lasting INTEGER NOT NULL,             -- 0: it expires, and then the lasting one holds again
    seq INTEGER NOT NULL,
    json TEXT NOT NULL,
    PRIMARY KEY (source, target, action, lasting)
) WITHOUT ROWID;
"""


class Permissions:
    """Applies permissions."""

    kinds: tuple[str, ...] = ("permission",)
    schema = SCHEMA

    def __init__(self, batch: Batch) -> None:
        self._db = batch.db

    def apply(self, record: Record) -> None:
        """Apply one."""
        lasting = int("expires" not in record)
        for action in record["actions"]:
            rule = (record["source"], record["target"], action)
            if lasting:
                self._db.execute(
                    "DELETE FROM rules WHERE source = ? AND target = ? AND action = ?", rule
                )
            if record["allow"] is None:
                continue  # a removal: what is less specific decides again
            self._db.execute(
                "INSERT OR REPLACE INTO rules VALUES (?, ?, ?, ?, ?, ?)",
                (*rule, lasting, record["seq"], as_json(record)),
            )
        shown: Record = {
            name: record[name]
            for name in ("source", "allow", "actions", "commands", "approval", "expires", "origin")
            if name in record
        }
        activity.note(
            self._db,
            record,
            {
                "from": record["from"],
                "type": "permit",
                "target": record["target"],
                **shown,
                "result": "ok",
            },
        )


def end(db: sqlite3.Connection, source: str) -> None:
    """Remove the rules for a source whose credential is gone."""
    db.execute("DELETE FROM rules WHERE source = ?", (source,))


def rules(
    db: sqlite3.Connection, now: str, source: str | None = None, target: str | None = None
) -> list[Rule]:
    """Return the rules that hold at `now` (a time as in records), of these two or a `*` in their
    place, where given.
    """
    found: dict[tuple[str, str, str], Rule] = {}
    ends = [
        (column, value)
        for column, value in (("source", source), ("target", target))
        if value is not None
    ]
    where = " AND ".join(f"{column} IN (?, '*')" for column, _ in ends) or "1"
    for action, text in db.execute(
        f"SELECT action, json FROM rules WHERE {where} ORDER BY source, target, action, lasting",
        [value for _, value in ends],
    ):
        rule = _rule(json.loads(text), action)
        if rule.expires is None or rule.expires > now:
            found.setdefault((rule.source, rule.target, action), rule)
    return list(found.values())


def _rule(record: Record, action: str) -> Rule:
    return Rule(
        source=record["source"],
        target=record["target"],
        action=action,
        allow=record["allow"],
        commands=tuple(tuple(words) for words in record.get("commands", ())),
        approval="approval" in record,
        expires=record.get("expires"),
        by=record["auth"],
        granted=record["ts"],
    )
