"""What the hub counts: GET /metrics.

What waits for each reader takes 0.2 ms a reader to find out, so it is kept for ten seconds.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import suppress
from itertools import islice

from bus.errors import Rebuilding
from bus.hub.agents import Agents
from bus.hub.journal import Journal
from bus.index import agents, tallies
from bus.index import webhooks as hooks
from bus.index.mailboxes import of_reader
from bus.index.unread import oldest_unread_ms, unread_count
from bus.live.presence import Presence
from bus.model.figures import (
    MOST_READERS,
    MOST_WEBHOOKS,
    CallFigures,
    Counted,
    ReaderFigures,
    WebhookFigures,
)
from bus.model.records import iso

_COUNTED_UNREAD, _LOOKED_AT = 1_000, 1_000
_KEPT_S = 10.0


_NOTHING: Counted = {
    "records": {},
    "calls": [],
    "readers": [],
    "readers_left_out": 0,
    "webhooks": [],
    "webhooks_left_out": 0,
}


class Figures:
    """Counts from the index and from what was heard of readers."""

    def __init__(self, journal: Journal, presence: Presence, known: Agents) -> None:
        self._journal, self._presence, self._agents = journal, presence, known
        self._readers: list[ReaderFigures] = []
        self._kept_until = 0.0

    def counted(self) -> Counted:
        """Return what is counted; nothing while the index is rebuilt."""
        with suppress(Rebuilding):
            return self._journal.index.ask(self._counted)
        return _NOTHING

    def _counted(self, db: sqlite3.Connection) -> Counted:
        if time.monotonic() > self._kept_until:
            self._readers = self._all_readers(db)
            self._kept_until = time.monotonic() + _KEPT_S
        ended: list[CallFigures] = [
            {"type": type, "result": result, "count": count}
            for type, result, count in tallies.calls(db)
        ]
        webhooks = hooks.all_of(db)
        listed: list[WebhookFigures] = [
            {
                "id": row.id,
                "name": row.name,
                "state": row.progress.state,
                "failures": row.progress.failures,
                "dead_letters": row.dead_letters,
            }
            for row in webhooks[:MOST_WEBHOOKS]
        ]
        return {
            "records": tallies.records(db),
            "calls": ended,
            "readers": self._readers[:MOST_READERS],
            "readers_left_out": max(0, len(self._readers) - MOST_READERS),
            "webhooks": listed,
            "webhooks_left_out": len(webhooks) - len(listed),
        }

    def _all_readers(self, db: sqlite3.Connection) -> list[ReaderFigures]:
        """Return what waits for the names that have read, have registered or have a credential:
        who has the most first.
        """
        now_ms = self._journal.now_ms()
        names = {*self._presence.readers(now_ms, limit=_LOOKED_AT), *self._agents.members()}
        names |= {row.name for row in islice(agents.after(db, ""), _LOOKED_AT)}
        found = [self._reader(db, name, now_ms) for name in sorted(names)[:_LOOKED_AT]]
        return sorted(found, key=lambda one: (-one["unread"], -(one["oldest_unread_s"] or 0)))

    def _reader(self, db: sqlite3.Connection, name: str, now_ms: int) -> ReaderFigures:
        boxes = of_reader(db, name)
        unread = unread_count(db, boxes, now_ms, _COUNTED_UNREAD)
        oldest_ms = oldest_unread_ms(db, boxes, now_ms) if unread else None
        return {
            "name": name,
            "unread": unread,
            "oldest_unread_s": None if oldest_ms is None else max(0, now_ms - oldest_ms) // 1000,
            "last_seen": iso(self._presence.last_seen(name)),
        }
