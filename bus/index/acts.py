"""Notes which names do something, and which are those of machines: see names.py."""

from __future__ import annotations

from bus.index import names
from bus.index.projection import Batch
from bus.model.caller import MACHINES
from bus.model.records import Record


class Acts:
    """Notes who did something, and who is a machine. Acks are noted by their own projection."""

    kinds: tuple[str, ...] = (
        "message",
        "credential",
        "call_started",
        "permission",
        "approval_answered",
    )
    schema = names.SCHEMA

    def __init__(self, batch: Batch) -> None:
        self._names = batch.names

    def apply(self, record: Record) -> None:
        """Note the names of this record."""
        kind = record["kind"]
        if kind == "credential":
            if record["action"] != "invite" and record["role"] in MACHINES:
                self._names.note_machine(record["name"])
            return
        if kind == "message" and record.get("verified") is True:
            self._names.note_machine(record["auth"])
        self._names.acted(str(record.get("from") or record["auth"]), record)
