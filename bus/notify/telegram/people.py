"""Who somebody on Telegram is. A user name can be given up and taken by another, so it is bound to
the numeric id that first used it; admins are known by their numeric ids only.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from bus.model.caller import ADMIN, HUMAN, HUMANS, Caller
from bus.notices.queue import Queue
from bus.notify.services.base import Tools


class Person(NamedTuple):
    """Somebody of the settings: the numeric id, the name on the bus (without `human/`)."""

    id: int
    name: str
    is_admin: bool


class Taken(Exception):
    """The user name is in the settings, and belonged to another account when it was first used."""


class People:
    """Knows those of the settings: `users` maps a user name, or a numeric id as text, to a name on
    the bus.
    """

    def __init__(self, tools: Tools, users: Mapping[str, str], admins: Collection[int]) -> None:
        self._tools, self._service = tools, tools.name
        self._queue: Queue = tools.queue
        self._users = {_account(key): name for key, name in users.items()}
        self._admins = frozenset(admins)

    def find(self, user: Any) -> Person | None:
        """Return who has sent an update; None for somebody unknown. Binds a user name at its first
        use. Raises Taken.
        """
        if not isinstance(user, dict) or user.get("is_bot") or not _is_id(user.get("id")):
            return None
        id = user["id"]
        if str(id) in self._users:
            return self._person(id, self._users[str(id)])
        account = _account(str(user.get("username") or ""))
        with self._queue.database.changing() as db:
            bound = db.execute(
                "SELECT account FROM people WHERE service = ? AND id = ?", (self._service, id)
            ).fetchone()
            if bound is not None:
                name = self._users.get(bound["account"])
                return None if name is None else self._person(id, name)
            if account.isdigit() or account not in self._users:
                return None
            self._bind(db, account, id)
        return self._person(id, self._users[account])

    def _bind(self, db: sqlite3.Connection, account: str, id: int) -> None:
        row = db.execute(
            "SELECT id FROM people WHERE service = ? AND account = ?", (self._service, account)
        ).fetchone()
        if row is not None and row["id"] != id:
            raise Taken(account)
        db.execute(
            "INSERT OR IGNORE INTO people VALUES (?, ?, ?, ?)",
            (self._service, account, id, self._queue.now_ms()),
        )

    def listed(self) -> list[str]:
        """Return a line for each of the settings: the account, the name, the id it is bound to."""
        with self._queue.database.reading() as db:
            rows = db.execute(
                "SELECT account, id FROM people WHERE service = ?", (self._service,)
            ).fetchall()
        bound = {row["account"]: row["id"] for row in rows}
        lines = []
        for account, name in sorted(self._users.items()):
            id = int(account) if account.isdigit() else bound.get(account)
            said = "not used yet" if id is None else f"id {id}"
            is_admin = ", admin" if id in self._admins else ""
            lines.append(f"{account} is {HUMANS}{name} ({said}{is_admin})")
        return lines

    def _person(self, id: int, name: str) -> Person:
        return Person(id, name, id in self._admins)

    def speaks(self, person: Person) -> Caller:
        """Return as whom a person posts and reads: trusted as a human."""
        name = HUMANS + person.name
        return Caller(name, HUMAN, tenure=self._tools.hub.credentials.tenure_of(name))

    def decides(self, person: Person) -> Caller:
        """Return as whom an admin decides."""
        name = HUMANS + person.name
        return Caller(name, ADMIN, tenure=self._tools.hub.credentials.tenure_of(name))


def _account(text: str) -> str:
    return text.removeprefix("@").casefold()


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**63
