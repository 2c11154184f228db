"""Calls: the right to make one, its beginning and its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from bus.errors import (
    ApprovalDenied,
    BusError,
    Busy,
    KeyReused,
    NoSuchCall,
    NotAllowed,
    NotPermitted,
    NotYourName,
    OverQuota,
)
from bus.hub.activity import concerns
from bus.hub.approvals import Approvals, call_fields
from bus.hub.idempotency import CallKeys, refuse_other_call
from bus.hub.journal import Journal
from bus.hub.permissions import Permissions
from bus.index import calls as queries
from bus.index import tenures
from bus.index.calls import Found
from bus.model.caller import Caller
from bus.model.calls import CONTAINER, Call
from bus.model.evidence import evidence
from bus.model.permissions import Decision
from bus.model.records import Fields, Record

_LONGEST_REFUSED = 1_000


@dataclass(frozen=True)
class Allowed:
    """The right to make a call now: by which rule, and by which approval if it needs one."""

    caller: Caller
    call: Call
    decision: Decision
    approval: str | None = None
    base_sha256: str | None = None  # of the file as the admin saw it
    real_path: str | None = None  # where its path led then
    cite: Fields | None = None  # where its result is posted


@dataclass(frozen=True)
class Denied:
    """The call must not be made; `error` says why.

    The log has it, unless a key was used wrongly.
    """

    error: BusError


@dataclass(frozen=True)
class NeedsApproval:
    """An admin must say yes first: to this question, or nobody has been asked yet (None)."""

    question: Record | None


@dataclass(frozen=True)
class Replay:
    """The call was made before under the same key."""

    first: Found


Authorisation = Allowed | Denied | NeedsApproval | Replay


class Begun(NamedTuple):
    """A call that may run now, its record durable; or `replay`, the first call under the
    same key.
    """

    id: str
    replay: Found | None = None


class Calls:
    """The verbs of calls."""

    def __init__(self, journal: Journal, permissions: Permissions, approvals: Approvals) -> None:
        self._journal, self._permissions, self._approvals = journal, permissions, approvals
        self._keys = CallKeys(journal, self._is_undone)

    def authorise(self, caller: Caller, call: Call) -> Authorisation:
        """Return what becomes of this call. A refusal is in the log on return.

        Raises Busy if the index cannot be brought up to the log.
        """
        try:
            if call.sender is not None and not caller.is_me(call.sender):
                raise NotYourName(
                    f"`from` is {call.sender!r}, and the credential is {caller.name}'s.",
                    field="from",
                    yours=caller.name,
                )
            first = self._keys.first(caller, call)
            return self._decided(caller, call) if first is None else Replay(self._as_found(first))
        except KeyReused as error:
            return Denied(error)
        except (NotYourName, NotAllowed, NotPermitted, ApprovalDenied) as error:
            self.refused(caller, call, error)
            return Denied(error)

    def was_made(self, caller: Caller, call: Call) -> bool:
        """Return whether a call was made before under this one's key."""
        try:
            return self._keys.first(caller, call) is not None
        except KeyReused:
            return False

    def _as_found(self, began: Record) -> Found:
        return self.found(began["call"]) or Found(began, None)

    def _is_undone(self, id: str) -> bool:
        """Return whether a call that began did nothing, so that its key is still unused."""
        found = self.found(id)
        return found is not None and found.is_undone

    def _decided(self, caller: Caller, call: Call) -> Allowed | NeedsApproval:
        """Return how the permissions decide; raises NotAllowed, NotPermitted, ApprovalDenied."""
        if call.type == CONTAINER:
            if not caller.is_admin:
                raise NotAllowed(
                    f"{caller.name} is a {caller.role}; containers are managed by admins.",
                    role=caller.role,
                    allowed=["admin"],
                )
            return Allowed(caller, call, Decision(True, "an admin"))
        decision = self._permissions.decide(caller.name, call.target, call.type, call.request)
        if not decision.allowed:
            raise NotPermitted(
                f"{caller.name} may not {call.type} on {call.target}: {decision.reason}.",
                action=call.type,
                rule=None if decision.rule is None else decision.rule.as_dict(),
            )
        allowed = Allowed(caller, call, decision)
        return self._approved(allowed) if decision.approval else allowed

    def _approved(self, allowed: Allowed) -> Allowed | NeedsApproval:
        """Return the right with the approval that it needs; raises ApprovalDenied."""
        found = self._approvals.last(allowed.caller, allowed.call)
        if found is None or found[1] in ("used", "expired", "lost"):
            return NeedsApproval(None)
        (question, answer, _), state = found
        id = question["approval"]
        if state == "denied":
            raise ApprovalDenied(
                f"{answer['auth'] if answer else 'An admin'} has said no to this call.", id=id
            )
        if state == "pending":
            return NeedsApproval(question)
        return replace(
            allowed,
            approval=id,
            base_sha256=question.get("base_sha256"),
            real_path=question.get("real_path"),
        )

    def begin(self, allowed: Allowed, id: str) -> Begun:
        """Record that a call runs now, under this new id; on return that is durable.

        An approval is used up by it, even if the call then fails.
        """
        caller, call = allowed.caller, allowed.call
        draft = {"kind": "call_started", "call": id, **call_fields(caller, call)}
        draft |= self._keys.stamp(caller, call)
        if call.detach:
            draft["detach"] = True
        if allowed.cite is not None:
            draft["cite"] = allowed.cite
        block = [draft]
        if allowed.approval is not None:
            # One block: either both are in the log or neither. `authorise` has just seen that the
            # approval is unused, and the only service that begins calls lets one of a caller's
            # approved calls at a time do both.
            draft["approval"] = allowed.approval
            used = {
                "kind": "approval_used",
                "approval": allowed.approval,
                "client_id": allowed.approval,
            }
            block = [{**used, "auth": caller.name}, draft]
        *before, appended = self._journal.append(block)
        if allowed.approval is not None:
            self._approvals.forget(allowed.approval)
        if any(used.replayed for used in before) and not appended.replayed:
            facts = {"error": "approval_required", "reason": "its approval was used before"}
            self.end(id, "denied", facts)
            raise Busy(
                "The approval of this call was used just now. Make the call again: that asks a new"
                " question."
            )
        if appended.replayed:
            refuse_other_call(appended.record, call)
            return Begun(appended.record["call"], self._as_found(appended.record))
        return Begun(id)

    def end(
        self,
        id: str,
        result: str,
        facts: Mapping[str, Any],
        cited: Mapping[str, Any] | None = None,
        answer: Mapping[str, Any] | None = None,
    ) -> None:
        """Record how a call ended: `result` is ok, error or unknown. Durable on return.

        `cited` is how it began, if its result is posted as well, with what it gave.
        """
        state = "done" if result == "ok" else result
        ended = {"kind": "call_ended", "call": id, "result": result, "state": state, **facts}
        about = [] if cited is None else [evidence(cited, id, result, facts, answer)]
        try:
            self._journal.append([ended, *about])
        except OverQuota:
            # What its caller may put into the log today is used up. That the call has ended must be
            # on record all the same.
            self._journal.append([ended])

    def citing(self, allowed: Allowed) -> Fields:
        """Return how a call that is allowed begins, for `end`."""
        return {**call_fields(allowed.caller, allowed.call), "cite": allowed.cite}

    def reaped(self, id: str, leaked: int | None) -> None:
        """Record that an ended call's processes on a target that was away are ended now, but for
        `leaked` of them.
        """
        self._journal.record({"kind": "call_reaped", "call": id, "leaked": leaked})

    def refused(self, caller: Caller, call: Call, error: BusError) -> None:
        """Record a call that was refused."""
        self._not_begun(caller, call, "denied", error)

    def failed(self, caller: Caller, call: Call, error: BusError) -> None:
        """Record a call that was allowed and could not begin. Its key stays unused."""
        self._not_begun(caller, call, "error", error)

    def refused_at_door(self, caller: Caller, type: str, what: str) -> None:
        """Record that a role was refused a route, before its body was read."""
        self.refused(
            caller,
            Call(type, "", {}, {"command": what}),
            NotAllowed(f"{caller.name} is a {caller.role}."),
        )

    def _not_begun(self, caller: Caller, call: Call, result: str, error: BusError) -> None:
        id = self._journal.new_id()
        asked = {
            "kind": "call_started",
            "call": id,
            **call_fields(caller, call),
            **_begun(call.shown),
        }
        done = {"kind": "call_ended", "call": id, "result": result, "state": result}
        self._journal.append([asked, {**done, "error": error.code, "reason": error.message}])

    def get(self, caller: Caller, id: str) -> Found:
        """Return one call, for its caller, its target and admins; raises NoSuchCall."""
        with self._journal.index.reading() as db:
            found = queries.get(db, id.upper())
            since = tenures.owned_since(db, caller.name)
        is_mine = (
            found is not None
            and concerns(caller, found.asked["auth"], found.asked.get("target"))
            and found.asked["seq"] > since
        )
        if found is None or not (caller.is_admin or is_mine):
            raise NoSuchCall(f"There is no call {id[:40]!r}.")
        return found

    def found(self, id: str) -> Found | None:
        """Return one call, whoever asks; None if there is none."""
        with self._journal.index.reading() as db:
            return queries.get(db, id)

    def unfinished(self) -> list[Record]:
        """Return how the calls began that have not ended."""
        with self._journal.index.reading() as db:
            return queries.unfinished(db)

    def unreached(self) -> list[Record]:
        """Return how the calls began that have ended but for what they left on a target that was
        away.
        """
        with self._journal.index.reading() as db:
            return queries.unreached(db)


def _begun(shown: Mapping[str, Any]) -> Fields:
    """Return the beginning of what a refused call was about: a caller without rights must not fill
    the log.
    """
    if "argv" in shown:
        return {"argv": [text[: _LONGEST_REFUSED // 8] for text in shown["argv"][:8]]}
    return {name: value[:_LONGEST_REFUSED] for name, value in shown.items()}
