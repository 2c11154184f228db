"""Who has a name now, and since when: nothing from before is theirs.

A tenure is the time in which one holder has a name.
"""

from __future__ import annotations

import sqlite3

from bus.model.caller import INVITE
from bus.model.records import Record

SCHEMA = """
CREATE TABLE owners (                     -- who has a name now: nothing from before is theirs
    name TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,                 -- of the record that gave it last, or took it
    -- Of the record that ended the last one who had it; 0: nobody had it before.
    tenure INTEGER NOT NULL,
    held INTEGER NOT NULL                 -- 1: somebody has it
) WITHOUT ROWID;
"""


def is_given(record: Record) -> bool:
    """Return whether this record of a credential gives its name to a holder."""
    return record["action"] in ("add", "join")


def is_taken(record: Record) -> bool:
    """Return whether this record of a credential takes its name from a holder. An invite that is
    taken back had none.
    """
    return bool(record["action"] == "revoke" and record["role"] != INVITE)


def has_new_hands(record: Record) -> bool:
    """Return whether what the holder of a name had ends with this record of a credential: it is
    taken, or given again after somebody took the first holder out of the file by hand.
    """
    return is_taken(record) or is_given(record)


def owned_since(db: sqlite3.Connection, name: str) -> int:
    """Return the seq of the record by which this name was last given to somebody; 0 when that is
    not on record.
    """
    row = db.execute("SELECT seq FROM owners WHERE name = ?", (name,)).fetchone()
    return 0 if row is None else int(row[0])


def tenure(db: sqlite3.Connection, name: str) -> int:
    """Return the seq of the record that ended the last one who had this name; 0 when nobody had it
    before, as far as is on record.
    """
    row = db.execute("SELECT tenure FROM owners WHERE name = ?", (name,)).fetchone()
    return 0 if row is None else int(row[0])


def last_tenure(db: sqlite3.Connection) -> int:
    """Return the newest tenure of any name."""
    return int(db.execute("SELECT COALESCE(MAX(tenure), 0) FROM owners").fetchone()[0])


def is_over(db: sqlite3.Connection, record: Record) -> bool:
    """Return whether the credential that made this record was revoked since, or its name given to
    another.
    """
    return tenure(db, record["auth"]) > int(record["seq"])
