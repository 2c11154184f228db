"""Roles: claimed in an order, held by the first candidate who is there, inherited with the mail.

Who holds a role is a record, so that everybody who reads agrees. A chore gives it on when its
holder has gone.
"""

from __future__ import annotations

import sqlite3

from bus.errors import NoSuchRole, OverQuota
from bus.hub.agents import Agents
from bus.hub.journal import Journal
from bus.hub.notices import notice
from bus.index import roles as queries
from bus.index.mailboxes import Mailboxes
from bus.index.unread import unread_count
from bus.model.caller import Caller
from bus.model.groups import ROLE_PREFIX
from bus.model.records import HUB, Fields
from bus.model.roles import Role

MOST_CLAIMS = 100  # of one credential
_AT_ONCE = 50  # roles that one call of the chore looks at
_COUNTED_UNREAD = 1_000


class Roles:
    """The verbs of roles."""

    def __init__(self, journal: Journal, agents: Agents) -> None:
        self._journal, self._agents = journal, agents
        self._looked_at = ""  # the last role that the chore has looked at

    def claim(self, caller: Caller, name: str, role: str) -> Role:
        """Make a name the holder of a role, or a candidate behind those who claimed it before."""
        with self._journal.current() as db:
            is_candidate = name in queries.candidates(db, role)
            count = queries.count_of(db, caller.name)
        if not is_candidate:
            if count >= MOST_CLAIMS:
                raise OverQuota(
                    f"{caller.name} has {count} claims of roles.",
                    hint="Release some of them: POST /roles/<role>/release.",
                    quota="claims",
                    limit=MOST_CLAIMS,
                    name=caller.name,
                )
            claimed = {"kind": "role_claimed", "auth": caller.name, "name": name, "role": role}
            self._journal.append([claimed])
        self._agents.was_here(name)
        self._give_on(role)
        return self.one(role)

    def release(self, caller: Caller, name: str, role: str) -> Role:
        """End a name's claim; the next candidate inherits. Raises NoSuchRole."""
        with self._journal.current() as db:
            if queries.one(db, role) is None:
                raise _unknown(role)
            is_candidate = name in queries.candidates(db, role)
        if is_candidate:
            ended = {"kind": "role_released", "auth": caller.name, "name": name, "role": role}
            self._journal.append([ended])
        self._give_on(role)
        return self.one(role)

    def give_on(self) -> None:
        """Give each role whose holder has gone to the next candidate who is there, some at a time:
        a chore.
        """
        with self._journal.current() as db:
            roles = queries.wanted(db, self._looked_at, _AT_ONCE)
        self._looked_at = roles[-1] if len(roles) == _AT_ONCE else ""
        for role in roles:
            self._give_on(role)

    def _give_on(self, role: str) -> None:
        with self._journal.current() as db:
            known = queries.one(db, role)
            candidates = queries.candidates(db, role)
        if known is None:
            return
        if known.holder in candidates and self._agents.is_there(known.holder):
            return
        heir = next((name for name in candidates if self._agents.is_there(name)), None)
        if heir == known.holder:
            return
        given = {"kind": "role_given", "auth": HUB, "role": role, "name": heir}
        block: list[Fields] = [{**given, "prior": known.seq}]
        if heir is not None:
            was = f" after {known.holder}" if known.holder else ""
            waits = self._unread(role)
            mail = "1 unread message" if waits == 1 else f"{waits} unread messages"
            body = f"You have the role {role} now{was}, with {mail}."
            key = f"role {role} {known.seq}"
            block.append(notice(key, [heir], body, tags=["role"], data={"role": role}))
        self._journal.append(block)

    def _unread(self, role: str) -> int:
        box, now_ms = Mailboxes(ROLE_PREFIX + role), self._journal.now_ms()
        return self._journal.index.ask(lambda db: unread_count(db, box, now_ms, _COUNTED_UNREAD))

    def one(self, role: str) -> Role:
        """Return one role. Raises NoSuchRole."""
        found = self._journal.index.ask(lambda db: self._told(db, queries.one(db, role)))
        if found is None:
            raise _unknown(role)
        return found

    def all(self) -> list[Role]:
        """Return all roles."""
        found = self._journal.index.ask(
            lambda db: [self._told(db, role) for role in queries.all_of(db)]
        )
        return [role for role in found if role is not None]

    def _told(self, db: sqlite3.Connection, role: queries.Role | None) -> Role | None:
        if role is None:
            return None
        box, now_ms = Mailboxes(ROLE_PREFIX + role.role), self._journal.now_ms()
        return {
            "role": role.role,
            "holder": role.holder,
            "since": role.since,
            "candidates": queries.candidates(db, role.role),
            "unread": unread_count(db, box, now_ms, _COUNTED_UNREAD),
        }


def _unknown(role: str) -> NoSuchRole:
    return NoSuchRole(f"Nobody has claimed the role {role}.", role=role)
