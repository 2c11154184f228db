"""Who may see a message where mail is private: the one place that decides."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator

from bus.index import roles
from bus.index.topics import reached
from bus.model.caller import Caller, speaks_as
from bus.model.filter import recipients
from bus.model.groups import ROLE_PREFIX, is_group, is_role, is_topic
from bus.model.messages import Message
from bus.model.records import EVERYBODY


class View:
    """What one caller may see: broadcasts, what it has sent, and what has reached one of its names
    by name, by a topic or by a role. `taken` are the names that are not the shared user's.
    """

    def __init__(self, caller: Caller, taken: frozenset[str]) -> None:
        self._caller, self._taken = caller, taken

    def is_mine(self, name: str) -> bool:
        """Return whether the caller speaks for a name."""
        return speaks_as(self._caller, name, lambda: self._taken)

    def sees(self, db: sqlite3.Connection, seq: int, message: Message) -> bool:
        """Return whether the caller may see a message."""
        names = recipients(message)
        if EVERYBODY in names or self.is_mine(message["from"]):
            return True
        if any(self.is_mine(name) for name in names if not is_group(name)):
            return True
        if any(self.holds(db, name) for name in filter(is_role, names)):
            return True
        return any(map(is_topic, names)) and any(map(self.is_mine, reached(db, seq)))

    def holds(self, db: sqlite3.Connection, role: str) -> bool:
        """Return whether the caller has a role (`role:x`) now."""
        found = roles.one(db, role.removeprefix(ROLE_PREFIX))
        return found is not None and found.holder is not None and self.is_mine(found.holder)

    def only_seen(
        self, db: sqlite3.Connection, rows: Iterable[tuple[int, str]]
    ) -> Iterator[tuple[int, str]]:
        """Yield those rows (seq, JSON) that the caller may see."""
        return ((seq, text) for seq, text in rows if self.sees(db, seq, json.loads(text)))
