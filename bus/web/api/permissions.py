"""Who may do what to whom: POST /api/permit and GET /api/permissions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import Blueprint, Response, g

from bus.errors import BadField, BusError, MissingField, NotAllowed, no_target
from bus.hub.net import Net
from bus.model import checks, permissions
from bus.model.caller import ADMINS, MACHINES, check_speaks_as, normalised
from bus.model.calls import ACTIONS, EXEC
from bus.runner.client import ExecService
from bus.web.api import targets
from bus.web.http import parameters
from bus.web.http.auth import may_call
from bus.web.http.replies import json_reply

_LOOKED_FOR_S = (
    2.0  # a service that hangs must not keep an admin who denies from hearing that it holds
)


def blueprint(net: Net, service: ExecService, names: Callable[[], list[str]]) -> Blueprint:
    """The routes about permissions; `names` gives the machines that have a credential."""
    routes = Blueprint("permissions", __name__)

    @routes.post("/api/permit")
    @may_call(ADMINS, call_type="permit")
    def permit() -> Response:
        fields = parameters.call_fields()
        clean = permissions.check_grant(fields)
        sender = checks.agent(fields.get("from", g.caller.name), "from")
        check_speaks_as(g.caller, sender, "from", lambda: ())
        for field in ("source", "target"):
            _refuse_other_case(clean[field], field, names())
        made = net.permit(g.caller, sender, clean)  # it holds before anybody is asked what there is
        unknown = {} if clean["allow"] is None else _unknown(clean, names(), service)
        return json_reply(
            {"ok": True, "permission": {**made, **({"unknown": unknown} if unknown else {})}}
        )

    @routes.get("/api/permissions")
    @may_call(MACHINES)
    def listed() -> Response:
        given = parameters.params(("source", "target"))
        return json_reply(
            {
                "ok": True,
                "permissions": net.permissions(g.caller, given.get("source"), given.get("target")),
            }
        )

    @routes.get("/api/permissions/check")
    @may_call(MACHINES)
    def check() -> Response:
        given = parameters.params(("source", "target", "action", "command"))
        source = checks.agent(given.get("source", g.caller.name), "source")
        target = checks.agent(given.get("target"), "target")
        if not g.caller.is_admin and g.caller.name not in (source, target):
            raise NotAllowed("Only admins ask about others.", role=g.caller.role, allowed=["admin"])
        decision = net.decide(source, target, _action(given), _request(given))
        facts = {
            "source": source,
            "target": target,
            "action": given["action"],
            "reason": decision.reason,
        }
        rule = None if decision.rule is None else decision.rule.as_dict()
        approval = {"approval": permissions.REQUIRED} if decision.approval else {}
        return json_reply(
            {"ok": True, "allowed": decision.allowed, **facts, **approval, "rule": rule}
        )

    return routes


def _refuse_other_case(name: str, field: str, names: list[str]) -> None:
    """A deny for `Web1` would look like one for `web1`, and stop nobody."""
    for known in names:
        if name not in names and normalised(name) == normalised(known):
            raise BadField(
                f"`{field}` is {name!r}, and the machine is {known!r}.",
                hint="Names are compared with case.",
                field=field,
            )


def _unknown(clean: Mapping[str, Any], names: list[str], service: ExecService) -> dict[str, str]:
    """What is wrong with a name that is neither a machine nor a target, by its field. Where nobody can tell: nothing."""
    found = {}
    source, target = clean["source"], clean["target"]
    if source not in (permissions.ANYONE, *names):
        found["source"] = f"No machine {source} has a credential."
    if target == permissions.ANYONE:
        return found
    try:
        listed, unavailable = targets.listed(service, _LOOKED_FOR_S)
    except BusError:
        return found
    if not unavailable and target not in {one["name"] for one in listed}:
        found["target"] = no_target(target, target in names)
    return found


def _action(given: dict[str, str]) -> str:
    action = given.get("action")
    if action is None:
        raise MissingField(
            "`action` is missing.", hint=f"One of {', '.join(ACTIONS)}.", field="action"
        )
    if action not in ACTIONS:
        raise BadField(
            f"`action` is {action[:40]!r}.", hint=f"One of {', '.join(ACTIONS)}.", field="action"
        )
    return action


def _request(given: dict[str, str]) -> dict[str, Any] | None:
    if "command" not in given:
        return None
    if given["action"] != EXEC:
        raise BadField("`command` is for the action exec.", field="command")
    return {"argv": ["bash", "-c", given["command"]]}
