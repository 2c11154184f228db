"""The inbox: what a reader should see first."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from bus.hub.journal import Journal
from bus.hub.standings import Standings
from bus.index import inbox as queries
from bus.index.unread import unread_count
from bus.live.presence import Presence
from bus.model.inbox import Cursor
from bus.model.inbox_budget import Candidate, Packed

_COUNTED_UNREAD = 1_000  # "1000" stands for this many and more


class InboxPage(NamedTuple):
    """What a reader should see now.

    `next` leads to what is left (None: nothing is). Earlier answers showed `before` messages.
    `unread` is counted up to a limit, and is exact if `is_exact`.
    """

    packed: Packed
    next: Cursor | None
    before: int
    unread: int
    is_exact: bool
    now_ms: int


class Inbox:
    """The verb of inboxes."""

    def __init__(self, journal: Journal, presence: Presence, standings: Standings) -> None:
        self._journal, self._presence, self._standings = journal, presence, standings

    def read(
        self,
        reader: str,
        cursor: Cursor | None,
        limit: int,
        longest: int,
        choose: Callable[[list[Candidate], int], Packed],
        is_peek: bool = False,
    ) -> InboxPage:
        """Return the unread messages behind a cursor that `choose` picks from the first `limit`.

        Messages with more than `longest` characters come to `choose` cut. What it shows in full
        counts as fetched, except in a peek.
        """
        now_ms = self._journal.now_ms()
        seen, unread = self._journal.index.ask(
            lambda db: (
                queries.first(db, reader, now_ms, cursor, limit + 1, longest),
                unread_count(db, reader, now_ms, _COUNTED_UNREAD),
            )
        )
        found, start = seen
        packed = choose([message for _, message in found[:limit]], now_ms)
        if not is_peek:
            self._presence.note_poll(reader, [message["seq"] for message in packed.full], now_ms)
            self._standings.was_here(reader)
        next = None
        if len(found) > packed.shown:
            rank = found[packed.shown - 1][0] if packed.shown else start.rank
            next = start._replace(rank=rank, shown=start.shown + packed.shown)
        return InboxPage(packed, next, start.shown, unread, unread < _COUNTED_UNREAD, now_ms)
