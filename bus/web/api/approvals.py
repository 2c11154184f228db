"""The questions to admins: GET and POST /api/approvals."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Blueprint, Response, g

from bus.errors import BadField, MissingField, NotAllowed
from bus.hub.approvals import APPROVAL_S, MAX_ANSWERED, MAX_APPROVAL_S
from bus.hub.net import Net
from bus.live.waiting import WaitingRoom
from bus.model import checks, messages
from bus.model.caller import ADMINS, MACHINES
from bus.web.http import parameters
from bus.web.http.auth import may_call
from bus.web.http.replies import json_reply

_LOOK_EVERY_S = 0.25
STATES = ("pending", "allowed", "denied", "used", "expired")


def blueprint(net: Net, waiting: WaitingRoom) -> Blueprint:
    """The routes about approvals."""
    routes = Blueprint("approvals", __name__)

    @routes.get("/api/approvals")
    @may_call(MACHINES)
    def approvals() -> Response:
        given = parameters.params(("state", "from"))
        state = given.get("state")
        if state is not None and state not in STATES:
            raise BadField(
                f"`state` is {state[:40]!r}.", hint=f"One of {', '.join(STATES)}.", field="state"
            )
        asker = checks.agent(given["from"], "from") if "from" in given else None
        return json_reply({"ok": True, "approvals": net.approvals(g.caller, state, asker)})

    @routes.post("/api/approvals")
    @may_call(ADMINS, call_type="permit")
    def answer_all() -> Response:
        fields = parameters.call_fields()
        checks.check_fields(fields, ("ids", "allow", "expires_in_s"))
        ids, (allow, expires_in_s) = _ids(fields.get("ids")), _answer(fields)
        with _own_is_on_record(f"approve {' '.join(ids)}"):
            return json_reply(
                {"ok": True, "approvals": net.answer_all(g.caller, ids, allow, expires_in_s)}
            )

    @routes.get("/api/approvals/<id>")
    @may_call(MACHINES)
    def approval(id: str) -> Response:
        wait_s = parameters.wait_s(parameters.params(("wait",)))
        found = net.approval(g.caller, id)
        if wait_s and found["state"] == "pending":
            deadline = time.monotonic() + wait_s
            with waiting.place() as place:
                while (
                    found["state"] == "pending"
                    and time.monotonic() < deadline
                    and not place.is_over()
                ):
                    place.nap(_LOOK_EVERY_S)
                    g.check()
                    found = net.approval(g.caller, id)
        return json_reply({"ok": True, "approval": found})

    @routes.post("/api/approvals/<id>")
    @may_call(ADMINS, call_type="permit")
    def answer(id: str) -> Response:
        fields = parameters.call_fields()
        checks.check_fields(fields, ("allow", "expires_in_s"))
        allow, expires_in_s = _answer(fields)
        with _own_is_on_record(f"approve {id[:26]}"):
            return json_reply(
                {"ok": True, "approval": net.answer(g.caller, id, allow, expires_in_s)}
            )

    @contextmanager
    def _own_is_on_record(what: str) -> Iterator[None]:
        try:
            yield
        except NotAllowed:
            net.refused_at_door(g.caller, "permit", what)
            raise

    return routes


def _answer(fields: dict[str, Any]) -> tuple[bool, float]:
    """Yes or no, and for how many seconds a yes is good."""
    if not isinstance(fields.get("allow"), bool):
        raise MissingField(
            "`allow` is missing, or neither true nor false.", hint='{"allow":true}', field="allow"
        )
    expires_in_s = messages.expiry(fields.get("expires_in_s", APPROVAL_S))
    if expires_in_s > MAX_APPROVAL_S:
        raise BadField(
            f"`expires_in_s` is {expires_in_s:g}.",
            hint="At most a day: 86400.",
            field="expires_in_s",
        )
    return fields["allow"], expires_in_s


def _ids(value: Any) -> list[str]:
    if value is None:
        raise MissingField(
            "`ids` is missing.",
            hint="The ids of the questions that you have looked at.",
            field="ids",
        )
    if (
        not isinstance(value, list)
        or not 1 <= len(value) <= MAX_ANSWERED
        or not all(isinstance(id, str) for id in value)
    ):
        raise BadField(
            "`ids` is no list of ids.", hint=f"1 to {MAX_ANSWERED} ids of questions.", field="ids"
        )
    return value
