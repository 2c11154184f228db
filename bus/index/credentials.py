"""Changes of credentials, and what ends with a name."""

from __future__ import annotations

import sqlite3

from bus.index import activity, approvals, joining, permissions, tenures
from bus.index.projection import Batch
from bus.model.records import Fields, Record


class Credentials:
    """Applies changes of credentials: `credential` (action, name, role, by) and `refused` (from,
    target, command, error, left_out?: a change or a sign-in that was refused).
    """

    kinds: tuple[str, ...] = ("credential", "refused")
    schema = tenures.SCHEMA + joining.SCHEMA

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def apply(self, record: Record) -> None:
        """Apply a change, or note that one was refused."""
        db = self._batch.db
        if record["kind"] == "refused":
            names = ("target", "command", "error", "left_out")
            facts: Fields = {name: record[name] for name in names if name in record}
            event = {"from": record["from"], "type": "credential", **facts, "result": "denied"}
            activity.note(db, record, event)
            return
        # What came before must be in the tables.
        self._batch.flush()
        self._batch.names.write()
        joining.apply(db, record)
        _owned(db, record)
        event = {
            "from": record["by"],
            "type": "credential",
            "target": record["name"],
            "command": record["action"],
        }
        activity.note(db, record, {**event, "role": record["role"], "result": "ok"})


def _owned(db: sqlite3.Connection, record: Record) -> None:
    """A name that is revoked ends with all that hung on it; one that is given anew begins with
    nothing of who had it before.

    Two gifts without a revocation between them: the first holder was taken out of the file by hand.
    """
    name, seq, action = record["name"], record["seq"], record["action"]
    row = db.execute("SELECT tenure, held FROM owners WHERE name = ?", (name,)).fetchone()
    tenure, held = row or (0, 0)
    if action == "revoke":
        permissions.end(db, name)
        if tenures.is_taken(record):  # else nobody had it yet, and an invite was taken back
            approvals.end(db, record)
            db.execute("INSERT OR REPLACE INTO owners VALUES (?, ?, ?, 0)", (name, seq, seq))
    elif tenures.is_given(record):
        if held:
            permissions.end(db, name)
            approvals.end(db, record)
        db.execute(
            "INSERT OR REPLACE INTO owners VALUES (?, ?, ?, 1)",
            (name, seq, seq if held else tenure),
        )
