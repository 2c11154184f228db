"""What happened, and who there is: GET /api/activity, /api/machines, /api/containers."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from flask import Blueprint, Response, g

from bus.errors import ExecUnavailable
from bus.hub.hub import Hub
from bus.index.activity import Filter
from bus.model.activity import ActivityQuery
from bus.model.caller import ADMINS, MACHINES
from bus.model.records import iso, unix_ms
from bus.runner.client import RunnerClient
from bus.web.api import targets
from bus.web.http import parameters
from bus.web.http.auth import may_call
from bus.web.http.replies import json_reply

_MOST_MACHINES = 1_000  # without a credential of their own
_ONLINE_MS = 5 * 60 * 1000


def blueprint(hub: Hub, service: RunnerClient, names: Callable[[], Collection[str]]) -> Blueprint:
    """The routes that tell; `names` gives the machines that have a credential."""
    routes = Blueprint("activity", __name__)

    @routes.get("/api/activity")
    @may_call(MACHINES)
    def activity() -> Response:
        asked = parameters.query(ActivityQuery)
        wanted = Filter(
            since_ms=asked.since_ms(hub.journal.now_ms() / 1000),
            sender=asked.sender,
            type=asked.type,
            target=asked.target,
            after=asked.since,
            before=asked.before,
            limit=asked.limit,
        )
        events, has_more, next = hub.activity.events(g.caller, wanted, hub.privacy.view(g.caller))
        return json_reply({"ok": True, "events": events, "has_more": has_more, "next": next})

    @routes.get("/api/containers")
    @may_call(ADMINS)
    def containers() -> Response:
        parameters.params(())
        listed, unavailable = targets.listed(service)
        found = [target for target in listed if target["kind"] == "container"]
        for target in found:
            del target["kind"]
        return json_reply({"ok": True, "containers": found, "unavailable": unavailable})

    @routes.get("/api/machines")
    @may_call(MACHINES)
    def machines() -> Response:
        parameters.params(())
        try:
            listed, unavailable = targets.listed(service)
        except ExecUnavailable as error:
            listed, unavailable = [], {"exec": error.message}
        known = {target["name"]: target for target in listed}
        acts = hub.activity.last_acts([*names()], _MOST_MACHINES)
        has_more = len(acts) >= _MOST_MACHINES
        acts.pop("bus", None)  # the hub's own messages
        for name in (*names(), *acts):
            known.setdefault(
                name, {"name": name, "kind": "machine", "driver": None, "state": "unknown"}
            )
        found = [_machine(known[name], acts.get(name), hub) for name in sorted(known)]
        return json_reply(
            {"ok": True, "machines": found, "has_more": has_more, "unavailable": unavailable}
        )

    return routes


def _machine(target: dict[str, Any], act: str | None, hub: Hub) -> dict[str, Any]:
    sign = iso(hub.agents.last_sign_ms(target["name"]))
    last = max((ts for ts in (act, sign) if ts), default=None)
    is_fresh = last is not None and hub.journal.now_ms() - unix_ms(last) < _ONLINE_MS
    is_known = last is not None or target["state"] != "unknown"
    online = True if is_fresh or target["state"] == "running" else False if is_known else None
    shown = {field: target[field] for field in ("name", "kind", "driver", "state")}
    return {**shown, "online": online, "last_seen": last}
