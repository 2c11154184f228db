"""Who may do what to whom: POST /api/permit and GET /api/permissions."""

from __future__ import annotations

from collections.abc import Callable, Collection

from flask import Blueprint, Response, g

from bus.errors import BadField, BusError, NotAllowed, no_target
from bus.hub.hub import Hub
from bus.model.caller import ADMINS, MACHINES, check_speaks_as, normalised
from bus.model.grants import ANYONE, REQUIRED, Grant
from bus.model.permissions import CheckQuery, PermissionQuery
from bus.runner.client import RunnerClient
from bus.web.api import targets
from bus.web.http import body, parameters
from bus.web.http.auth import may_call
from bus.web.http.replies import json_reply

# A service that hangs must not keep an admin who denies from hearing that it holds
_LOOKED_FOR_S = 2.0


def blueprint(hub: Hub, service: RunnerClient, names: Callable[[], Collection[str]]) -> Blueprint:
    """The routes about permissions; `names` gives the machines that have a credential."""
    routes = Blueprint("permissions", __name__)

    @routes.post("/api/permit")
    @may_call(ADMINS, call_type="permit")
    def permit() -> Response:
        grant = Grant.read(body.call_fields())
        check_speaks_as(g.caller, grant.sender or g.caller.name, "from", lambda: ())
        _refuse_other_case(grant.source, "source", names())
        _refuse_other_case(grant.target, "target", names())
        made = hub.permissions.permit(
            g.caller, grant
        )  # it holds before anybody is asked what there is
        unknown = {} if grant.allow is None else _unknown(grant, names(), service)
        return json_reply(
            {"ok": True, "permission": {**made, **({"unknown": unknown} if unknown else {})}}
        )

    @routes.get("/api/permissions")
    @may_call(MACHINES)
    def listed() -> Response:
        asked = parameters.query(PermissionQuery)
        found = hub.permissions.rules(g.caller, asked.source, asked.target)
        return json_reply({"ok": True, "permissions": found})

    @routes.get("/api/permissions/check")
    @may_call(MACHINES)
    def check() -> Response:
        asked = parameters.query(CheckQuery)
        source = asked.source or g.caller.name
        if not g.caller.is_admin and g.caller.name not in (source, asked.target):
            raise NotAllowed("Only admins ask about others.", role=g.caller.role, allowed=["admin"])
        decision = hub.permissions.decide(source, asked.target, asked.action, asked.request())
        facts = {
            "source": source,
            "target": asked.target,
            "action": asked.action,
            "reason": decision.reason,
        }
        rule = None if decision.rule is None else decision.rule.as_dict()
        approval = {"approval": REQUIRED} if decision.approval else {}
        return json_reply(
            {"ok": True, "allowed": decision.allowed, **facts, **approval, "rule": rule}
        )

    return routes


def _refuse_other_case(name: str, field: str, names: Collection[str]) -> None:
    """A deny for `Web1` would look like one for `web1`, and stop nobody."""
    for known in names:
        if name not in names and normalised(name) == normalised(known):
            raise BadField(
                f"`{field}` is {name!r}, and the machine is {known!r}.",
                hint="Names are compared with case.",
                field=field,
            )


def _unknown(grant: Grant, names: Collection[str], service: RunnerClient) -> dict[str, str]:
    """Return what is wrong with a name that is neither a machine nor a target, by its field.

    Where nobody can tell: nothing.
    """
    found = {}
    source, target = grant.source, grant.target
    if source not in (ANYONE, *names):
        found["source"] = f"No machine {source} has a credential."
    if target == ANYONE:
        return found
    try:
        listed, unavailable = targets.listed(service, _LOOKED_FOR_S)
    except BusError:
        return found
    if not unavailable and target not in {one["name"] for one in listed}:
        found["target"] = no_target(target, target in names)
    return found
