"""Who may do what to whom: POST /api/permit, GET /api/permissions, and the questions to admins."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, g

from bus import drafts, rights
from bus.calls import ACTIONS, EXEC
from bus.errors import BadField, MissingField, NotAllowed
from bus.identity import ADMINS, MACHINES, check_speaks_as, normalised
from bus.net import APPROVAL_S, MAX_APPROVAL_S, Net
from bus.waiting import WaitingRoom
from bus.web import requests
from bus.web.auth import may_call
from bus.web.replies import json_reply

_LOOK_EVERY_S = 0.25
STATES = ("pending", "allowed", "denied", "used", "expired")


def blueprint(net: Net, waiting: WaitingRoom, names: Callable[[], list[str]]) -> Blueprint:
    """The routes about permissions and approvals; `names` gives the machines that have a credential."""
    routes = Blueprint("permissions", __name__)

    @routes.post("/api/permit")
    @may_call(ADMINS, call_type="permit")
    def permit() -> Response:
        fields = requests.call_fields()
        clean = rights.check_grant(fields)
        sender = drafts.agent(fields.get("from", g.caller.name), "from")
        check_speaks_as(g.caller, sender, "from", lambda: ())
        for field in ("source", "target"):
            _refuse_other_case(clean[field], field, names())
        return json_reply({"ok": True, "permission": net.permit(g.caller, sender, clean)})

    @routes.get("/api/permissions")
    @may_call(MACHINES)
    def permissions() -> Response:
        given = requests.params(("source", "target"))
        return json_reply({"ok": True, "permissions": net.permissions(g.caller, given.get("source"), given.get("target"))})

    @routes.get("/api/permissions/check")
    @may_call(MACHINES)
    def check() -> Response:
        given = requests.params(("source", "target", "action", "command"))
        source = drafts.agent(given.get("source", g.caller.name), "source")
        target = drafts.agent(given.get("target"), "target")
        if not g.caller.is_admin and g.caller.name not in (source, target):
            raise NotAllowed("Only admins ask about others.", role=g.caller.role, allowed=["admin"])
        decision = net.decide(source, target, _action(given), _request(given))
        facts = {"source": source, "target": target, "action": given["action"], "reason": decision.reason}
        rule = None if decision.rule is None else decision.rule.as_dict()
        approval = {"approval": rights.REQUIRED} if decision.approval else {}
        return json_reply({"ok": True, "allowed": decision.allowed, **facts, **approval, "rule": rule})

    @routes.get("/api/approvals")
    @may_call(MACHINES)
    def approvals() -> Response:
        state = requests.params(("state",)).get("state")
        if state is not None and state not in STATES:
            raise BadField(f"`state` is {state[:40]!r}.", hint=f"One of {', '.join(STATES)}.", field="state")
        return json_reply({"ok": True, "approvals": net.approvals(g.caller, state)})

    @routes.get("/api/approvals/<id>")
    @may_call(MACHINES)
    def approval(id: str) -> Response:
        wait_s = requests.wait_s(requests.params(("wait",)))
        found = net.approval(g.caller, id)
        if wait_s and found["state"] == "pending":
            deadline = time.monotonic() + wait_s
            with waiting.place():
                while found["state"] == "pending" and time.monotonic() < deadline and not waiting.is_closing():
                    time.sleep(_LOOK_EVERY_S)
                    found = net.approval(g.caller, id)
        return json_reply({"ok": True, "approval": found})

    @routes.post("/api/approvals/<id>")
    @may_call(ADMINS, call_type="permit")
    def answer(id: str) -> Response:
        fields = requests.call_fields()
        drafts.check_fields(fields, ("allow", "expires_in_s"))
        if not isinstance(fields.get("allow"), bool):
            raise MissingField("`allow` is missing, or neither true nor false.", hint='{"allow":true}', field="allow")
        expires_in_s = drafts.expiry(fields.get("expires_in_s", APPROVAL_S))
        if expires_in_s > MAX_APPROVAL_S:
            raise BadField(f"`expires_in_s` is {expires_in_s:g}.", hint="At most a day: 86400.", field="expires_in_s")
        return json_reply({"ok": True, "approval": net.answer(g.caller, id, fields["allow"], expires_in_s)})

    return routes


def _refuse_other_case(name: str, field: str, names: list[str]) -> None:
    """A deny for `Web1` would look like one for `web1`, and stop nobody."""
    for known in names:
        if name not in names and normalised(name) == normalised(known):
            raise BadField(
                f"`{field}` is {name!r}, and the machine is {known!r}.", hint="Names are compared with case.", field=field
            )


def _action(given: dict[str, str]) -> str:
    action = given.get("action")
    if action is None:
        raise MissingField("`action` is missing.", hint=f"One of {', '.join(ACTIONS)}.", field="action")
    if action not in ACTIONS:
        raise BadField(f"`action` is {action[:40]!r}.", hint=f"One of {', '.join(ACTIONS)}.", field="action")
    return action


def _request(given: dict[str, str]) -> dict[str, Any] | None:
    if "command" not in given:
        return None
    if given["action"] != EXEC:
        raise BadField("`command` is for the action exec.", field="command")
    return {"argv": ["bash", "-c", given["command"]]}
