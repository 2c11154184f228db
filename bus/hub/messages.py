"""Messages: post, read, wait, stream, search."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, NamedTuple, cast

from bus.errors import BusError, NotFound, Unauthorized
from bus.hub import idempotency
from bus.hub.drafting import Drafting
from bus.hub.journal import Journal
from bus.hub.machine_mail import MachineMail
from bus.hub.privacy import Privacy
from bus.hub.proofs import Proofs
from bus.hub.standings import Report, Standings
from bus.index import messages as queries
from bus.index import search
from bus.index.messages import Page, public
from bus.index.privacy import View
from bus.live.presence import Presence
from bus.live.waiting import remaining
from bus.log.base import Appended
from bus.model import checks
from bus.model.attached import Attachment
from bus.model.caller import Caller
from bus.model.context_refs import nonce_of
from bus.model.filter import Selection
from bus.model.messages import Draft, Message
from bus.model.records import Fields

Check = Callable[[], None]


class Posted(NamedTuple):
    """A saved message as callers see it, and whether it was there before under the same key."""

    message: Message
    replayed: bool


class Messages:
    """The verbs of messages. Messages come out as JSON text, the way the index keeps them."""

    def __init__(
        self,
        journal: Journal,
        presence: Presence,
        standings: Standings,
        drafting: Drafting,
        machine_mail: MachineMail,
        privacy: Privacy,
        proofs: Proofs,
    ) -> None:
        self._journal, self._index = journal, journal.index
        self._presence, self._standings = presence, standings
        self._drafting, self._machine_mail = drafting, machine_mail
        self._privacy, self._proofs = privacy, proofs

    # -- posting ---------------------------------------------------------------------------------

    def post(
        self,
        caller: Caller,
        message: Draft,
        ask: Mapping[str, Any] | None = None,
        brief: Mapping[str, Any] | None = None,
        more: Mapping[str, Any] | None = None,
        files: Sequence[Attachment] = (),
    ) -> Posted:
        """Save one message; on return it is on stable storage. `ask` are the terms of a question,
        `brief` what a brief says besides, `more` what the hub adds to the record: the same post may
        come again when that is different by then. `files` come with it and are stored already.

        Raises what `Drafting.record` and `Journal.append` raise, and KeyReused.
        """
        draft = self._drafting.record(caller, message, self._get_for(caller), ask, brief, files)
        draft.update(more or {})
        appended = self._journal.append_soon([draft])[0]
        self._standings.was_here(draft["from"])
        self._note_reply(caller, message, draft)
        return _posted(draft, appended)

    def check(self, caller: Caller, message: Draft) -> None:
        """Raise what `post` would raise, as far as that is known before it: for a message whose
        files are still to come.
        """
        self._drafting.record(caller, message, self._get_for(caller))

    def post_many(
        self, caller: Caller, batch: Sequence[Draft | BusError]
    ) -> list[Posted | BusError]:
        """Save the good messages of a batch with one sync.

        Return one result for each, in order: a bad one's is its error.
        """
        get = self._get_for(caller)
        made: list[Fields | BusError] = []
        for given in batch:
            try:
                made.append(
                    given
                    if isinstance(given, BusError)
                    else self._drafting.record(caller, given, get)
                )
            except BusError as error:
                made.append(error)
        good = [draft for draft in made if not isinstance(draft, BusError)]
        appended = iter(self._journal.append_soon(good) if good else ())
        for given, draft in zip(batch, made, strict=True):
            if isinstance(given, Draft) and not isinstance(draft, BusError):
                self._note_reply(caller, given, draft)
        results: list[Posted | BusError] = []
        for draft in made:
            try:
                results.append(
                    draft if isinstance(draft, BusError) else _posted(draft, next(appended))
                )
            except BusError as error:
                results.append(error)
        return results

    def _note_reply(self, caller: Caller, message: Draft, draft: Fields) -> None:
        """Note what the reference that a message answers proves."""
        ref = message.in_reply_to
        if ref is not None and nonce_of(ref) is not None:
            id = draft["in_reply_to"]
            self._proofs.note(caller, draft["from"], ref, id, self.seq_of(id), "reply")

    def delivery(self, message: Message, *, is_new: bool = True) -> Report:
        """Return how each recipient of a message is doing: its sender learns at once if nobody
        listens.
        """
        return self._standings.of_recipients(message, is_new)

    def _get_for(self, caller: Caller) -> Callable[[str | int], str]:
        view = self._privacy.view(caller)
        return lambda ref: self.get(ref, view)

    # -- reading ---------------------------------------------------------------------------------

    def get(self, ref: str | int, view: View | None = None) -> str:
        """Return one message; raises NotFound, also for one that is not in `view`."""
        with self._index.reading() as db:
            seq = ref if isinstance(ref, int) else queries.seq_of_id(db, ref)
            found = None if seq is None else queries.by_seq(db, seq)
        if found is None:
            raise unknown(ref)
        return self._privacy.check(view, ref, found)

    def read(
        self,
        selection: Selection,
        wait_s: float = 0,
        is_peek: bool = False,
        check: Check = lambda: None,
    ) -> Page:
        """Return a page of messages; with `wait_s`, as soon as there is one, or empty when the time
        is over.

        A peek counts nothing as fetched. `check` runs before each page that comes after a wait;
        what it raises ends the wait.
        """
        page = self._page(selection, is_peek)
        if page.messages or wait_s <= 0:
            return page
        deadline = time.monotonic() + wait_s
        with self._journal.waiting.enter(selection) as waiter:
            page = self._page(selection, is_peek)
            while not page.messages and waiter.wait(remaining(deadline)):
                check()
                page = self._page(selection, is_peek)
        return page

    def stream(
        self,
        selection: Selection,
        keepalive_s: float,
        is_peek: bool = False,
        check: Check = lambda: None,
    ) -> Generator[Page | None, None, None]:
        """Yield pages as they come, without gap or repeat, until the hub stops; None is a sign of
        life.

        `check` runs before each page and each sign of life; the stream ends when it raises
        Unauthorized.

        Starts after `selection.after`; without it, at the oldest unread for `unread_by`, else with
        what comes from now on.
        """
        with self._journal.waiting.enter(selection) as waiter:
            if selection.after is None and selection.unread_by is None:
                selection = selection.since(self._journal.log.position().seq)
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

    def search(self, words: str, selection: Selection) -> tuple[list[tuple[str, str]], bool]:
        """Return the messages that hold all the words, newest first, each with a snippet; and
        whether there are more.
        """
        query, now_ms = search.to_fts(words), self._journal.now_ms()
        # SQLite merges the words that begin so before it looks at the clock again.
        return self._index.ask(
            lambda db: search.search(db, query, selection, now_ms), is_long="*" in query
        )

    def indexed_to(self) -> int:
        """Return the seq up to which a page made from now on knows every record."""
        return self._index.known_to()

    def seq_of(self, ref: str | int) -> int:
        """Return the seq of a cursor: a seq is itself, an id is looked up; raises NotFound."""
        if isinstance(ref, int):
            return ref
        with self._index.reading() as db:
            seq = queries.seq_of_id(db, ref)
        if seq is None:
            raise unknown(ref)
        return seq

    def _marked(self, page: Page, session: str) -> Page:
        """Give what is to the session's machine to it; mark what another session has."""
        read = {seq: json.loads(text) for seq, text in zip(page.seqs, page.messages, strict=True)}
        others = self._machine_mail.others(session, read)
        texts = [
            _with(text, "given_to", others[seq]) if seq in others else text
            for seq, text in zip(page.seqs, page.messages, strict=True)
        ]
        return page._replace(messages=texts)

    def _page(self, selection: Selection, is_peek: bool) -> Page:
        now_ms = self._journal.now_ms()
        page = self._index.ask(lambda db: queries.page(db, selection, now_ms))
        if selection.machine and selection.unread_by is not None and not is_peek:
            page = self._marked(page, selection.unread_by)
        if selection.unread_by is not None and not is_peek:
            self._presence.note_poll(selection.unread_by, page.seqs, self._journal.now_ms())
            self._standings.was_here(selection.unread_by)
        return page


def _with(text: str, name: str, value: object) -> str:
    """Return a JSON object with one more field."""
    return f'{text[:-1]},"{name}":{json.dumps(value, separators=(",", ":"))}}}'


def unknown(ref: str | int, more: str = "") -> BusError:
    """Return the error for a reference that no message has."""
    return (
        ref.refusal()
        if isinstance(ref, checks.OldId)
        else NotFound(f"There is no message {ref}.{more}")
    )


def _posted(draft: Fields, appended: Appended) -> Posted:
    if appended.replayed:
        idempotency.refuse_other_message(appended.record, draft)
    return Posted(cast(Message, public(appended.record)), appended.replayed)


def _is_good(check: Check) -> bool:
    try:
        check()
    except Unauthorized:
        return False
    return True
