"""How each recipient is doing, for the answer to a post: news that is kept for a quarter of a
second.

Looked up anew for every post it would cost a fifth of one. Kept news is never older than what
happened in this worker: a name that polls, posts or acknowledges here is looked up anew, and what
is saved here is counted on top.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from bus.errors import BusError
from bus.index import floors, names, place
from bus.index.database import Index
from bus.index.unread import unread_count
from bus.live.heartbeats import Heartbeats
from bus.live.presence import Presence
from bus.model import records
from bus.model.filter import recipients
from bus.model.messages import Message, Standing
from bus.model.records import EVERYBODY

_KEPT_FOR_S = 0.25
_COUNTED_READERS = 1_000
_COUNTED_UNREAD = 1_000  # a report says "1000" for this many and more
_CAUGHT_UP_FIRST = 200  # records, 4 ms: what is behind that is left to readers and the tender


@dataclass
class _Standing:
    """What is known of a name; of everybody, only who reads.

    `counted_to` is the seq up to which `unread` counts.
    """

    last_seen: str | None = None
    last_fetch: str | None = None
    unread: int | None = None
    counted_to: int = 0
    readers: frozenset[str] = field(default_factory=frozenset)


class Standings:
    """When names were last here and last fetched something, and how much waits for them."""

    def __init__(
        self,
        index: Index,
        presence: Presence,
        clock: Callable[[], float],
        heartbeats: Heartbeats,
    ) -> None:
        self._index, self._presence, self._clock = index, presence, clock
        self._heartbeats = heartbeats
        self._kept: dict[str, _Standing] = {}
        self._kept_until = 0.0

    def of_recipients(self, message: Message, is_new: bool) -> dict[str, Standing]:
        """Return a report for each recipient of a message that was just saved, or (not `is_new`) is
        repeated.

        For a name: when it was last here, when it last fetched something new (None: never), and how
        many messages it has not acknowledged (None: not known now). For everybody: how many readers
        there are but the sender (1000: so many or more).
        """
        now = time.monotonic()
        if now > self._kept_until:
            self._kept.clear()
            self._kept_until = now + _KEPT_FOR_S
        return {name: self._report(name, message, is_new) for name in recipients(message)}

    def was_here(self, name: str) -> None:
        """A name polled, posted or acknowledged: what is kept of it is old."""
        self._heartbeats.note(name, self._now_ms())
        self._kept.pop(name, None)
        everybody = self._kept.get(EVERYBODY)
        if (
            everybody is not None
            and len(everybody.readers) <= _COUNTED_READERS
            and name not in everybody.readers
        ):
            del self._kept[EVERYBODY]

    def let_go(self) -> None:
        """Let names leave that have only polled, and not for long; some at a time."""

        def have_acted(readers: list[str]) -> set[str]:
            with self._index.as_is() as db:
                return names.known_of(db, readers)

        with suppress(BusError, sqlite3.OperationalError):
            self._presence.forget(self._now_ms(), have_acted)

    def _report(self, name: str, message: Message, is_new: bool) -> Standing:
        standing = self._kept.get(name)
        if standing is None:
            standing = self._kept[name] = (
                self._of_everybody() if name == EVERYBODY else self._of(name)
            )
        if name == EVERYBODY:
            others = standing.readers - {message["from"]}
            later = 0 if is_new else self._count_later(message["seq"], others)
            return {"readers": min(len(others) - later, _COUNTED_READERS)}
        if (
            is_new
            and standing.unread is not None
            and message["seq"] > standing.counted_to
            and name != message["from"]
        ):
            standing.unread = min(standing.unread + 1, _COUNTED_UNREAD)
        return {
            "last_seen": standing.last_seen,
            "last_fetch": standing.last_fetch,
            "unread": standing.unread,
        }

    def _count_later(self, seq: int, names: frozenset[str]) -> int:
        """Return how many of these names a broadcast that is repeated was never for."""
        try:
            with self._index.as_is() as db:
                return len(floors.not_for(db, seq, names))
        except (BusError, sqlite3.OperationalError):
            return 0

    def _of_everybody(self) -> _Standing:
        self.let_go()
        return _Standing(
            readers=frozenset(self._presence.readers(self._now_ms(), limit=_COUNTED_READERS + 1))
        )

    def _of(self, name: str) -> _Standing:
        found = _Standing()
        act = None
        try:
            self._index.catch_up(wait=False, at_most=_CAUGHT_UP_FIRST)
            with self._index.as_is() as db:
                found.unread = unread_count(db, name, self._now_ms(), _COUNTED_UNREAD)
                found.counted_to = place.known_to(db)
                act = names.last_act(db, name)
        except (
            BusError,
            sqlite3.OperationalError,
        ):  # the message is saved: a report that cannot be made is no failure
            pass
        times = (records.iso(self._presence.last_seen(name)), act)
        found.last_seen = max((time for time in times if time), default=None)
        found.last_fetch = records.iso(self._presence.last_fetch(name))
        return found

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)
