"""Approvals: an admin is asked whether one very call may be made, and says yes or no.

The question is a record, its answer another, and a third says that its one call was made.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, cast

import orjson

from bus.errors import (
    ApprovalClosed,
    ApprovalRequired,
    BusError,
    NoRoom,
    NoSuchApproval,
    NotAllowed,
    QuestionLost,
    TooManyQuestions,
    Unauthorized,
)
from bus.hub.journal import Journal
from bus.index import approvals as queries
from bus.index import tenures
from bus.index.approvals import Asked
from bus.live.waiting import remaining
from bus.log.outputs import Results
from bus.model import records
from bus.model.approvals import APPROVAL_S, MAX_APPROVAL_S, Approval
from bus.model.caller import Caller
from bus.model.calls import Call
from bus.model.filter import MAX_PAGE_BYTES
from bus.model.records import Fields, Record

MAX_PENDING = 16
_APPROVALS_SHOWN = 500
# Of a question, for admins: who may write a file must not read it by asking to.
_FOR_ADMINS = ("diff", "base_sha256", "base_mode", "base_uid", "base_gid", "real_path")
_HIDDEN = (
    "kind",
    "seq",
    "sum",
    "approval",
    "type",
    "ts",
    "digest",
    "auth",
    "id",
    "expires",
    "tenure",
    "beside",
)
# Of a question, what may be secret: it is kept beside the log, which is for ever, until the
# question is closed.
_BESIDE = ("stdin", "env", "diff")
_OPEN = ("pending", "allowed")
_ASKED_WITHIN_S = 60.0  # of a question's being kept, or it was not asked


class AnswerTo(NamedTuple):
    """What a caller waits for who has asked an admin; see `bus.live.waiting`."""

    id: str
    kind: str = "approval_answered"
    mailbox: None = None

    def matches(self, record: Record) -> bool:
        """Return whether this record answers the question."""
        return bool(record["approval"] == self.id)


class Approvals:
    """Asks, answers and shows.

    With `approve_own`, an admin may say yes to a call of its own. `beside` keeps what is not for
    the log.
    """

    def __init__(
        self, journal: Journal, *, beside: Results | None = None, approve_own: bool = False
    ) -> None:
        self._journal, self.beside, self.approve_own = journal, beside, approve_own

    def ask(self, caller: Caller, call: Call, id: str, facts: Mapping[str, Any]) -> Record:
        """Record the question whether an admin says yes to this call; returns it.

        Raises TooManyQuestions.
        """
        with self._journal.current() as db:
            if (
                queries.pending_count(db, caller.name, self._journal.utc(), self._day_ago())
                >= MAX_PENDING
            ):
                raise TooManyQuestions(
                    f"{MAX_PENDING} questions of {caller.name} wait for an answer already.",
                    scope="questions",
                    limit=MAX_PENDING,
                )
        shown = {
            name: value
            for name, value in facts.items()
            if self.beside is None or name not in _BESIDE
        }
        draft = {**call_fields(caller, call), "kind": "approval_asked", "approval": id, **shown}
        draft["expires"] = self._journal.utc(APPROVAL_S)
        if self.beside is not None and len(shown) < len(facts):
            try:
                draft["beside"] = self.beside.put(
                    id, {name: facts[name] for name in _BESIDE if name in facts}
                )
            except OSError as error:
                raise NoRoom(
                    f"What an admin has to look at could not be kept: {error.strerror}. Nobody was"
                    " asked."
                ) from error
        try:
            return self._journal.record(draft)
        except BusError:
            self.forget(id)
            raise

    def forget(self, id: str) -> None:
        """Remove what was kept beside the log for a question that is closed.

        Where that fails, `forget_closed` tries again.
        """
        if self.beside is not None:
            with suppress(OSError):
                self.beside.drop(id)

    def forget_closed(self) -> None:
        """Remove what is kept for questions that were used, refused or have expired, or that nobody
        was asked after all.
        """
        for id in [] if self.beside is None else self.beside.kept(older_s=_ASKED_WITHIN_S):
            with self._journal.index.reading() as db:
                found = queries.get(db, id)
            if found is None or self._state(found) not in _OPEN:
                self.forget(id)
        if self.beside is not None:
            self.beside.prune()  # and what a kill left half written

    def _kept(self, question: Record) -> Fields | None:
        """Return what was kept beside the log for a question; None where it is gone, or is not what
        was asked.
        """
        if "beside" not in question:
            return {}
        with suppress(OSError):
            return (
                None
                if self.beside is None
                else self.beside.get(question["approval"], question["beside"])
            )
        return None

    def shown(
        self, caller: Caller, state: str | None, sender: str | None = None
    ) -> tuple[list[Approval], bool]:
        """Return the newest questions of the last day, newest last, and whether there are more.

        All for an admin, a caller's own for others; of one `sender` if given. At most 500 and at
        most MAX_PAGE_BYTES of JSON, but one at least.
        """
        since = self._day_ago()
        wanted = sender if caller.is_admin else caller.name
        newest: list[Approval] = []
        left = MAX_PAGE_BYTES
        with self._journal.index.reading() as db:
            after = 0 if caller.is_admin else tenures.owned_since(db, caller.name)
            for row in queries.newest(db, wanted, since):
                if row.question["seq"] <= after or sender not in (None, row.question["auth"]):
                    continue
                item = self._shown(caller, row)
                if state is not None and item["state"] != state:
                    continue
                left -= len(orjson.dumps(item))
                if len(newest) == _APPROVALS_SHOWN or (newest and left < 0):
                    return newest[::-1], True
                newest.append(item)
        return newest[::-1], False

    def _day_ago(self) -> str:
        return self._journal.utc(-MAX_APPROVAL_S)

    def get(self, caller: Caller, id: str) -> Approval:
        """Return one question, for the one who asked it and admins; raises NoSuchApproval."""
        return self._shown(caller, self._approval(caller, id))

    def wait(
        self, caller: Caller, id: str, wait_s: float, check: Callable[[], None] = lambda: None
    ) -> Approval:
        """Return one question once it is answered or expires, or as it is when the time is over.

        `check` runs before each look after the first; what it raises ends the wait. Raises
        NoSuchApproval.
        """
        found = self.get(caller, id)
        if wait_s <= 0 or found["state"] != "pending":
            return found
        deadline = time.monotonic() + wait_s
        with self._journal.waiting.enter(AnswerTo(found["id"])) as waiter:
            check()
            found = self._again(caller, id)
            while found["state"] == "pending":
                expires_in_s = records.unix_ms(found["expires"]) / 1000 - self._journal.time()
                left_s = remaining(deadline)
                is_woken = waiter.wait(max(0.001, min(left_s, expires_in_s)))
                if not is_woken and (waiter.is_over() or left_s <= 0):
                    break
                check()
                found = self._again(caller, id)
        return found

    def _again(self, caller: Caller, id: str) -> Approval:
        """Return a question that was there before: if it is not now, its caller was revoked."""
        try:
            return self.get(caller, id)
        except NoSuchApproval:
            raise Unauthorized(f"The credential of {caller.name} was revoked just now.") from None

    def answer(
        self, caller: Caller, id: str, allow: bool, expires_in_s: float, origin: str = ""
    ) -> Approval:
        """Record an admin's answer, and by which way it came. Raises NoSuchApproval,
        ApprovalClosed, NotAllowed.

        Gives the question as it is then.
        """
        found = self._approval(caller, id)
        self._refuse_own(caller, found, allow)
        state = self._state(found)
        if state != "pending":
            raise ApprovalClosed(
                f"The question {found.question['approval']} is {state} already.", state=state
            )
        self._refuse_unseen(found, allow)
        about = {"origin": origin} if origin else {}
        mine = self._journal.record(self._answer(caller, found, allow, expires_in_s) | about)
        if not allow:
            self.forget(found.question["approval"])
        found = self._approval(caller, id)
        if found.answer is None:
            raise ApprovalClosed(
                f"The credential of {found.question['auth']} was revoked just before.",
                state="expired",
            )
        if found.answer["seq"] != mine["seq"]:
            raise ApprovalClosed(
                f"The question {found.question['approval']} was answered by {found.answer['auth']}"
                " just before.",
                state="answered",
            )
        return self._shown(caller, found)

    def answer_all(
        self, caller: Caller, ids: Sequence[str], allow: bool, expires_in_s: float
    ) -> list[Approval]:
        """Record one answer to each of these questions that still waits, in one block; returns them
        all as they are then.

        `by` of each says whose answer holds. Raises NoSuchApproval and NotAllowed, and then none is
        answered.
        """
        asked = [self._approval(caller, id) for id in dict.fromkeys(id.upper() for id in ids)]
        for found in asked:
            self._refuse_own(caller, found, allow)
        waiting = [found for found in asked if self._state(found) == "pending"]
        for found in waiting:
            self._refuse_unseen(found, allow)
        if waiting:
            self._journal.append(
                [self._answer(caller, found, allow, expires_in_s) for found in waiting]
            )
        for found in waiting if not allow else []:
            self.forget(found.question["approval"])
        return [self.get(caller, found.question["approval"]) for found in asked]

    def _answer(self, caller: Caller, found: Asked, allow: bool, expires_in_s: float) -> Fields:
        expires = self._journal.utc(expires_in_s)
        id = found.question["approval"]
        return {
            "kind": "approval_answered",
            "approval": id,
            "allow": allow,
            "expires": expires,
            "auth": caller.name,
        }

    def _refuse_own(self, caller: Caller, found: Asked, allow: bool) -> None:
        """Raise NotAllowed for a yes to a call of one's own, under whatever session it was
        asked.
        """
        if allow and not self.approve_own and found.question["auth"] == caller.name:
            raise NotAllowed(
                f"{caller.name} asked this itself, so another admin has to say yes.",
                hint="Ask another admin. BUS_APPROVE_OWN=1 lets admins say yes to their own calls.",
                role=caller.role,
                allowed=["another admin"],
            )

    def _refuse_unseen(self, found: Asked, allow: bool) -> None:
        """Raise QuestionLost for a yes to what cannot be looked at."""
        if allow and self._kept(found.question) is None:
            id = found.question["approval"]
            raise QuestionLost(
                f"What the question {id} would allow was kept beside the log, and is gone.", id=id
            )

    def _approval(self, caller: Caller, id: str) -> Asked:
        with self._journal.index.reading() as db:
            found = queries.get(db, id.upper())
            since = tenures.owned_since(db, caller.name)
        mine = (
            found is not None
            and found.question["auth"] == caller.name
            and found.question["seq"] > since
        )
        if found is None or not (caller.is_admin or mine):
            raise NoSuchApproval(f"There is no question {id[:40]!r}.")
        return found

    def last(self, caller: Caller, call: Call) -> tuple[Asked, str] | None:
        """Return the newest question of a caller about this very request, and its state; "lost"
        when it cannot be answered with yes.
        """
        with self._journal.current() as db:
            found = queries.last(db, caller.name, call.digest)
        if found is None:
            return None
        state = self._state(found)
        is_lost = (
            state == "pending" and self._kept(found.question) is None
        )  # nobody can say yes to it
        return found, "lost" if is_lost else state

    def _state(self, found: Asked) -> str:
        question, answer, used = found
        now = self._journal.utc()
        if used is not None:
            return "used"
        if answer is None:
            return "pending" if question["expires"] > now else "expired"
        if not answer["allow"]:
            return "denied" if question["expires"] > now else "expired"
        return "allowed" if answer["expires"] > now else "expired"

    def _shown(self, caller: Caller, found: Asked) -> Approval:
        question, answer, _ = found
        hidden = _HIDDEN if caller.is_admin else (*_HIDDEN, *_FOR_ADMINS)
        state = self._state(found)
        kept = self._kept(question) if state in _OPEN else {}
        all_of_it = {**question, **({"lost": True} if kept is None else kept)}
        shown = {name: value for name, value in all_of_it.items() if name not in hidden}
        shown = {"id": question["approval"], "state": state, "action": question["type"], **shown}
        shown |= {
            "asked": question["ts"],
            "expires": question["expires"],
            "hash": question["digest"],
        }
        if answer is not None:
            shown |= {
                "answered": answer["ts"],
                "by": answer["auth"],
                "expires": answer["expires"] if answer["allow"] else shown["expires"],
            }
        return cast(Approval, shown)

    def required(self, question: Record) -> ApprovalRequired:
        """Return the answer to a call that waits for a yes."""
        id = question["approval"]
        return ApprovalRequired(
            f"An admin has to say yes to this call ({id}).",
            id=id,
            state="pending",
            expires=question["expires"],
        )


def call_fields(caller: Caller, call: Call) -> Fields:
    """Return what a record says of a call: whose it is, and what people see of it."""
    is_mine = call.sender is not None and caller.is_me(call.sender)
    return {
        "type": call.type,
        "from": call.sender if is_mine else caller.name,
        "auth": caller.name,
        "target": call.target,
        "digest": call.digest,
        **call.shown,
    }
