"""Rules: which event is told to which service."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from bus.model.harmless import harmless
from bus.model.masking import masked
from bus.model.messages import PRIORITIES
from bus.model.notices import MOST_TEXT, NewNotice
from bus.notify.events import KINDS, Event
from bus.notify.table import Table

_NO_TEXT = ("message", "ack_overdue")  # of these a rule may leave the text out


@dataclass(frozen=True)
class Rule:
    """What an event must be so that it is told: every part must fit. An empty list fits all.

    `sender` and `to` are names with `*`, `?` and `[…]`; of `to` and `tags` one must fit.
    `priority` is the lowest that is told.
    """

    send: tuple[str, ...]
    kinds: tuple[str, ...] = ("message",)
    sender: tuple[str, ...] = ()
    to: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    not_from: tuple[str, ...] = ()
    not_to: tuple[str, ...] = ()
    priority: str = PRIORITIES[0]
    target: str = ""
    has_text: bool = True

    def fits(self, event: Event) -> bool:
        """Return whether an event is told."""
        return (
            event.kind in self.kinds
            and _any_fits(self.sender, (event.sender,))
            and _any_fits(self.to, event.to)
            and _any_fits(self.tags, event.tags)
            and not (self.not_from and _any_fits(self.not_from, (event.sender,)))
            and not (self.not_to and _any_fits(self.not_to, event.to))
            and _rank(event.priority) >= _rank(self.priority)
        )

    @classmethod
    def read(cls, table: Table, services: Collection[str]) -> Rule:
        """Return the rule in a table of the settings; raises BadSetting."""
        send = table.texts("send")
        if not send:
            raise table.bad("send", "is missing: it must name a service")
        for name in send:
            if name not in services:
                known = ", ".join(sorted(services)) or "none"
                raise table.bad("send", f"is {name[:40]!r}: no service has this name ({known})")
        kinds = table.texts("kinds", ("message",))
        for kind in kinds:
            if kind not in KINDS:
                raise table.bad("kinds", f"has {kind[:40]!r}: known are {', '.join(KINDS)}")
        priority = table.text("priority", PRIORITIES[0])
        if priority not in PRIORITIES:
            raise table.bad("priority", f"must be one of {', '.join(PRIORITIES)}")
        rule = cls(
            tuple(send),
            tuple(kinds),
            tuple(table.texts("from")),
            tuple(table.texts("to")),
            tuple(table.texts("tags")),
            tuple(table.texts("not_from")),
            tuple(table.texts("not_to")),
            priority,
            table.text("target", ""),
            table.flag("text", True),
        )
        table.done()
        return rule


def notices_of(event: Event, rules: Sequence[Rule]) -> Iterator[NewNotice]:
    """Yield a notice for each service and target that a rule tells an event to, once each."""
    told: set[tuple[str, str]] = set()
    for rule in rules:
        if rule.fits(event):
            for service in rule.send:
                if (service, rule.target) not in told:
                    told.add((service, rule.target))
                    yield _notice(event, rule, service)


def _notice(event: Event, rule: Rule, service: str) -> NewNotice:
    is_left_out = not rule.has_text and event.kind in _NO_TEXT
    # As much as may be kept, and as much again: what is masked becomes shorter.
    text = "" if is_left_out else masked(harmless(event.text[: 2 * MOST_TEXT]))
    title = masked(harmless(event.title))
    data = {**event.data, "from": event.sender, "to": list(event.to[:64])}
    data |= {"tags": list(event.tags), "priority": event.priority}
    return NewNotice(service, rule.target, event.kind, title, text, event.seq, data)


def _any_fits(patterns: Sequence[str], names: Sequence[str]) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for name in names for pattern in patterns)


def _rank(priority: str) -> int:
    return PRIORITIES.index(priority) if priority in PRIORITIES else 1
