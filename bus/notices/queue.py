"""The queue of notices: what is to be sent, what was, and what was given up.

Each step is one transaction. A notice is marked as handed to its service before it is, so that a
process that is killed in between finds it: it is sent again then, and says that it may have been
sent twice.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from bus.errors import NoSuchNotice, NoticeNotDead
from bus.model import records
from bus.model.notices import (
    DEAD,
    MOST_TEXT,
    NewNotice,
    Notice,
    NoticesQuery,
    ServiceState,
    ShownNotice,
)
from bus.model.records import START, Position
from bus.notices.database import Database

MOST_QUEUED = 100_000  # of one service; what is more is a dead letter at once
KEEP_S, KEEP = 14 * 86_400, 20_000  # what was sent or given up, of all services
_CURSOR, _BEAT, _TEXTS = "cursor", "beat", "texts"
_FULL = f"{MOST_QUEUED} notices wait for this service already"
_COLUMNS = "id, service, target, kind, seq, title, text, data, made_ms, tries, unsure"


class Queue:
    """See the head of this module. `clock` gives seconds since 1970."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self.database, self._clock = database, clock

    def now_ms(self) -> int:
        """Return the time in milliseconds since 1970."""
        return int(self._clock() * 1000)

    # -- filling it ------------------------------------------------------------------------------

    def cursor(self) -> Position | None:
        """Return the place in the log up to which it was read; None before the first start."""
        found = self._fact(_CURSOR)
        if found is None:
            return None
        seq, token = json.loads(found)
        return Position(seq, token) if seq else START

    def take_in(self, position: Position, notices: Iterable[NewNotice]) -> list[int]:
        """Queue what the log up to this position tells, and move the cursor there: both or
        neither. Returns the ids.
        """
        with self.database.changing() as db:
            ids = [self.put(db, notice) for notice in notices]
            _set(db, _CURSOR, json.dumps(position))
        return ids

    def add(self, notices: Iterable[NewNotice]) -> list[int]:
        """Queue notices that the log does not tell; returns their ids."""
        with self.database.changing() as db:
            return [self.put(db, notice) for notice in notices]

    def put(self, db: sqlite3.Connection, notice: NewNotice) -> int:
        """Queue a notice within a transaction; return its id."""
        waiting = db.execute(
            "SELECT count(*) FROM (SELECT 1 FROM notices WHERE service = ?"
            " AND state IN ('queued', 'sending') LIMIT ?)",
            (notice.service, MOST_QUEUED),
        ).fetchone()[0]
        is_full = waiting >= MOST_QUEUED
        row = db.execute(
            "INSERT INTO notices (service, target, kind, seq, title, text, data, made_ms, state,"
            " error) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                notice.service,
                notice.target,
                notice.kind,
                notice.seq,
                notice.title,
                notice.text[:MOST_TEXT],
                json.dumps(notice.data),
                self.now_ms(),
                DEAD if is_full else "queued",
                _FULL if is_full else None,
            ),
        )
        return int(row.lastrowid or 0)

    # -- emptying it -----------------------------------------------------------------------------

    def recover(self) -> int:
        """Take back what was handed to a service when the process before ended; returns how
        many. For the one process that sends, at its start.
        """
        with self.database.changing() as db:
            found = db.execute(
                "UPDATE notices SET state = 'queued', unsure = 1, next_ms = 0,"
                " error = 'the process ended before the service had answered'"
                " WHERE state = 'sending'"
            )
            return found.rowcount

    def lanes(self, service: str) -> list[tuple[str, int]]:
        """Return the targets of a service for which something waits, each with when its first may
        be sent (ms), the longest waiting first.
        """
        with self.database.reading() as db:
            rows = db.execute(
                "SELECT target, next_ms, min(id) AS first FROM notices"
                " WHERE service = ? AND state IN ('queued', 'sending')"
                " GROUP BY target ORDER BY first LIMIT 1000",
                (service,),
            ).fetchall()
        return [(row["target"], row["next_ms"]) for row in rows]

    def first(self, service: str, target: str, most: int) -> list[Notice]:
        """Return the first few that wait for a target, in order."""
        with self.database.reading() as db:
            rows = db.execute(
                f"SELECT {_COLUMNS} FROM notices WHERE service = ? AND target = ?"
                " AND state IN ('queued', 'sending') ORDER BY id LIMIT ?",
                (service, target, most),
            ).fetchall()
        return [_notice(row) for row in rows]

    def begin(self, ids: Sequence[int]) -> None:
        """Note that these are handed to their service now."""
        self._each(ids, "state = 'sending', tries = tries + 1")

    def sent(self, ids: Sequence[int], ref: str | None) -> None:
        """Note that the service has taken these; `ref` is what it calls them."""
        self._each(ids, "state = 'sent', sent_ms = ?, ref = ?, error = NULL", self.now_ms(), ref)

    def retry(self, ids: Sequence[int], error: str, in_s: float, *, is_unsure: bool) -> None:
        """Note that these are to be sent again, not before so many seconds."""
        next_ms = self.now_ms() + int(in_s * 1000)
        self._each(
            ids,
            "state = 'queued', error = ?, next_ms = ?, unsure = unsure OR ?",
            error[:500],
            next_ms,
            is_unsure,
        )

    def give_up(self, ids: Sequence[int], error: str) -> None:
        """Make dead letters of these."""
        self._each(ids, "state = 'dead', error = ?", error[:500])

    def retarget(self, service: str, old: str, new: str) -> None:
        """Send what waits for one target to another."""
        with self.database.changing() as db:
            db.execute(
                "UPDATE notices SET target = ?, next_ms = 0 WHERE service = ? AND target = ?",
                (new, service, old),
            )

    def _each(self, ids: Sequence[int], change: str, *values: object) -> None:
        with self.database.changing() as db:
            db.executemany(
                f"UPDATE notices SET {change} WHERE id = ?", [(*values, id) for id in ids]
            )

    def tidy(self) -> None:
        """Forget what was sent or given up long ago, and the oldest of what is more than is
        kept.
        """
        with self.database.changing() as db:
            oldest = self.now_ms() - KEEP_S * 1000
            db.execute(
                "DELETE FROM notices WHERE state IN ('sent', 'dead') AND (made_ms < ? OR id <="
                " (SELECT id FROM notices WHERE state IN ('sent', 'dead') ORDER BY id DESC"
                " LIMIT 1 OFFSET ?))",
                (oldest, KEEP),
            )

    # -- the process -----------------------------------------------------------------------------

    def beat(self, errors: dict[str, str | None]) -> None:
        """Note that the process is there, and why each service takes nothing (None: it does)."""
        with self.database.changing() as db:
            _set(db, _BEAT, json.dumps({"ms": self.now_ms(), "errors": errors}))

    def last_beat(self) -> tuple[int, dict[str, str | None]]:
        """Return when the process was last there (ms; 0: never), and what it said."""
        found = json.loads(self._fact(_BEAT) or "{}")
        return found.get("ms", 0), found.get("errors", {})

    def set_texts(self, people: Mapping[str, Sequence[str]]) -> None:
        """Note whom the services text by a message's tag, each with the senders that are heard:
        patterns of names, none for all.
        """
        with self.database.changing() as db:
            _set(db, _TEXTS, json.dumps({who: list(senders) for who, senders in people.items()}))

    def texts(self) -> dict[str, list[str]]:
        """Return what `set_texts` has noted."""
        found: dict[str, list[str]] = json.loads(self._fact(_TEXTS) or "{}")
        return found

    def _fact(self, name: str) -> str | None:
        with self.database.reading() as db:
            row = db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    # -- showing it ------------------------------------------------------------------------------

    def listed(self, asked: NoticesQuery) -> tuple[list[ShownNotice], bool]:
        """Return notices, newest first, and whether there are more."""
        wanted = {"state = ?": asked.state, "service = ?": asked.service, "id < ?": asked.before}
        given = {text: value for text, value in wanted.items() if value is not None}
        where = " AND ".join(["1", *given])
        with self.database.reading() as db:
            rows = db.execute(
                f"SELECT * FROM notices WHERE {where} ORDER BY id DESC LIMIT ?",
                (*given.values(), asked.limit + 1),
            ).fetchall()
        return [_shown(row) for row in rows[: asked.limit]], len(rows) > asked.limit

    def services(self) -> dict[str, ServiceState]:
        """Return how each service is doing that has, or had, notices."""
        _, errors = self.last_beat()
        with self.database.reading() as db:
            rows = db.execute(
                "SELECT service, state, count(*) AS n, min(made_ms) AS oldest FROM notices"
                " GROUP BY service, state"
            ).fetchall()
        found: dict[str, ServiceState] = {name: _idle(errors.get(name)) for name in errors}
        for row in rows:
            state = found.setdefault(row["service"], _idle(None))
            if row["state"] == "sent":
                state["sent"] = row["n"]
            elif row["state"] == "dead":
                state["dead"] = row["n"]
            else:
                oldest = records.utc(row["oldest"] / 1000)
                state["queued"] += row["n"]
                state["oldest"] = min(state["oldest"] or oldest, oldest)
        return found

    def by_ref(self, service: str, ref: str) -> list[dict[str, Any]]:
        """Return the data of the notices that the service calls `ref`, oldest first."""
        with self.database.reading() as db:
            rows = db.execute(
                "SELECT data FROM notices WHERE service = ? AND ref = ? ORDER BY id LIMIT 100",
                (service, ref),
            ).fetchall()
        return [json.loads(row["data"]) for row in rows]

    def revive(self, id: int) -> ShownNotice:
        """Send a dead letter again, before what waits and is newer. Raises NoSuchNotice,
        NoticeNotDead.
        """
        with self.database.changing() as db:
            row = db.execute("SELECT * FROM notices WHERE id = ?", (id,)).fetchone()
            if row is None:
                raise NoSuchNotice(f"There is no notice {id}.")
            if row["state"] != DEAD:
                raise NoticeNotDead(f"The notice {id} is {row['state']}.", state=row["state"])
            db.execute(
                "UPDATE notices SET state = 'queued', tries = 0, next_ms = 0, made_ms = ?"
                " WHERE id = ?",
                (self.now_ms(), id),
            )
            return _shown(db.execute("SELECT * FROM notices WHERE id = ?", (id,)).fetchone())


def _set(db: sqlite3.Connection, name: str, value: str) -> None:
    db.execute("INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)", (name, value))


def _idle(error: str | None) -> ServiceState:
    return {"queued": 0, "sent": 0, "dead": 0, "oldest": None, "error": error}


def _notice(row: sqlite3.Row) -> Notice:
    values = dict(row)
    unsure = bool(values.pop("unsure"))
    return Notice(**{**values, "data": json.loads(values["data"])}, is_unsure=unsure)


def _shown(row: sqlite3.Row) -> ShownNotice:
    waits = row["state"] == "queued" and row["next_ms"] > 0
    return {
        "id": row["id"],
        "service": row["service"],
        "target": row["target"],
        "kind": row["kind"],
        "seq": row["seq"],
        "title": row["title"],
        "text": row["text"],
        "state": row["state"],
        "made": records.utc(row["made_ms"] / 1000),
        "sent": records.iso(row["sent_ms"]),
        "tries": row["tries"],
        "next_try": records.iso(row["next_ms"]) if waits else None,
        "error": row["error"],
        "maybe_twice": bool(row["unsure"]),
    }
