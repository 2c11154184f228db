"""Activity: what happened, for those who may see it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, cast

from bus.hub.journal import Journal
from bus.index import activity as queries
from bus.index import names as acts
from bus.index import place, tenures
from bus.index.activity import Filter
from bus.index.privacy import View
from bus.model.activity import Event
from bus.model.caller import Caller
from bus.model.messages import Message

# What everybody may know of an event that is not about them.
_PUBLIC = ("seq", "id", "time", "from", "type", "target", "result", "duration_ms")


class Activity:
    """Tells what happened."""

    def __init__(self, journal: Journal) -> None:
        self._index = journal.index

    def events(
        self, caller: Caller, wanted: Filter, view: View | None = None
    ) -> tuple[list[Event], bool, int]:
        """Return events, oldest first, whether there are more, and the seq to go on from."""
        (found, has_more), known, since = self._index.ask(
            lambda db: (
                queries.events(db, wanted),
                place.known_to(db),
                tenures.owned_since(db, caller.name),
            )
        )
        if wanted.before is not None:
            known = min(known, wanted.before - 1)
        events = [
            event if _sees(caller, auth, event, since) else _public(event)
            for auth, event in found
            if view is None or event["type"] != "message" or self._is_seen(view, event)
        ]
        last = found[-1][1]["seq"] if found else 0
        # This view also has what another process has indexed meanwhile: it must not come again.
        next = last if has_more and wanted.after is not None else max(last, known)
        return events, has_more, next

    def _is_seen(self, view: View, event: Event) -> bool:
        message = cast(Message, {"from": event["from"], "to": event.get("target") or []})
        return self._index.ask(lambda db: view.sees(db, event["seq"], message))

    def last_acts(self, names: Sequence[str], limit: int) -> dict[str, str]:
        """Return when machines last did something that is in the log: these, and at most `limit`
        others, the latest.
        """

        def question(db: sqlite3.Connection) -> dict[str, str]:
            found = acts.last_acts(db, limit)
            missing = {
                name: ts
                for name in names
                if name not in found and (ts := acts.last_act_of_machine(db, name)) is not None
            }
            return found | missing

        return self._index.ask(question)


def concerns(caller: Caller, auth: str, target: str | None) -> bool:
    """Return whether a call by `auth` on a target is this caller's business."""
    return caller.is_admin or caller.name in (auth, target)


def _sees(caller: Caller, auth: str, event: Mapping[str, Any], since: int) -> bool:
    """Return whether all of an event is for this caller, who has its name since a seq."""
    is_mine = event["seq"] > since and concerns(caller, auth, event.get("target"))
    return event["type"] == "message" or caller.is_admin or is_mine


def _public(event: Event) -> Event:
    return cast(Event, {name: value for name, value in event.items() if name in _PUBLIC})
