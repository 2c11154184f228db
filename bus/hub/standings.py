"""How each recipient is doing, for the answer to a post: news that is kept for a quarter of a
second.

Looked up anew for every post it would cost a fifth of one. Kept news is never older than what
happened in this worker: a name that polls, posts or acknowledges here is looked up anew, and what
is saved here is counted on top.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from bus.errors import BusError, UnknownRecipient
from bus.hub.agents import Agents
from bus.index import agents, floors, names, place, roles, webhooks
from bus.index.database import Index
from bus.index.mailboxes import Mailboxes, of_reader
from bus.index.topics import subscribers
from bus.index.unread import oldest_unread_ms, unread_count
from bus.live.presence import Presence
from bus.model import records
from bus.model.delivery import Recipient, Standing, warnings
from bus.model.delivery import unknown as unknown_text
from bus.model.filter import recipients
from bus.model.groups import ROLE_PREFIX, TOPIC_PREFIX, is_group, is_role, is_topic
from bus.model.messages import Message
from bus.model.records import EVERYBODY, HUB

_KEPT_FOR_S = 0.25
_COUNTED_READERS = 1_000
_COMPARED = 2  # unknown names of one message that are compared with the known ones
_COUNTED_UNREAD = 1_000  # a report says "1000" for this many and more
_CAUGHT_UP_FIRST = 200  # records, 4 ms: what is behind that is left to readers and the tender


@dataclass
class _Standing:
    """What is known of a name; of everybody and of a topic, only who reads.

    `counted_to` is the seq up to which `unread` counts.
    """

    last_seen: str | None = None
    last_sign: str | None = None  # of any kind: registering and heartbeats too
    last_fetch: str | None = None
    unread: int | None = None
    counted_to: int = 0
    readers: frozenset[str] = field(default_factory=frozenset)
    is_known: bool = True
    is_unsure: bool = False  # the index could not be asked
    state: str = "gone"
    wake: str | None = None
    oldest_ms: int | None = None
    near: Sequence[str] | None = None  # known names like an unknown one; None: not looked for

    def count(self, seq: int) -> None:
        """Count a message that was saved after this was found out."""
        if self.unread is not None and seq > self.counted_to:
            self.unread = min(self.unread + 1, _COUNTED_UNREAD)

    def as_recipient(self, name: str, now_ms: int) -> Recipient:
        """Return what the sender is told."""
        waits_s = 0 if self.oldest_ms is None else max(0, now_ms - self.oldest_ms) // 1000
        return {
            "name": name,
            "known": self.is_known,
            "state": self.state,
            "last_seen": max(filter(None, (self.last_seen, self.last_sign)), default=None),
            "last_fetch": self.last_fetch,
            "unread": self.unread,
            "oldest_unread_s": waits_s if self.unread else None,
            "wake": self.wake,
        }


class Report(NamedTuple):
    """What the answer to a post says of its recipients."""

    delivery: dict[str, Standing]
    recipients: list[Recipient]
    warnings: list[str]

    def hide_counts(self, is_mine: Callable[[str], bool]) -> None:
        """Leave out how much mail others have, where mail is private."""
        for name, standing in self.delivery.items():
            if not is_mine(name) and "unread" in standing:
                standing["unread"] = None
        for recipient in self.recipients:
            if not is_mine(recipient["name"]):
                recipient["unread"] = recipient["oldest_unread_s"] = None
        self.warnings.clear()
        for recipient in self.recipients:
            self.warnings.extend(warnings(recipient, ()))


class Standings:
    """When names were last here and last fetched something, and how much waits for them."""

    def __init__(
        self,
        index: Index,
        presence: Presence,
        clock: Callable[[], float],
        agents: Agents,
    ) -> None:
        self._index, self._presence, self._clock = index, presence, clock
        self._agents = agents
        self._kept: dict[str, _Standing] = {}
        self._kept_until = 0.0

    def of_recipients(self, message: Message, is_new: bool) -> Report:
        """Return a report of the recipients of a message that was just saved, or (not `is_new`) is
        repeated.

        For a name: when it was last here, when it last fetched something new (None: never), and how
        many messages it has not acknowledged (None: not known now). For everybody: how many readers
        there are but the sender (1000: so many or more).
        """
        report = Report({}, [], [])
        for name in recipients(message):
            standing = self._standing(name)
            if name == EVERYBODY:
                report.delivery[name] = self._readers(standing, message, is_new)
                continue
            if is_role(name):
                self._report_role(name, report)
                continue
            if is_topic(name):
                report.delivery[name] = {"subscribers": len(standing.readers)}
                if not (standing.readers or standing.is_unsure):
                    report.warnings.append(f"{name} has no subscribers. Its messages are kept.")
                continue
            if is_new and name != message["from"]:
                standing.count(message["seq"])
            report.delivery[name] = {
                "last_seen": standing.last_seen,
                "last_fetch": standing.last_fetch,
                "unread": standing.unread,
            }
            report.recipients.append(standing.as_recipient(name, self._now_ms()))
        near = self._near([found["name"] for found in report.recipients if not found["known"]])
        for found in report.recipients:
            if not self._standing(found["name"]).is_unsure:
                report.warnings.extend(warnings(found, near.get(found["name"], ())))
        return report

    def refuse_unknown(self, names: Sequence[str], hint: str | None = None) -> None:
        """Raise UnknownRecipient, perhaps with a hint of its own, if nobody has one of these names;
        Rebuilding while that is not known.
        """
        near = self.unknown(names)
        if near:
            told = [unknown_text(name, alike) for name, alike in near.items()]
            raise UnknownRecipient(" ".join(told), hint=hint, near=near)

    def unknown(self, names: Sequence[str]) -> dict[str, Sequence[str]]:
        """Return those of these names that nobody has, each with known ones like it; raises
        Rebuilding while that is not known.
        """
        with self._index.as_is():
            pass
        return self._near(
            [
                name
                for name in names
                if not (name == EVERYBODY or is_group(name) or self._standing(name).is_known)
            ]
        )

    def has(self, name: str) -> bool:
        """Return whether somebody has a name, or it is a group; raises Rebuilding while that is not
        known.
        """
        if name == EVERYBODY or is_group(name) or self._is_by_credential(name):
            return True
        self._index.catch_up(wait=False, at_most=_CAUGHT_UP_FIRST)
        with self._index.as_is() as db:
            if names.last_act(db, name) is not None or agents.one(db, name) is not None:
                return True
        return self._presence.last_seen(name) is not None

    def _is_by_credential(self, name: str) -> bool:
        """Return whether a name is known whatever it has done: the hub, or a machine's."""
        return name in (HUB, *self._agents.members())

    def was_here(self, name: str) -> None:
        """A name polled, posted or acknowledged: what is kept of it is old."""
        self._agents.was_here(name)
        self.changed(name)
        everybody = self._kept.get(EVERYBODY)
        if (
            everybody is not None
            and len(everybody.readers) <= _COUNTED_READERS
            and name not in everybody.readers
        ):
            del self._kept[EVERYBODY]

    def changed(self, name: str) -> None:
        """Something was done in a name's mailbox: what is kept of it is old."""
        self._kept.pop(name, None)

    def let_go(self) -> None:
        """Let names leave that have only polled, and not for long; some at a time."""

        def have_acted(readers: list[str]) -> set[str]:
            with self._index.as_is() as db:
                return names.known_of(db, readers)

        with suppress(BusError, sqlite3.OperationalError):
            self._presence.forget(self._now_ms(), have_acted)

    def _standing(self, name: str) -> _Standing:
        now = time.monotonic()
        if now > self._kept_until:
            self._kept.clear()
            self._kept_until = now + _KEPT_FOR_S
        standing = self._kept.get(name)
        if standing is None:
            standing = self._kept[name] = self._looked_up(name)
        return standing

    def _report_role(self, name: str, report: Report) -> None:
        """Say who holds a role, and how that one is doing."""
        standing = self._standing(name)
        holder = next(iter(standing.readers), None)
        report.delivery[name] = {"holder": holder, "unread": standing.unread}
        if holder is None and not standing.is_unsure:
            report.warnings.append(f"{name} has no holder. Its mail waits for the next one.")
        elif holder is not None:
            told = self._standing(holder).as_recipient(holder, self._now_ms())
            report.recipients.append(told)

    def _of_role(self, name: str) -> _Standing:
        found = _Standing()
        try:
            self._index.catch_up(wait=False, at_most=_CAUGHT_UP_FIRST)
            with self._index.as_is() as db:
                role = roles.one(db, name.removeprefix(ROLE_PREFIX))
                now_ms = self._now_ms()
                found.unread = unread_count(db, Mailboxes(name), now_ms, _COUNTED_UNREAD)
            if role is not None and role.holder is not None:
                found.readers = frozenset((role.holder,))
        except (BusError, sqlite3.OperationalError):
            found.is_unsure = True
        return found

    def _looked_up(self, name: str) -> _Standing:
        if name == EVERYBODY:
            return self._of_everybody()
        if is_role(name):
            return self._of_role(name)
        return self._of_topic(name) if is_topic(name) else self._of(name)

    def _of_topic(self, name: str) -> _Standing:
        try:
            self._index.catch_up(wait=False, at_most=_CAUGHT_UP_FIRST)
            with self._index.as_is() as db:
                return _Standing(
                    readers=frozenset(subscribers(db, name.removeprefix(TOPIC_PREFIX)))
                )
        except (BusError, sqlite3.OperationalError):
            return _Standing(is_unsure=True)

    def _readers(self, standing: _Standing, message: Message, is_new: bool) -> Standing:
        others = standing.readers - {message["from"]}
        later = 0 if is_new else self._count_later(message["seq"], others)
        return {"readers": min(len(others) - later, _COUNTED_READERS)}

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
        act, row = None, None
        try:
            self._index.catch_up(wait=False, at_most=_CAUGHT_UP_FIRST)
            with self._index.as_is() as db:
                boxes = of_reader(db, name)
                found.unread = unread_count(db, boxes, self._now_ms(), _COUNTED_UNREAD)
                found.counted_to = place.known_to(db)
                act = names.last_act(db, name)
                row = agents.one(db, name)
                found.wake = "webhook" if webhooks.has_one(db, name) else None
                if found.unread:
                    found.oldest_ms = oldest_unread_ms(db, boxes, self._now_ms())
        except (
            BusError,
            sqlite3.OperationalError,
        ):  # the message is saved: a report that cannot be made is no failure
            found.is_unsure = True
        times = (records.iso(self._presence.last_seen(name)), act)
        found.last_seen = max((time for time in times if time), default=None)
        found.last_fetch = records.iso(self._presence.last_fetch(name))
        found.last_sign = records.iso(self._agents.last_sign_ms(name))
        found.state = self._agents.state(name, row)
        found.wake = found.wake or (None if row is None else row.facts.get("wake"))
        found.is_known = (
            found.is_unsure
            or row is not None
            or found.last_seen is not None
            or self._is_by_credential(name)
        )
        return found

    def _near(self, unknown: Sequence[str]) -> dict[str, Sequence[str]]:
        """Return known names like each of these; only the first few are worth the time."""
        near: dict[str, Sequence[str]] = {}
        for number, name in enumerate(unknown):
            standing = self._standing(name)
            if standing.near is None and number < _COMPARED:
                # The message is saved: names that cannot be looked for are no failure.
                with suppress(BusError, sqlite3.OperationalError):
                    standing.near = self._agents.near(name)
            near[name] = standing.near or ()
        return near

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)
