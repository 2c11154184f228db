"""Briefs: which messages are briefs."""

from __future__ import annotations

from bus.index.projection import Batch
from bus.model.records import Record

SCHEMA = """
CREATE TABLE briefs (
    seq INTEGER PRIMARY KEY
);
"""


class Briefs:
    """Notes which messages are briefs."""

    kinds: tuple[str, ...] = ("message",)
    schema = SCHEMA

    def __init__(self, batch: Batch) -> None:
        self._rows = batch.rows("INSERT OR IGNORE INTO briefs VALUES (?)")

    def apply(self, record: Record) -> None:
        """Note a message that is a brief."""
        if "brief" in record:
            self._rows.append((record["seq"],))
