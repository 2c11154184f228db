"""Permissions: who may do what on which target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from bus.hub.journal import Journal
from bus.index import permissions as queries
from bus.model import permissions
from bus.model.caller import Caller
from bus.model.grants import ANYONE, Grant
from bus.model.permissions import Decision, Permission

_HIDDEN = ("kind", "seq", "sum", "ts", "auth", "from", "client_id")


class Permissions:
    """Records permissions and decides by them."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def permit(self, caller: Caller, grant: Grant, key: str | None = None) -> Permission:
        """Record a permission, which holds on return, and return it as callers see it. A second one
        under the same idempotency key records nothing.

        For a removal, `removed` has the actions for which there was a rule.
        """
        before = [] if grant.allow is not None else self._said(grant)
        sender = grant.sender or caller.name
        draft = {"kind": "permission", "auth": caller.name, "from": sender, **grant.rule()}
        if grant.expires_in_s is not None:
            draft["expires"] = self._journal.utc(grant.expires_in_s)
        if key is not None:
            draft |= {"client_id": key, "origin": key}
        record = self._journal.record(draft)
        shown = {name: record[name] for name in record if name not in _HIDDEN}
        removed = {"removed": before} if grant.allow is None else {}
        return cast(Permission, {**shown, **removed, "by": caller.name, "granted": record["ts"]})

    def _said(self, grant: Grant) -> list[str]:
        """Return the actions for which there is a rule of exactly this source and target."""
        with self._journal.current() as db:
            rules = queries.rules(db, self._journal.utc(), grant.source, grant.target)
        ends = grant.source, grant.target
        said = {rule.action for rule in rules if (rule.source, rule.target) == ends}
        return [action for action in grant.covered if action in said]

    def rules(self, caller: Caller, source: str | None, target: str | None) -> list[Permission]:
        """Return the rules that hold now: all of them to an admin, to others those that concern
        them.
        """
        with self._journal.index.reading() as db:
            found = queries.rules(db, self._journal.utc())
        mine = (caller.name, ANYONE)
        return [
            rule.as_dict()
            for rule in found
            if (source is None or rule.source == source)
            and (target is None or rule.target == target)
            and (caller.is_admin or rule.source in mine or rule.target == caller.name)
        ]

    def decide(
        self, source: str, target: str, action: str, request: Mapping[str, Any] | None = None
    ) -> Decision:
        """Return how the rules decide now."""
        with self._journal.current() as db:
            rules = queries.rules(db, self._journal.utc(), source, target)
        return permissions.decide(rules, source, target, action, request)

    def may_anywhere(self, caller: Caller, action: str) -> bool:
        """Return whether a rule lets this caller do such a thing on any target, if only in part or
        with an approval.
        """
        with self._journal.current() as db:
            rules = queries.rules(db, self._journal.utc(), caller.name)
        return any(rule.allow and rule.action == action for rule in rules)
