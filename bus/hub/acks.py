"""Acks: a reader is done with messages. Receipts: how far a message has come with each reader."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from bus.hub.journal import Journal
from bus.hub.messages import Messages, unknown
from bus.hub.proofs import Proofs
from bus.hub.standings import Standings
from bus.index import acks as acked_by
from bus.index import floors, names, topics
from bus.index import messages as queries
from bus.index.mailboxes import Mailboxes, of_reader
from bus.index.privacy import View
from bus.index.unread import is_unread
from bus.live.presence import Presence
from bus.model import records
from bus.model.acks import Receipt, Receipts
from bus.model.caller import Caller
from bus.model.context_refs import nonce_of
from bus.model.filter import MAX_LIMIT, Selection, recipients
from bus.model.groups import is_topic
from bus.model.messages import Message
from bus.model.records import EVERYBODY, Fields

_COUNTED_READERS = 1_000
_PAGES = 20  # of unread messages in which those that were given are looked for
_GIVEN = 1_000  # of those
_PROVEN = 50  # references of one ack that may prove something; each takes a look into a file


class Acked(NamedTuple):
    """The seqs that an ack settled, and those that were settled before."""

    new: list[int]
    already: list[int]


class Acks:
    """The verbs of acks and receipts."""

    def __init__(
        self,
        journal: Journal,
        messages: Messages,
        presence: Presence,
        standings: Standings,
        proofs: Proofs,
    ) -> None:
        self._journal, self._index, self._messages = journal, journal.index, messages
        self._presence, self._standings, self._proofs = presence, standings, proofs

    def ack(
        self,
        caller: Caller | None,
        reader: str,
        refs: Sequence[str | int],
        with_machine: bool = False,
        view: View | None = None,
    ) -> Acked:
        """Record that a reader is done with messages; raises NotFound, and then records nothing.

        What lies in the mailbox of a role that it holds is done for the role; `with_machine`, what
        lies in its machine's is done for the machine. No `caller` stands for the operator, whose
        word outlives every credential.
        """
        new: dict[str, list[int]] = {}
        done: set[int] = set()
        with self._index.reading() as db:
            boxes = of_reader(db, reader, with_machine)
            seqs: dict[int, Message] = {}
            used: list[tuple[str | int, int]] = []
            # Of the same message, what may prove something comes first: the two are equal.
            for ref in dict.fromkeys(sorted(refs, key=lambda ref: nonce_of(ref) is None)):
                seq = ref if isinstance(ref, int) else queries.seq_of_id(db, ref)
                text = None if seq is None else queries.by_seq(db, seq)
                if seq is None or text is None:
                    raise unknown(ref, " Nothing was acknowledged.")
                seqs[seq] = json.loads(text)
                if view is not None and not view.sees(db, seq, seqs[seq]):
                    raise unknown(ref, " Nothing was acknowledged.")
                if nonce_of(ref) is not None:
                    used.append((ref, seq))
            for seq, message in seqs.items():
                for box in self._boxes(db, boxes, reader, seq, message):
                    if is_unread(db, box, seq):
                        new.setdefault(box, []).append(seq)
                        done.add(seq)
        if new:
            self._append(caller, reader, [{"reader": box, "seqs": new[box]} for box in new])
        for ref, seq in used[:_PROVEN]:
            self._proofs.note(caller, reader, ref, seqs[seq]["id"], seq, "ack")
        return Acked([seq for seq in seqs if seq in done], [seq for seq in seqs if seq not in done])

    def _boxes(
        self, db: sqlite3.Connection, boxes: Mailboxes, reader: str, seq: int, message: Message
    ) -> list[str]:
        """Return the mailboxes of a reader that a message lies in."""
        if not boxes.direct:
            return [boxes.whole]
        return boxes.of({*recipients(message), *topics.reached(db, seq)}, reader)

    def ack_through(
        self, caller: Caller, reader: str, ref: str | int, with_machine: bool = False
    ) -> Acked:
        """Record that a reader is done with every message up to this one; raises NotFound."""
        newest = json.loads(self._messages.get(ref))
        seq = newest["seq"]
        self._proofs.note(caller, reader, ref, newest["id"], seq, "ack")
        everything = Selection(
            unread_by=reader, before=seq + 1, limit=1, expired=True, machine=with_machine
        )
        now_ms = self._journal.now_ms()
        is_new, boxes = self._index.ask(
            lambda db: (
                bool(queries.page(db, everything, now_ms).messages),
                of_reader(db, reader, with_machine),
            )
        )
        if is_new:
            self._append(caller, reader, [{"reader": box, "through": seq} for box in boxes.names])
        return Acked([seq] if is_new else [], [] if is_new else [seq])

    def ack_shown(self, caller: Caller, reader: str, with_machine: bool = False) -> Acked:
        """Record that a reader is done with the unread messages that it was given, at most 1,000,
        the newest first. What it was not given stays unread, also what is older: an urgent message
        may have been shown before others.
        """
        given: list[int] = []
        before: int | None = None
        for _ in range(_PAGES):
            selection = Selection(
                unread_by=reader,
                before=before,
                limit=MAX_LIMIT,
                newest=True,
                expired=True,
                machine=with_machine,
            )
            page = self._messages.read(selection, is_peek=True)
            given += self._presence.given(reader, page.seqs)
            if not page.has_more or len(given) >= _GIVEN:
                break
            before = min(page.seqs)
        given = sorted(given, reverse=True)[:_GIVEN]
        return self.ack(caller, reader, given[::-1], with_machine) if given else Acked([], [])

    def _append(self, caller: Caller | None, reader: str, acks: list[Fields]) -> None:
        auth = {} if caller is None else {"auth": caller.name}
        block = [
            {"kind": "ack", **auth, **ack, **({} if ack["reader"] == reader else {"by": reader})}
            for ack in acks
        ]
        self._journal.append_soon(block)
        for name in {reader, *(ack["reader"] for ack in acks)}:
            self._standings.changed(name)
        self._standings.was_here(reader)

    def receipts(self, ref: str | int, after: str = "", limit: int = MAX_LIMIT) -> Receipts:
        """Return who a message waits for and how far it has come with each: `limit` names behind
        `after`.

        The names that the message is addressed to come before all others.
        """
        message = json.loads(self._messages.get(ref))
        seq, to_all = message["seq"], EVERYBODY in recipients(message)
        named = [name for name in recipients(message) if not is_topic(name)]
        first = [] if to_all or after else named
        self._standings.let_go()
        at_most = limit + _COUNTED_READERS + len(named) + 1
        names = (self._names_to_all if to_all else self._names_besides)(seq, after, at_most)
        kept_out = {message["from"]} if to_all else set(named)
        others = [name for name in names if name not in kept_out]
        shown = [*first, *others[:limit]]
        fetched = self._presence.fetched(seq, shown)
        acked = self._index.ask(lambda db: acked_by.acked(db, seq, shown))
        found: dict[str, Receipt] = {
            name: {
                "queued": message["ts"],
                "fetched": records.iso(fetched.get(name)),
                "acked": acked.get(name),
            }
            for name in shown
        }
        more = min(len(others[limit:]), _COUNTED_READERS)
        return {
            "id": message["id"],
            "seq": seq,
            "receipts": found,
            "has_more": more > 0,
            "more": more,
            "next": others[limit - 1] if more else None,
        }

    def _names_besides(self, seq: int, after: str, at_most: int) -> list[str]:
        """Return the names behind `after` that fetched or acknowledged a message, or that it has
        reached through a topic, in their order.
        """
        acked, reached = self._index.ask(
            lambda db: (
                acked_by.ackers(db, seq, after, at_most),
                topics.reached(db, seq, after, at_most),
            )
        )
        fetched = self._presence.fetches(seq, after, at_most)
        return sorted({*fetched, *acked, *reached})[:at_most]

    def _names_to_all(self, seq: int, after: str, at_most: int) -> list[str]:
        """Return the names behind `after` that a broadcast is for, or that fetched or acknowledged
        it, in order.
        """
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
        acted = self._index.ask(lambda db: names.known(db, after, at_most))
        asked = self._presence.readers(self._journal.now_ms(), after, at_most)
        return sorted({*acted, *asked, *self._presence.fetches(seq, after, at_most)})[:at_most]

    def _came_later(self, seq: int, names: list[str]) -> set[str]:
        """Return those that a broadcast was not for, and that never fetched or acknowledged it."""
        later = list(self._index.ask(lambda db: floors.not_for(db, seq, names)))
        return {*later} - {
            *self._index.ask(lambda db: acked_by.acked(db, seq, later)),
            *self._presence.fetched(seq, later),
        }
