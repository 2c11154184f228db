"""What a model is shown of its mail, and when: each message once in a conversation.

A message that was shown stays unread until it is acknowledged.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from bus.hub.inbox import Inbox
from bus.hub.journal import Journal
from bus.hub.machine_mail import MachineMail
from bus.hub.messages import Messages
from bus.hub.owing import Owing
from bus.hub.proofs import Proofs
from bus.hub.standings import Standings
from bus.live.presence import Presence
from bus.live.shown import ShownMail
from bus.model.caller import SHARED, Caller
from bus.model.filter import Selection
from bus.model.frames import framed
from bus.model.hooks import (
    CHANNEL,
    MOST_NEWS,
    PROMPT,
    STOP,
    TOOL,
    TOOL_EVERY_MS,
    WAKE,
    ReachTrusts,
    may_show,
    reaching,
    urgent_first,
)
from bus.model.inbox_budget import Candidate, Packed, length
from bus.system import hurry

# Of 10,000 characters that Claude Code takes from a hook: all that waits, with room for the line
# about who the session is, and mail in it
_MOST = 8_000
_START_BUDGET = 6_000
_NEWS_BUDGET = 4_000
_FIRST = 50  # messages that the start of a session looks at
_LONGEST = 20_000  # characters of a message's JSON that is still read whole
_PAGES = 20  # of news that one event looks at


class Contexts:
    """The verbs of what a model is shown."""

    def __init__(
        self,
        journal: Journal,
        messages: Messages,
        inbox: Inbox,
        machine_mail: MachineMail,
        presence: Presence,
        standings: Standings,
        shown: ShownMail,
        proofs: Proofs,
        owing: Owing,
        trusts: ReachTrusts,
    ) -> None:
        self._journal, self._messages, self._inbox = journal, messages, inbox
        self._machine_mail, self._presence = machine_mail, presence
        self._standings, self._shown, self._proofs = standings, shown, proofs
        self._owing, self._trusts = owing, trusts

    def reaching(
        self, caller: Caller, reader: str, is_bypass: bool | None
    ) -> Collection[str] | None:
        """Note whether a session is in bypass mode, if that is known now, else as it was said last;
        return the labels of what reaches it, None for any.

        A session of the shared user is shown what the shared user wrote: in a fleet without other
        credentials there is nothing else.
        """
        if is_bypass is None:
            is_bypass = self._shown.is_bypass(reader)
        else:
            self._shown.note_bypass(reader, is_bypass, self._journal.now_ms())
        if not is_bypass:
            return None
        return {*self._trusts.bypass, *({SHARED} if caller.role == SHARED else ())}

    def start(
        self, owner: str, reader: str, conversation: str, trusts: Collection[str] | None = None
    ) -> str:
        """Return what waits for a reader, most urgent first; its conversation begins anew.

        `owner` is the credential that asks. What has none of the labels `trusts` is only counted.
        """
        now_ms, chosen = self._journal.now_ms(), list[Candidate]()
        begun = self._journal.log.position().seq

        def keep(messages: list[Candidate], _: int) -> Packed:
            chosen.extend(messages)
            return Packed([], [])

        page = self._inbox.read(
            reader, None, _FIRST, _LONGEST, keep, is_peek=True, with_machine="/" in reader
        )
        self._mark(reader, chosen)
        owed = self._owing.at_start(reader, conversation, trusts)
        budget = min(_START_BUDGET, _MOST - length(owed))
        chosen, withheld = _reaching(chosen, trusts)
        text, full, _ = self._framed(reader, page.unread, chosen, now_ms, budget, withheld)
        text = _joined(text, owed)
        seqs = [message["seq"] for message in full]
        hurry.check()
        self._shown.claim(reader, conversation, seqs, "start", now_ms)
        self._shown.begin(owner, reader, conversation, begun, now_ms)
        self._note(reader, seqs)
        return text

    def news(
        self,
        owner: str,
        reader: str,
        conversation: str,
        event: str,
        *,
        wake: str,
        way: str,
        trusts: Collection[str] | None = None,
    ) -> tuple[str, list[int]]:
        """Return what came for a reader since its conversation was last shown something, as far as
        the event shows it, and the seqs of that. What is new to a conversation that has not begun
        is all that waits.

        What goes out by a channel may not arrive, so it goes out once and counts as not shown.
        """
        begun = self._shown.begun(reader, conversation)
        if begun is None:
            is_quiet = event in (STOP, WAKE)
            if is_quiet:
                return "", []
            return self.start(owner, reader, conversation, trusts), []
        now_ms = self._journal.now_ms()
        if event == TOOL and not self._shown.may_look(reader, conversation, now_ms, TOOL_EVERY_MS):
            return "", []
        found, last = self._came(reader, begun, event, wake)
        others = self._mark(reader, found) if found else set()
        sent_to = f"{conversation} {CHANNEL}" if way == CHANNEL else conversation
        known = self._shown.known(reader, conversation) if found else set()
        known |= self._shown.known(reader, sent_to) if way == CHANNEL else set()
        fresh = urgent_first([one for one in found if one["seq"] not in others | known])
        fresh, withheld = _reaching(fresh, trusts)
        if event != PROMPT:  # the next prompt counts them, once
            withheld = 0
        unread = self._inbox.count(reader, "/" in reader) if fresh or withheld else 0
        hurry.check()
        text, full, shown = self._framed(reader, unread, fresh, now_ms, _NEWS_BUDGET, withheld)
        seqs = [message["seq"] for message in shown]
        hurry.check()
        claimed = set(self._shown.claim(reader, sent_to, seqs, way, now_ms))
        if claimed != set(seqs):  # another hook of the session has shown some just now
            shown = [message for message in shown if message["seq"] in claimed]
            text, full, shown = self._framed(reader, unread, shown, now_ms, _NEWS_BUDGET, withheld)
        if way != CHANNEL:
            self._note(reader, [message["seq"] for message in full])
        # What is not shown yet must not be behind the place from which news are looked for.
        if event == PROMPT and last is not None:
            left = [one["seq"] - 1 for one in fresh if one["seq"] not in claimed]
            self._shown.begin(owner, reader, conversation, min([last, *left]), now_ms)
        if event == TOOL:
            self._shown.note_look(reader, conversation, now_ms, TOOL_EVERY_MS)
        if event == STOP:
            try:
                text = _joined(text, self._owing.at_stop(reader, conversation, claimed, trusts))
            except BaseException:  # it is too late: nothing is shown now
                self._shown.disclaim(reader, conversation, sorted(claimed))
                raise
        return text, sorted(claimed)

    def _came(
        self, reader: str, begun: int, event: str, wake: str
    ) -> tuple[list[Candidate], int | None]:
        """Return what came since `begun` that the event shows, and the seq up to which was looked.

        What the event does not show must not stand before what it does, so many are looked at.
        """
        found: list[Candidate] = []
        last = None
        for _ in range(_PAGES):
            selection = Selection(
                unread_by=reader, machine="/" in reader, after=last or begun, limit=MOST_NEWS
            )
            page = self._messages.read(selection, is_peek=True)
            messages: list[Candidate] = [json.loads(text) for text in page.messages]
            found += [one for one in messages if may_show(event, one, wake, self._trusts.wake)]
            last = last if page.last is None else page.last
            if not page.has_more:
                break
            hurry.check()
        return found, last

    def _framed(
        self,
        reader: str,
        unread: int,
        messages: list[Candidate],
        now_ms: int,
        budget: int,
        withheld: int,
    ) -> tuple[str, list[Candidate], list[Candidate]]:
        """Return the text of messages, each under the reference that proves that it was shown;
        those that stand in it whole, and all that stand in it.
        """
        if not messages and not withheld:
            return "", [], []
        for message in messages:
            message["ref"] = self._proofs.reference(message["seq"], message["id"], reader)
        waits = {"unread": unread, **self._owing.counts(reader)}
        return framed(reader, waits, messages, now_ms, budget, withheld)

    def not_woken(self, reader: str, conversation: str, seqs: list[int]) -> None:
        """Take back that messages were shown: the session could not be woken."""
        self._shown.disclaim(reader, conversation, seqs)

    def _mark(self, reader: str, messages: list[Candidate]) -> set[int]:
        """Mark what another session of the machine has; return the seqs of it."""
        if "/" not in reader:
            return set()
        by_seq: dict[int, Any] = {message["seq"]: message for message in messages}
        others = self._machine_mail.others(reader, by_seq)
        for seq, given_to in others.items():
            by_seq[seq]["given_to"] = given_to
        return set(others)

    def _note(self, reader: str, seqs: list[int]) -> None:
        """Note that messages were fetched: they stood before a model."""
        if seqs:
            self._presence.note_poll(reader, seqs, self._journal.now_ms())
        self._standings.was_here(reader)


def _reaching(
    messages: list[Candidate], trusts: Collection[str] | None
) -> tuple[list[Candidate], int]:
    """Return what has one of these labels (None: any), and how many have not."""
    found = reaching(messages, trusts)
    return found, len(messages) - len(found)


def _joined(*texts: str) -> str:
    return "\n".join(filter(None, texts))
