"""The verbs of the hub: post, read, search, acknowledge, wait. The only caller of `append`.

Callers hand in checked values (`bus.drafts`, `bus.model.filter`) and the caller that the credential proved.
Messages go out as JSON text, the way the index keeps them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from bus.errors import (
    BusError,
    KeyReused,
    NotFound,
    Rebuilding,
    Unauthorized,
    Unavailable,
    UnknownReply,
)
from bus.hub.daily_quotas import Append, DailyQuotas
from bus.hub.standings import Standings
from bus.index import floors, inbox, machines, receipts, search
from bus.index import messages as queries
from bus.index.apply import public
from bus.index.database import Index
from bus.index.inbox import Cursor
from bus.index.messages import Page
from bus.index.weights import weight_us
from bus.live.presence import Presence
from bus.live.waiting import WaitingRoom, remaining
from bus.log.base import Appended, Log
from bus.model import checks, records
from bus.model.caller import Caller
from bus.model.filter import MAX_LIMIT, Selection, recipients
from bus.model.inbox_budget import Packed
from bus.model.messages import Draft, digest
from bus.model.records import EVERYBODY

_COUNTED_READERS = 1_000
_COUNTED_UNREAD = 1_000  # a report says "1000" for this many and more
# The index is caught up for many records together: by a reader, by `tend`, or by the post that finds it this far behind.
_LAG_ALLOWED = 5_000
_HEAVY_US, _HEAVY_EACH_US = (
    5_000,
    500,
)  # for the index: of what was posted together, in all and on the average
_TENDED_AT_ONCE = 200  # records, 4 ms


Check = Callable[[], None]


def _good() -> None:
    """Nothing changes for one who is not checked."""


def _is_good(check: Check) -> bool:
    try:
        check()
    except Unauthorized:
        return False
    return True


def _unknown(ref: str | int, more: str = "") -> BusError:
    """What a reference is answered with that no message has."""
    return (
        ref.refusal()
        if isinstance(ref, checks.OldId)
        else NotFound(f"There is no message {ref}.{more}")
    )


class Posted(NamedTuple):
    """A saved message as callers see it, and whether it was there before under the same idempotency key."""

    message: dict[str, Any]
    replayed: bool


class Acked(NamedTuple):
    """The seqs that an acknowledgement settled, and those that were settled before."""

    new: list[int]
    already: list[int]


class Inbox(NamedTuple):
    """What a reader should see first.

    `next` leads to what is left (None: nothing is); `before` were shown in earlier answers; `unread` is counted up to a cap.
    """

    packed: Packed
    next: Cursor | None
    before: int
    unread: int
    is_exact: bool
    now_ms: int


class Receipts(NamedTuple):
    """How far a message has come with some names, and how many more there are (at most 1000 is counted)."""

    id: str
    seq: int
    receipts: dict[str, dict[str, str | None]]
    more: int
    last: list[str]


class Core:
    """The hub without HTTP."""

    def __init__(
        self,
        log: Log,
        index: Index,
        presence: Presence,
        waiting: WaitingRoom,
        clock: Callable[[], float] = time.time,
        daily: DailyQuotas | None = None,
    ) -> None:
        self.daily = daily
        # What every append on behalf of a caller goes through, those of calls too.
        self.append: Append = log.append if daily is None else daily.guarding(log.append)
        self.log, self.index, self.presence, self.waiting = log, index, presence, waiting
        self._clock = clock
        self._standings = Standings(index, presence, self._time)

    # -- posting -----------------------------------------------------------------------------------------

    def post(self, caller: Caller, message: Draft) -> Posted:
        """Save one message; on return it is on stable storage. Raises KeyReused, UnknownReply and what append raises."""
        draft = self._draft(caller, message)
        posted = self._posted(draft, self.append([draft])[0])
        self._standings.was_here(draft["from"])
        self.waiting.ring()
        self._keep_up(draft)
        return posted

    def post_many(
        self, caller: Caller, batch: Sequence[Draft | BusError]
    ) -> list[Posted | BusError]:
        """Save the good ones of a batch with one sync; one result for each, in order, an error in the place of a bad one."""
        made: list[dict[str, Any] | BusError] = []
        for given in batch:
            try:
                made.append(given if isinstance(given, BusError) else self._draft(caller, given))
            except BusError as error:
                made.append(error)
        good = [draft for draft in made if not isinstance(draft, BusError)]
        appended = iter(self.append(good) if good else ())
        results: list[Posted | BusError] = []
        for draft in made:
            try:
                results.append(
                    draft if isinstance(draft, BusError) else self._posted(draft, next(appended))
                )
            except BusError as error:
                results.append(error)
        self.waiting.ring()
        self._keep_up(*good)
        return results

    def delivery(
        self, message: dict[str, Any], *, is_new: bool = True
    ) -> dict[str, dict[str, Any]]:
        """How each recipient of a message is doing, so that a sender learns at once that nobody listens."""
        return self._standings.of_recipients(message, is_new)

    def _draft(self, caller: Caller, message: Draft) -> dict[str, Any]:
        """The record to be of a message: its parent looked up, its expiry a time, its content fingerprinted."""
        said = message.as_dict()
        draft = {"kind": "message", "auth": caller.name, "verified": caller.is_verified, **said}
        if message.client_id is not None:
            draft |= {"digest": digest(said), **caller.stamp()}
        if message.in_reply_to is not None:
            parent = self._parent(message.in_reply_to)
            draft["in_reply_to"] = parent["id"]
            draft.setdefault("thread", parent.get("thread") or parent["id"])
        if message.expires_in_s is not None:
            draft["expires"] = records.utc(self._clock() + draft.pop("expires_in_s"))
        return draft

    def _parent(self, ref: str | int) -> dict[str, Any]:
        try:
            parent: dict[str, Any] = json.loads(self.message(ref))
        except NotFound as error:
            raise UnknownReply(
                f"`in_reply_to` is {ref}: there is no such message.", field="in_reply_to"
            ) from error
        return parent

    def _posted(self, draft: dict[str, Any], appended: Appended) -> Posted:
        record = appended.record
        if appended.replayed and record.get("digest") != draft["digest"]:
            raise KeyReused(
                f"The key {draft['client_id']!r} was used by {draft['from']} for {record['id']}, which says something else.",
                first=record["id"],
            )
        return Posted(public(record), appended.replayed)

    def _keep_up(self, *drafts: dict[str, Any]) -> None:
        """Bring the index up where it is far behind. Otherwise that is left to the next reader, or to `tend`.

        Who has posted what is heavy waits for it, or everybody else would: readers have to have it in the index.
        """
        is_heavy = sum(map(weight_us, drafts)) > max(_HEAVY_US, len(drafts) * _HEAVY_EACH_US)
        if is_heavy or self.index.lag() > _LAG_ALLOWED:
            with suppress(Unavailable):
                self.index.catch_up(wait=is_heavy)

    def tend(self, let_others: Callable[[], None]) -> None:
        """Bring the index up in small steps, letting others go on in between; for a worker to call now and then."""
        with suppress(Unavailable):
            while self.index.lag() and self.index.catch_up(wait=False, at_most=_TENDED_AT_ONCE):
                let_others()

    # -- reading -----------------------------------------------------------------------------------------

    def messages(
        self, selection: Selection, wait_s: float = 0, is_peek: bool = False, check: Check = _good
    ) -> Page:
        """A page of messages; with `wait_s`, held back until there is one or the time is over. No fetch is noted of a peek.

        `check` is called before a page is made for one who has waited; what it raises ends the waiting.
        """
        page = self._page(selection, is_peek)
        if page.messages or wait_s <= 0:
            return page
        deadline = time.monotonic() + wait_s
        with self.waiting.enter(selection) as waiter:
            page = self._page(selection, is_peek)
            while not page.messages and waiter.wait(remaining(deadline)):
                check()
                page = self._page(selection, is_peek)
        return page

    def stream(
        self, selection: Selection, keepalive_s: float, is_peek: bool = False, check: Check = _good
    ) -> Generator[Page | None, None, None]:
        """Pages as they come, without gap or repeat, for ever; None is a sign of life. Ends when the hub stops.

        `check` is called before each page and each sign of life; where it raises Unauthorized, the stream ends.

        Starts after `selection.after`; without it, at the oldest unread for `unread_by`, else with what comes from now on.
        """
        with self.waiting.enter(selection) as waiter:
            if selection.after is None and selection.unread_by is None:
                selection = selection.since(self.log.position().seq)
            yield None
            while _is_good(check):
                page = self._page(selection, is_peek)
                if page.last is not None:
                    selection = selection.since(page.last)
                    yield page
                elif not waiter.wait(keepalive_s):
                    if waiter.is_over() or not _is_good(check):
                        return
                    yield None

    def message(self, ref: str | int) -> str:
        """One message; raises NotFound."""
        with self.index.reading() as db:
            seq = ref if isinstance(ref, int) else queries.seq_of_id(db, ref)
            found = None if seq is None else queries.by_seq(db, seq)
        if found is None:
            raise _unknown(ref)
        return found

    def indexed_to(self) -> int:
        """The seq up to which every record is known to a page made from now on."""
        return self.index.known_to()

    def seq_of(self, ref: str | int) -> int:
        """The place of a cursor: a seq as it is, an id looked up; raises NotFound."""
        if isinstance(ref, int):
            return ref
        with self.index.reading() as db:
            seq = queries.seq_of_id(db, ref)
        if seq is None:
            raise _unknown(ref)
        return seq

    def search(self, words: str, selection: Selection) -> tuple[list[tuple[str, str]], bool]:
        """Messages that hold all the words, newest first, each with a snippet; and whether there are more."""
        query, now_ms = search.to_fts(words), self._now_ms()
        # SQLite merges the words that begin so before it looks at the clock again.
        return self.index.ask(
            lambda db: search.search(db, query, selection, now_ms), is_long="*" in query
        )

    def _page(self, selection: Selection, is_peek: bool) -> Page:
        now_ms = self._now_ms()
        page = self.index.ask(lambda db: queries.page(db, selection, now_ms))
        if selection.unread_by is not None and not is_peek:
            self.presence.note_poll(selection.unread_by, page.seqs, self._now_ms())
            self._standings.was_here(selection.unread_by)
        return page

    def inbox(
        self,
        reader: str,
        cursor: Cursor | None,
        limit: int,
        longest: int,
        choose: Callable[[list[dict[str, Any]], int], Packed],
        is_peek: bool = False,
    ) -> Inbox:
        """The unread messages behind a cursor that `choose` picks of the first `limit`.

        Those with more than `longest` characters come to it cut. Those in full count as fetched, except in a peek.
        """
        now_ms = self._now_ms()
        seen, unread = self.index.ask(
            lambda db: (
                inbox.first(db, reader, now_ms, cursor, limit + 1, longest),
                queries.unread_count(db, reader, now_ms, _COUNTED_UNREAD),
            )
        )
        found, start = seen
        packed = choose([message for _, message in found[:limit]], now_ms)
        if not is_peek:
            self.presence.note_poll(reader, [message["seq"] for message in packed.full], now_ms)
            self._standings.was_here(reader)
        next = None
        if len(found) > packed.shown:
            rank = found[packed.shown - 1][0] if packed.shown else start.rank
            next = start._replace(rank=rank, shown=start.shown + packed.shown)
        return Inbox(packed, next, start.shown, unread, unread < _COUNTED_UNREAD, now_ms)

    # -- acknowledging -----------------------------------------------------------------------------------

    def ack(self, caller: Caller | None, reader: str, refs: Sequence[str | int]) -> Acked:
        """Note that a reader is done with messages; raises NotFound, and then none is noted."""
        with self.index.reading() as db:
            seqs: list[int] = []
            for ref in dict.fromkeys(refs):
                seq = ref if isinstance(ref, int) else queries.seq_of_id(db, ref)
                if seq is None or queries.by_seq(db, seq) is None:
                    raise _unknown(ref, " Nothing was acknowledged.")
                if seq not in seqs:
                    seqs.append(seq)
            new = [seq for seq in seqs if queries.is_unread(db, reader, seq)]
        if new:
            self._append_ack(caller, {"reader": reader, "seqs": new})
        return Acked(new, [seq for seq in seqs if seq not in new])

    def ack_through(self, caller: Caller, reader: str, ref: str | int) -> Acked:
        """Note that a reader is done with every message up to this one; raises NotFound."""
        seq = json.loads(self.message(ref))["seq"]
        everything = Selection(unread_by=reader, before=seq + 1, limit=1, expired=True)
        now_ms = self._now_ms()
        is_new = bool(self.index.ask(lambda db: queries.page(db, everything, now_ms)).messages)
        if is_new:
            self._append_ack(caller, {"reader": reader, "through": seq})
        return Acked([seq] if is_new else [], [] if is_new else [seq])

    def receipts(self, ref: str | int, after: str = "", limit: int = MAX_LIMIT) -> Receipts:
        """Who a message waits for and how far each has come: `limit` names behind `after`; before all, those it is to."""
        message = json.loads(self.message(ref))
        seq, to_all = message["seq"], EVERYBODY in recipients(message)
        first = [] if to_all or after else recipients(message)
        self._standings.let_go()
        at_most = limit + _COUNTED_READERS + len(recipients(message)) + 1
        names = (self._names_to_all if to_all else self._names_besides)(seq, after, at_most)
        kept_out = {message["from"]} if to_all else set(recipients(message))
        others = [name for name in names if name not in kept_out]
        shown = [*first, *others[:limit]]
        fetched = self.presence.fetched(seq, shown)
        acked = self.index.ask(lambda db: receipts.acked(db, seq, shown))
        found = {
            name: {
                "queued": message["ts"],
                "fetched": records.iso(fetched.get(name)),
                "acked": acked.get(name),
            }
            for name in shown
        }
        return Receipts(
            message["id"],
            seq,
            found,
            min(len(others[limit:]), _COUNTED_READERS),
            others[:limit][-1:],
        )

    def _names_besides(self, seq: int, after: str, at_most: int) -> list[str]:
        """The names behind `after` that fetched or acknowledged a message, in their order."""
        acked = self.index.ask(lambda db: receipts.ackers(db, seq, after, at_most))
        return sorted({*self.presence.fetches(seq, after, at_most), *acked})[:at_most]

    def _names_to_all(self, seq: int, after: str, at_most: int) -> list[str]:
        """The names behind `after` that a broadcast is for, or that fetched or acknowledged it, in their order."""
        found: list[str] = []
        while len(found) < at_most:
            names = self._known_names(seq, after, at_most)
            came_later = self._came_later(seq, names)
            found += [name for name in names if name not in came_later]
            if len(names) < at_most:
                break
            after = names[-1]
        return found

    def _known_names(self, seq: int, after: str, at_most: int) -> list[str]:
        acted = self.index.ask(lambda db: receipts.known(db, after, at_most))
        asked = self.presence.readers(self._now_ms(), after, at_most)
        return sorted({*acted, *asked, *self.presence.fetches(seq, after, at_most)})[:at_most]

    def _came_later(self, seq: int, names: list[str]) -> set[str]:
        """Those that a broadcast was not for, and that had nothing to do with it."""
        later = list(self.index.ask(lambda db: floors.not_for(db, seq, names)))
        return {*later} - {
            *self.index.ask(lambda db: receipts.acked(db, seq, later)),
            *self.presence.fetched(seq, later),
        }

    def _append_ack(self, caller: Caller | None, fields: dict[str, Any]) -> None:
        by = {} if caller is None else {"auth": caller.name}  # None: the operator, whose word stays
        self.append([{"kind": "ack", **by, **fields}])
        self._standings.was_here(fields["reader"])
        self._keep_up()

    def use_name(self, caller: Caller, name: str) -> None:
        """A caller reads under a name, which is noted; raises OverQuota for one name too many that is new today."""
        if self.daily is not None:
            self.daily.use_name(caller.name, name)

    # -- who may call ------------------------------------------------------------------------------------

    def note_credential(
        self, action: str, name: str, role: str, by: str, expires: int | None = None
    ) -> None:
        """Record a change to the credentials: add, rotate, revoke, invite (until `expires`), join or replace. Never a secret."""
        until = {} if expires is None else {"expires": records.utc(expires)}
        self.append(
            [
                {
                    "kind": "credential",
                    "action": action,
                    "name": name,
                    "role": role,
                    "by": by,
                    "auth": by,
                    **until,
                }
            ]
        )
        self.waiting.ring()
        self._keep_up()

    def note_refused(self, fields: dict[str, Any]) -> None:
        """Record that a change to the credentials, or a sign-in, was refused."""
        self.append([{"kind": "refused", **fields}])
        self._keep_up()

    def machine_names(self) -> list[str]:
        """The names that machines have or had, as far as the log tells; raises Rebuilding."""
        with self.index.reading() as db:
            return machines.names(db)

    # -- the hub itself ----------------------------------------------------------------------------------

    def health(self) -> dict[str, Any]:
        """How the hub is: what `/health` answers."""
        state, count, damaged = "ready", None, 0
        try:
            with self.index.reading() as db:
                count, damaged = queries.count(db)
        except Rebuilding as error:
            state = error.message
        failed = self.log.failed()
        has_room = self.log.has_room()
        return {
            "ok": not failed and has_room,
            "count": count,
            "now": records.utc(self._clock()),
            "last_seq": self.log.position().seq,
            "index": state,
            "index_lag": self.index.lag(),
            "storage": "failed: read-only"
            if failed
            else "ok"
            if has_room
            else "full: no room for another message",
            "damaged_lines": damaged,
            "waiting": self.waiting.total(),
        }

    def _time(self) -> float:
        return self._clock()

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)
