"""Which reader is done with which messages: what acks do to the index, and receipts."""

from __future__ import annotations

import sqlite3

from bus.index import joining
from bus.index.projection import Batch
from bus.index.ranges import settle_many, settle_through
from bus.model import records
from bus.model.groups import is_group
from bus.model.records import Record

SCHEMA = """
CREATE TABLE acks (
    seq INTEGER NOT NULL,
    reader TEXT NOT NULL,
    ts TEXT NOT NULL,
    PRIMARY KEY (seq, reader)
) WITHOUT ROWID;
CREATE TABLE acks_through (               -- everything up to seq
    reader TEXT NOT NULL,
    seq INTEGER NOT NULL,
    ts TEXT NOT NULL,
    PRIMARY KEY (reader, seq)
) WITHOUT ROWID;
CREATE INDEX acks_through_by_seq ON acks_through (seq, reader);
CREATE TABLE ackers (                     -- the last acknowledgement of each reader
    reader TEXT PRIMARY KEY,
    seq INTEGER NOT NULL
) WITHOUT ROWID;
"""


class Acks:
    """Applies acks."""

    kinds: tuple[str, ...] = ("ack", "message")
    schema = SCHEMA

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._ackers: dict[str, int] = {}
        batch.at_flush(self._write)

    def apply(self, record: Record) -> None:
        """Note that a reader is done with messages; of a message, that it was so from the first."""
        if record["kind"] == "message":
            if "acked_by" in record:
                self.apply(
                    {**record, "kind": "ack", "reader": record["acked_by"], "seqs": [record["seq"]]}
                )
            return
        reader, ts = record["reader"], record["ts"]
        machine = reader.partition("/")[0]
        is_by_another = record.get("auth", machine) != machine
        if is_by_another and self._batch.names.is_machine(machine):
            return  # it was on its way while the machine got its credential
        self._batch.flush()
        if is_by_another:
            joining.note_ack(self._batch.db, record)
        now_ms = records.unix_ms(ts)
        actor = str(record.get("by", reader))
        if not is_group(actor):
            self._batch.names.acted(actor, record)
        self._ackers[reader] = record["seq"]
        if "through" in record:
            through = record["through"]
            self._batch.db.execute(
                "INSERT OR IGNORE INTO acks_through VALUES (?, ?, ?)", (reader, through, ts)
            )
            settle_through(self._batch.db, reader, through, now_ms)
        if seqs := record.get("seqs"):
            self._batch.db.executemany(
                "INSERT OR IGNORE INTO acks VALUES (?, ?, ?)", [(seq, reader, ts) for seq in seqs]
            )
            settle_many(self._batch.db, reader, seqs, now_ms)

    def _write(self) -> None:
        rows = self._ackers.items()
        self._batch.db.executemany("INSERT OR REPLACE INTO ackers VALUES (?, ?)", rows)
        self._ackers.clear()


def acked(db: sqlite3.Connection, seq: int, readers: list[str]) -> dict[str, str]:
    """Return when each of these readers acknowledged this message, alone or with all before it, if
    it did.
    """
    found = {}
    for reader in readers:
        times = [
            row[0]
            for row in (
                db.execute(
                    "SELECT ts FROM acks WHERE seq = ? AND reader = ?", (seq, reader)
                ).fetchone(),
                _through(db, reader, seq),
            )
            if row is not None
        ]
        if times:
            found[reader] = min(times)
    return found


def ackers(db: sqlite3.Connection, seq: int, after: str, limit: int) -> list[str]:
    """Return the names behind `after` that acknowledged this message, alone or with all
    before it.
    """
    alone = db.execute(
        "SELECT reader FROM acks WHERE seq = ? AND reader > ? ORDER BY reader LIMIT ?",
        (seq, after, limit),
    )
    # Along the index of places: whoever acknowledges what is older, under any number of names,
    # costs nothing here.
    with_others = db.execute(
        "SELECT DISTINCT reader FROM acks_through INDEXED BY acks_through_by_seq WHERE seq >= ? AND"
        " +reader > ? ORDER BY reader LIMIT ?",
        (seq, after, limit),
    )
    return sorted({name for (name,) in (*alone, *with_others)})[:limit]


def _through(db: sqlite3.Connection, reader: str, seq: int) -> tuple[str] | None:
    row: tuple[str] | None = db.execute(
        "SELECT ts FROM acks_through WHERE reader = ? AND seq >= ? ORDER BY seq LIMIT 1",
        (reader, seq),
    ).fetchone()
    return row
