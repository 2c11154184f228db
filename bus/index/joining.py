"""What a machine finds in its mailbox when it gets its credential.

Its time begins with its invite (the oldest that was open when it joined). If an admin added it
without one, its time begins then.

- Broadcasts from before its time are not for it, nor for its sessions. A name that had posted or
  acknowledged something by then is not new: it keeps what was unread to it. So does a name that had
  a credential before. Mail to a name is never cut.
- What somebody else has acknowledged under its name since then counts until it joins, and no
  longer. That somebody is the shared user. Agents that still move over acknowledge with it, and so
  could anybody who wants the machine to miss its mail. Acknowledgements without `auth` are older
  than that field, and stay.
"""

from __future__ import annotations

import json
import sqlite3

from bus.index.ranges import settle_many
from bus.index.tenures import is_given
from bus.model import records
from bus.model.caller import MACHINES, normalised
from bus.model.records import EVERYBODY, Record

SCHEMA = """
CREATE TABLE invited (                    -- names with an open invite: see joining.py
    name TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,                 -- of the record of the first of those that are open
    until_ms INTEGER NOT NULL             -- when the last of them ends
) WITHOUT ROWID;
-- What others acknowledge under a name that is invited: void when it joins.
CREATE TABLE provisional (
    reader TEXT NOT NULL,
    through INTEGER NOT NULL,             -- 1: a row of acks_through; 0: of acks
    seq INTEGER NOT NULL,
    made INTEGER NOT NULL,                -- seq of the acknowledgement's own record
    PRIMARY KEY (reader, through, seq)
) WITHOUT ROWID;
-- The rows of settled as they were before the first of those.
CREATE TABLE settled_before (
    reader TEXT NOT NULL,
    lasting INTEGER NOT NULL,
    lo INTEGER NOT NULL,
    hi INTEGER NOT NULL,
    PRIMARY KEY (reader, lasting, lo)
) WITHOUT ROWID;
-- No broadcast before seq is for this name, or ("web1/") for any session of it.
CREATE TABLE floors (
    name TEXT PRIMARY KEY,
    seq INTEGER NOT NULL
) WITHOUT ROWID;
"""

_LONGEST_INVITE_MS = 7 * 24 * 3_600_000  # for records from before they said when an invite ends
_OF_NAME = "(reader = ?1 OR (reader > ?1 || '/' AND reader < ?1 || '0'))"


def apply(db: sqlite3.Connection, record: Record) -> None:
    """Apply a change of credentials. What came before must be in the tables."""
    name, action = record["name"], record["action"]
    if action == "invite":
        _invited(db, record)
    elif action == "revoke":
        for (invited,) in db.execute("SELECT name FROM invited").fetchall():
            if normalised(invited) == normalised(name):
                _close(db, invited)
    elif is_given(record) and record["role"] in MACHINES:
        begin = _begin(db, record)
        _set_floors(db, name, begin or record["seq"])
        if begin:
            _void(db, record)
        _close(db, name)


def note_ack(db: sqlite3.Connection, record: Record) -> None:
    """An acknowledgement by another credential than the reader's own is about to be applied."""
    reader, name = record["reader"], record["reader"].partition("/")[0]
    open_until = db.execute("SELECT until_ms FROM invited WHERE name = ?", (name,)).fetchone()
    if open_until is None or open_until[0] <= records.unix_ms(record["ts"]):
        return
    if (
        db.execute("SELECT 1 FROM provisional WHERE reader = ? LIMIT 1", (reader,)).fetchone()
        is None
    ):
        db.execute("INSERT INTO settled_before SELECT * FROM settled WHERE reader = ?", (reader,))
    for table, through, seqs in (
        ("acks", 0, record.get("seqs", [])),
        ("acks_through", 1, [record["through"]] if "through" in record else []),
    ):
        db.execute(
            "INSERT OR IGNORE INTO provisional SELECT ?1, ?2, value, ?3 FROM json_each(?4) WHERE"
            f" NOT EXISTS (SELECT 1 FROM {table} WHERE {table}.seq = value AND {table}.reader"
            " = ?1)",
            (reader, through, record["seq"], json.dumps(seqs)),
        )


def _invited(db: sqlite3.Connection, record: Record) -> None:
    """The first invite for a name begins its time; another one that is made while it is open only
    prolongs it.
    """
    name, now_ms = record["name"], records.unix_ms(record["ts"])
    until_ms = (
        records.unix_ms(record["expires"]) if "expires" in record else now_ms + _LONGEST_INVITE_MS
    )
    row = db.execute("SELECT until_ms FROM invited WHERE name = ?", (name,)).fetchone()
    if row is not None and row[0] > now_ms:
        db.execute("UPDATE invited SET until_ms = ? WHERE name = ?", (max(row[0], until_ms), name))
        return
    _close(db, name)
    db.execute("INSERT INTO invited VALUES (?, ?, ?)", (name, record["seq"], until_ms))


def _begin(db: sqlite3.Connection, record: Record) -> int:
    """Return the seq of the invite with which the time of a name began; 0 where none was open."""
    row = db.execute(
        "SELECT seq, until_ms FROM invited WHERE name = ?", (record["name"],)
    ).fetchone()
    if row is None or (record["action"] != "join" and row[1] <= records.unix_ms(record["ts"])):
        return 0
    return int(row[0])


def _close(db: sqlite3.Connection, name: str) -> None:
    """No invite for this name is open any more; what was acknowledged meanwhile and still counts,
    stays.
    """
    db.execute("DELETE FROM invited WHERE name = ?", (name,))
    for table in ("provisional", "settled_before"):
        db.execute(f"DELETE FROM {table} WHERE {_OF_NAME}", (name,))


def _set_floors(db: sqlite3.Connection, name: str, begin: int) -> None:
    if db.execute("SELECT 1 FROM floors WHERE name = ? || '/'", (name,)).fetchone():
        return  # it had a credential before: its mail stays as it was
    of_name = _OF_NAME.replace("reader", "name")
    db.execute(
        f"INSERT INTO floors SELECT name, 0 FROM actors WHERE {of_name} AND since < ?2",
        (name, begin),
    )
    db.executemany(
        "INSERT OR IGNORE INTO floors VALUES (?, ?)", [(name, begin), (name + "/", begin)]
    )


def _void(db: sqlite3.Connection, record: Record) -> None:
    """Take back what others acknowledged since the invite: the ranges are again what they were, and
    what was sent since.
    """
    name = record["name"]
    found = db.execute(
        f"SELECT reader, min(made) FROM provisional WHERE {_OF_NAME} GROUP BY reader", (name,)
    ).fetchall()
    for reader, since in found:
        for table, through in (("acks", 0), ("acks_through", 1)):
            db.execute(
                f"DELETE FROM {table} WHERE reader = ?1"
                " AND seq IN (SELECT seq FROM provisional WHERE reader = ?1 AND through = ?2)",
                (reader, through),
            )
        db.execute("DELETE FROM settled WHERE reader = ?", (reader,))
        db.execute("INSERT INTO settled SELECT * FROM settled_before WHERE reader = ?", (reader,))
        settle_many(db, reader, _own_since(db, reader, since), records.unix_ms(record["ts"]))
        db.execute(
            "UPDATE ackers SET seq = ? WHERE reader = ?", (record["seq"], reader)
        )  # cursors begin anew


def _own_since(db: sqlite3.Connection, name: str, seq: int) -> list[int]:
    """Return what a name has sent to itself or to everybody since then."""
    rows = db.execute(
        "SELECT seq FROM messages WHERE sender = ?1 AND seq > ?2 AND EXISTS (SELECT 1 FROM inbox"
        " WHERE recipient IN (?1, ?3) AND lasting IN (0, 1) AND inbox.seq = messages.seq)",
        (name, seq, EVERYBODY),
    )
    return [seq for (seq,) in rows]
