"""The inbox: what a reader should see first."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import NamedTuple

from bus.hub.journal import Journal
from bus.hub.machine_mail import MachineMail
from bus.hub.proofs import Proofs
from bus.hub.standings import Standings
from bus.index import inbox as queries
from bus.index.mailboxes import of_reader
from bus.index.unread import unread_count
from bus.live.presence import Presence
from bus.model.inbox import Cursor
from bus.model.inbox_budget import Candidate, Packed

_COUNTED_UNREAD = 1_000  # "1000" stands for this many and more
_COUNTED_URGENT = 50
_LONGEST_COUNTED = 20_000  # characters of a JSON that is read whole for that


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

    def __init__(
        self,
        journal: Journal,
        presence: Presence,
        standings: Standings,
        machine_mail: MachineMail,
        proofs: Proofs,
    ) -> None:
        self._journal, self._presence, self._standings = journal, presence, standings
        self._machine_mail, self._proofs = machine_mail, proofs

    def read(
        self,
        reader: str,
        cursor: Cursor | None,
        limit: int,
        longest: int,
        choose: Callable[[list[Candidate], int], Packed],
        is_peek: bool = False,
        with_machine: bool = False,
        is_starred: bool = False,
    ) -> InboxPage:
        """Return the unread messages behind a cursor that `choose` picks from the first `limit`;
        with `is_starred`, of those that the reader has starred.

        Messages with more than `longest` characters come to `choose` cut. What it shows in full
        counts as fetched, except in a peek.
        """
        now_ms = self._journal.now_ms()

        stars_of = reader if is_starred else None

        def question(db: sqlite3.Connection) -> tuple[queries.Seen, int]:
            boxes = of_reader(db, reader, with_machine)
            seen = queries.first(db, boxes, now_ms, cursor, limit + 1, longest, stars_of)
            return seen, unread_count(db, boxes, now_ms, _COUNTED_UNREAD, stars_of)

        seen, unread = self._journal.index.ask(question)
        found, start = seen
        if "/" in reader and not is_peek:
            for _, message in found[:limit]:
                message["ref"] = self._proofs.reference(message["seq"], message["id"], reader)
        if with_machine and "/" in reader and not is_peek:
            shown = {message["seq"]: message for _, message in found[:limit]}
            for seq, given_to in self._machine_mail.others(reader, shown).items():
                shown[seq]["given_to"] = given_to
        packed = choose([message for _, message in found[:limit]], now_ms)
        if not is_peek:
            self._presence.note_poll(reader, [message["seq"] for message in packed.full], now_ms)
            self._standings.was_here(reader)
        next = None
        if len(found) > packed.shown:
            rank = found[packed.shown - 1][0] if packed.shown else start.rank
            next = start._replace(rank=rank, shown=start.shown + packed.shown)
        return InboxPage(packed, next, start.shown, unread, unread < _COUNTED_UNREAD, now_ms)

    def counts(self, reader: str, with_machine: bool = False) -> dict[str, int]:
        """Return how much mail waits for a reader, and how much of it is urgent, each counted up to
        a limit; nothing is fetched.
        """
        now_ms = self._journal.now_ms()

        def question(db: sqlite3.Connection) -> int:
            boxes = of_reader(db, reader, with_machine)
            first = queries.first(db, boxes, now_ms, None, _COUNTED_URGENT, _LONGEST_COUNTED)
            return sum(message["priority"] == "urgent" for _, message in first.messages)

        urgent = self._journal.index.ask(question)
        return {"unread": self.count(reader, with_machine), "urgent": urgent}

    def count(self, reader: str, with_machine: bool = False) -> int:
        """Return how many messages wait for a reader, counted up to a limit; nothing is fetched."""
        now_ms = self._journal.now_ms()
        return self._journal.index.ask(
            lambda db: unread_count(
                db, of_reader(db, reader, with_machine), now_ms, _COUNTED_UNREAD
            )
        )
