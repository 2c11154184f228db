"""The verbs of Claude Net: grant, check, ask, begin and end a call, approve, tell what happened.

Like `bus.hub.core` it stands over log and index, and appends. The web workers and the service that runs commands each
have one, so a right is checked twice by the same code, from the same log, the second time right before it runs.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple

from bus.errors import (
    ApprovalDenied,
    ApprovalRequired,
    BusError,
    Busy,
    KeyReused,
    NoSuchCall,
    NotAllowed,
    NotPermitted,
    NotYourName,
)
from bus.hub.approvals import Approvals
from bus.index import calls as queries
from bus.index import feed, receipts
from bus.index.calls import Found
from bus.model import permissions, records
from bus.model.caller import Caller
from bus.model.calls import CONTAINER, Call
from bus.model.grants import ANYONE, Grant
from bus.model.permissions import Decision
from bus.model.records import Record

_LONGEST_REFUSED = 1_000
# What everybody may know of an event that is not about them.
_PUBLIC = ("seq", "id", "time", "from", "type", "target", "result", "duration_ms")


class Ticket(NamedTuple):
    """The right to make a call now: by which rule, and by which approval where one is needed."""

    caller: Caller
    call: Call
    decision: Decision
    approval: str | None = None
    base_sha256: str | None = None  # of the file as the admin saw it
    real_path: str | None = None  # where its path led then


class Begun(NamedTuple):
    """A call that may run now, its record durable; or `replay`, the first call under the same key."""

    id: str
    replay: Found | None = None


class Net(Approvals):
    """Rights, calls and approvals."""

    # -- permissions -------------------------------------------------------------------------------------

    def permit(self, caller: Caller, grant: Grant) -> dict[str, Any]:
        """Record a permission; it holds on return. Returns it as callers see it.

        Of a removal `removed` has the actions for which there was a rule.
        """
        before = [] if grant.allow is not None else self._said(grant)
        sender = grant.sender or caller.name
        draft = {"kind": "grant", "auth": caller.name, "from": sender, **grant.rule()}
        if grant.expires_in_s is not None:
            draft["expires"] = records.utc(self._clock() + grant.expires_in_s)
        record = self._append(draft)
        shown = {
            name: record[name]
            for name in record
            if name not in ("kind", "seq", "sum", "ts", "auth", "from")
        }
        removed = {"removed": before} if grant.allow is None else {}
        return {**shown, **removed, "by": caller.name, "granted": record["ts"]}

    def _said(self, grant: Grant) -> list[str]:
        """The actions for which there is a rule of just this source and target."""
        with self._current() as db:
            rules = queries.rules(db, self._now(), grant.source, grant.target)
        ends = grant.source, grant.target
        said = {rule.action for rule in rules if (rule.source, rule.target) == ends}
        return [action for action in grant.covered if action in said]

    def permissions(
        self, caller: Caller, source: str | None, target: str | None
    ) -> list[dict[str, Any]]:
        """The rules that hold now: all for an admin, for others those that concern them."""
        with self._index.reading() as db:
            found = queries.rules(db, self._now())
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
        """How the rules decide now."""
        with self._current() as db:
            rules = queries.rules(db, self._now(), source, target)
        return permissions.decide(rules, source, target, action, request)

    def may_anywhere(self, caller: Caller, action: str) -> bool:
        """Whether a rule that holds now lets this caller do such a thing on any target, if only some of it, or with a yes."""
        with self._current() as db:
            rules = queries.rules(db, self._now(), caller.name)
        return any(rule.allow and rule.action == action for rule in rules)

    # -- a call ------------------------------------------------------------------------------------------

    def authorise(self, caller: Caller, call: Call) -> Ticket | Found:
        """The right to make this call, or the first call under its key. Every refusal is on record when it is raised.

        Raises NotYourName, NotAllowed, NotPermitted, ApprovalDenied, KeyReused; ApprovalRequired with the id of the question
        that is open, or with an empty one where none has been asked yet.
        """
        try:
            if call.sender is not None and not caller.is_me(call.sender):
                raise NotYourName(
                    f"`from` is {call.sender!r}, and the credential is {caller.name}'s.",
                    field="from",
                    yours=caller.name,
                )
            first = self._first(caller, call)
            if first is not None:
                return first
            return self._ticket(caller, call)
        except (NotYourName, NotAllowed, NotPermitted, ApprovalDenied) as error:
            self.refused(caller, call, error)
            raise

    def _first(self, caller: Caller, call: Call) -> Found | None:
        """The call that was made before under this key; raises KeyReused when it was another."""
        if call.key is None:
            return None
        self._index.catch_up()
        newest = self._attempt(caller, call)[1]
        return None if newest is None else self._same(newest, call)

    def _attempt(self, caller: Caller, call: Call) -> tuple[int, Record | None]:
        """The attempt under this key that counts, and its record: None where it is the next one. Those before did nothing."""
        draft = {"kind": "asked", "auth": caller.name, "client_id": call.key, **caller.stamp()}
        for number in count():
            asked = self._index.record_of_unique(
                str(records.unique_key({**draft, "attempt": number}))
            )
            found = None if asked is None else self.found(asked["call"])
            if found is None or not found.is_undone:
                return number, asked
        raise AssertionError("count has no end")

    def _same(self, asked: Record, call: Call) -> Found:
        if asked["digest"] != call.digest:
            raise KeyReused(
                f"The key {call.key!r} was used for the call {asked['call']}, which is another.",
                first=asked["call"],
            )
        return self.found(asked["call"]) or Found(asked, None)

    def _ticket(self, caller: Caller, call: Call) -> Ticket:
        if call.type == CONTAINER:
            if not caller.is_admin:
                raise NotAllowed(
                    f"{caller.name} is a {caller.role}; containers are managed by admins.",
                    role=caller.role,
                    allowed=["admin"],
                )
            return Ticket(caller, call, Decision(True, "an admin"))
        decision = self.decide(caller.name, call.target, call.type, call.request)
        if not decision.allowed:
            raise NotPermitted(
                f"{caller.name} may not {call.type} on {call.target}: {decision.reason}.",
                action=call.type,
                rule=None if decision.rule is None else decision.rule.as_dict(),
            )
        return (
            self._approved(Ticket(caller, call, decision))
            if decision.approval
            else Ticket(caller, call, decision)
        )

    def _approved(self, ticket: Ticket) -> Ticket:
        """The ticket, with the approval that it needs; raises ApprovalRequired or ApprovalDenied."""
        found = self._last_approval(ticket.caller, ticket.call)
        if found is None or found[1] in ("used", "expired", "lost"):
            raise ApprovalRequired(
                "This call needs an admin's yes, and nobody has been asked yet.", id=""
            )
        (question, answer, _), state = found
        id = question["approval"]
        if state == "denied":
            raise ApprovalDenied(
                f"{answer['auth'] if answer else 'An admin'} has said no to this call.", id=id
            )
        if state == "pending":
            raise self.approval_required(question)
        return ticket._replace(
            approval=id,
            base_sha256=question.get("base_sha256"),
            real_path=question.get("real_path"),
        )

    def begin(self, ticket: Ticket, id: str) -> Begun:
        """Record that a call runs now, under this new id; on return that is durable.

        An approval is used up by it, even if the call then fails.
        """
        caller, call = ticket.caller, ticket.call
        draft = self._asked(caller, call, id)
        if call.key is not None:
            draft |= {"client_id": call.key, **caller.stamp()}
            if attempt := self._attempt(caller, call)[0]:
                draft["attempt"] = attempt
        if call.detach:
            draft["detach"] = True
        block = [draft]
        if ticket.approval is not None:
            # In one block: either both are on record or none. That it is unused is what `authorise` has just seen, and the
            # only service that begins calls lets one of a caller's approved calls do both at a time.
            draft["approval"] = ticket.approval
            block = [
                {
                    "kind": "used",
                    "approval": ticket.approval,
                    "client_id": ticket.approval,
                    "auth": caller.name,
                },
                draft,
            ]
        *before, appended = self._append_all(block)
        if ticket.approval is not None:
            self.forget(ticket.approval)
        if any(used.replayed for used in before) and not appended.replayed:
            self.end(
                id,
                "denied",
                {"error": "approval_required", "reason": "its approval was used before"},
            )
            raise Busy(
                "The approval of this call was used just now. Make the call again: that asks anew."
            )
        if appended.replayed:
            return Begun(appended.record["call"], self._same(appended.record, call))
        return Begun(id)

    def end(self, id: str, result: str, facts: Mapping[str, Any]) -> None:
        """Record how a call ended: result ok, error or unknown. Durable on return."""
        self._append(
            {
                "kind": "done",
                "call": id,
                "result": result,
                "state": "done" if result == "ok" else result,
                **facts,
            }
        )

    def reaped(self, id: str, leaked: int | None) -> None:
        """Record that what an ended call had left in a target that could not be reached is ended now, but `leaked` processes."""
        self._append({"kind": "reaped", "call": id, "leaked": leaked})

    def refused(self, caller: Caller, call: Call, error: BusError) -> None:
        """Record a call that was refused."""
        self._not_begun(caller, call, "denied", error)

    def failed(self, caller: Caller, call: Call, error: BusError) -> None:
        """Record a call that was allowed and could not begin. Its key is not used up."""
        self._not_begun(caller, call, "error", error)

    def refused_at_door(self, caller: Caller, type: str, what: str) -> None:
        """Record that a role was refused a route, before its body was read."""
        self.refused(
            caller,
            Call(type, "", {}, {"command": what}),
            NotAllowed(f"{caller.name} is a {caller.role}."),
        )

    def _not_begun(self, caller: Caller, call: Call, result: str, error: BusError) -> None:
        asked = {**self._asked(caller, call), **_begun(call.shown)}
        done = {"kind": "done", "call": asked["call"], "result": result, "state": result}
        self._append_all([asked, {**done, "error": error.code, "reason": error.message}])

    def call(self, caller: Caller, id: str) -> Found:
        """One call, for its caller, its target and admins; raises NoSuchCall."""
        with self._index.reading() as db:
            found = queries.call(db, id.upper())
            since = queries.owned_since(db, caller.name)
        is_mine = (
            found is not None
            and _concerns(caller, found.asked["auth"], found.asked.get("target"))
            and found.asked["seq"] > since
        )
        if found is None or not (caller.is_admin or is_mine):
            raise NoSuchCall(f"There is no call {id[:40]!r}.")
        return found

    def found(self, id: str) -> Found | None:
        """One call, whoever asks."""
        with self._index.reading() as db:
            return queries.call(db, id)

    def unfinished(self) -> list[Record]:
        """The calls that were asked for and have not ended."""
        with self._index.reading() as db:
            return queries.unfinished(db)

    def unreached(self) -> list[Record]:
        """The calls that have ended but for what they left in a target that could not be reached."""
        with self._index.reading() as db:
            return queries.unreached(db)

    # -- what happened -----------------------------------------------------------------------------------

    def activity(
        self, caller: Caller, wanted: feed.Filter
    ) -> tuple[list[dict[str, Any]], bool, int]:
        """Events oldest first, whether there are more, and the seq to go on from."""
        (found, has_more), known, since = self._index.ask(
            lambda db: (
                feed.events(db, wanted),
                receipts.known_to(db),
                queries.owned_since(db, caller.name),
            )
        )
        if wanted.before is not None:
            known = min(known, wanted.before - 1)
        events = [
            event if _sees(caller, auth, event, since) else _public(event) for auth, event in found
        ]
        last = found[-1][1]["seq"] if found else 0
        # What another process has applied since is in this view too: it must not come again.
        next = last if has_more and wanted.after is not None else max(last, known)
        return events, has_more, next

    def last_acts(self, names: Sequence[str], limit: int) -> dict[str, str]:
        """When machines last did something that is in the log: these, and `limit` others at most, the last ones."""

        def question(db: sqlite3.Connection) -> dict[str, str]:
            found = queries.last_acts(db, limit)
            missing = {
                name: ts
                for name in names
                if name not in found and (ts := queries.last_act(db, name)) is not None
            }
            return found | missing

        return self._index.ask(question)


def _begun(shown: Mapping[str, Any]) -> dict[str, Any]:
    """The beginning of what a refused call was about: who may do nothing must not fill the log either."""
    if "argv" in shown:
        return {"argv": [text[: _LONGEST_REFUSED // 8] for text in shown["argv"][:8]]}
    return {name: value[:_LONGEST_REFUSED] for name, value in shown.items()}


def _concerns(caller: Caller, auth: str, target: str | None) -> bool:
    return caller.is_admin or caller.name in (auth, target)


def _sees(caller: Caller, auth: str, event: Mapping[str, Any], since: int) -> bool:
    """Whether all of an event is for this caller, who has its name since a seq."""
    is_mine = event["seq"] > since and _concerns(caller, auth, event.get("target"))
    return event["type"] == "message" or caller.is_admin or is_mine


def _public(event: Mapping[str, Any]) -> dict[str, Any]:
    return {name: event[name] for name in _PUBLIC if name in event}
