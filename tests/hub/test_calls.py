"""Approvals and keys at the moments that no request can be timed to meet: two at once, and times
that are over.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from bus.errors import ApprovalClosed, ApprovalDenied, Busy, KeyReused
from bus.hub.calls import Allowed, Begun, Denied, NeedsApproval
from bus.hub.hub import Hub
from bus.hub.journal import Journal
from bus.index.activity import Filter
from bus.model import calls
from bus.model.approvals import APPROVAL_S
from bus.model.caller import ADMIN, MEMBER
from bus.model.caller import Caller as Who
from bus.model.calls import Call
from bus.model.grants import Grant
from tests.conftest import Caller

BOSS, SECOND, WEB1 = Who("boss", ADMIN), Who("second", ADMIN), Who("web1", MEMBER)


class Clock:
    """A clock that tests move; `then` is what happens at the next looks at it."""

    def __init__(self) -> None:
        self.now, self.then = time.time(), list[Callable[[], object]]()

    def __call__(self) -> float:
        if self.then:
            self.then.pop(0)()
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def hub(bus: Caller, clock: Clock) -> Hub:
    """web1 may do on box what an admin says yes to."""
    parts = bus.hub
    made = Hub(
        Journal(parts.log, parts.index, parts.waiting, clock), parts.live, parts.leases, parts.files
    )
    made.permissions.permit(
        BOSS, Grant.read({"source": "web1", "target": "box", "allow": True, "approval": "required"})
    )
    return made


def call(command: str = "true", **fields: Any) -> Call:
    return calls.check("exec", {"target": "box", "command": command, **fields}, 1024)


def asked(hub: Hub, wanted: Call) -> str:
    return str(hub.approvals.ask(WEB1, wanted, hub.journal.new_id(), {})["approval"])


def allowed(hub: Hub, wanted: Call) -> Allowed:
    """The right to a call that an admin has said yes to."""
    hub.approvals.answer(BOSS, asked(hub, wanted), True, APPROVAL_S)
    ticket = hub.calls.authorise(WEB1, wanted)
    assert isinstance(ticket, Allowed)
    return ticket


def begin(hub: Hub, ticket: Allowed) -> Begun:
    return hub.calls.begin(ticket, hub.journal.new_id())


def state(hub: Hub, id: str) -> str:
    return str(hub.approvals.get(BOSS, id)["state"])


def test_a_yes_that_two_calls_have_in_hand_is_good_for_one(hub: Hub) -> None:
    ticket = allowed(hub, call())
    begin(hub, ticket)
    with pytest.raises(Busy, match="used just now"):
        begin(hub, ticket)
    assert len(hub.calls.unfinished()) == 1


@pytest.mark.parametrize("answer", [None, True, False])
def test_a_question_and_its_answer_have_their_time(
    hub: Hub, clock: Clock, answer: bool | None
) -> None:
    """Nobody said anything; yes; no. Afterwards it is as if nobody had been asked."""
    id = asked(hub, call())
    if answer is not None:
        hub.approvals.answer(BOSS, id, answer, APPROVAL_S)
    before = state(hub, id)
    clock.now += APPROVAL_S - 1
    assert state(hub, id) == before
    clock.now += 1
    assert state(hub, id) == "expired"
    assert hub.calls.authorise(WEB1, call()) == NeedsApproval(None)
    with pytest.raises(ApprovalClosed):
        hub.approvals.answer(BOSS, id, True, APPROVAL_S)


def test_of_two_answers_at_once_the_first_counts_and_the_other_is_told(
    hub: Hub, clock: Clock
) -> None:
    id = asked(hub, call())
    # The first look at the clock says that the question is open; at the next another admin has
    # answered it.
    clock.then = [lambda: None, lambda: hub.approvals.answer(SECOND, id, False, APPROVAL_S)]
    with pytest.raises(ApprovalClosed, match="second"):
        hub.approvals.answer(BOSS, id, True, APPROVAL_S)
    assert state(hub, id) == "denied"
    found = hub.calls.authorise(WEB1, call())
    assert isinstance(found, Denied) and isinstance(found.error, ApprovalDenied)


def test_questions_are_listed_for_a_day(hub: Hub, clock: Clock) -> None:
    id = asked(hub, call())
    clock.now += 86_390
    assert [item["id"] for item in hub.approvals.shown(BOSS, None)[0]] == [id]
    clock.now += 20
    assert hub.approvals.shown(BOSS, None) == ([], False)


def test_of_two_calls_with_one_key_at_once_the_second_gets_the_first_if_it_is_the_same(
    hub: Hub,
) -> None:
    hub.permissions.permit(BOSS, Grant.read({"source": "web1", "target": "box", "allow": True}))
    tickets = [
        hub.calls.authorise(WEB1, call(command, client_id="k"))
        for command in ("true", "true", "id")
    ]
    first, again = (begin(hub, ticket) for ticket in tickets[:2] if isinstance(ticket, Allowed))
    assert (first.replay, again.id) == (None, first.id)
    assert again.replay is not None
    assert again.replay.asked["call"] == first.id
    assert isinstance(tickets[2], Allowed)
    with pytest.raises(KeyReused):
        begin(hub, tickets[2])
    assert len(hub.calls.unfinished()) == 1


def test_an_end_that_is_recorded_twice_is_the_first(hub: Hub) -> None:
    """It is tried again where nobody knew whether the first was stored."""
    begun = begin(hub, allowed(hub, call()))
    hub.calls.end(begun.id, "ok", {"exitCode": 0})
    before = hub.activity.events(BOSS, Filter(since_ms=0))[0]
    hub.calls.end(begun.id, "unknown", {})
    assert hub.activity.events(BOSS, Filter(since_ms=0))[0] == before
    done = hub.calls.get(WEB1, begun.id).done
    assert done is not None
    assert (done["result"], done["exitCode"]) == ("ok", 0)
