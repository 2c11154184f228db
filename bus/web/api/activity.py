"""What happened, and who there is: GET /api/activity, /api/machines, /api/containers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, g

from bus.errors import BadField, ExecUnavailable
from bus.hub.net import Net
from bus.index.feed import Filter
from bus.live.presence import Presence
from bus.model import checks
from bus.model.caller import ADMINS, MACHINES
from bus.model.calls import ACTIONS, CONTAINER
from bus.model.filter import MAX_LIMIT
from bus.model.records import unix_ms, utc
from bus.runner.client import ExecService
from bus.web.api import targets
from bus.web.http import parameters
from bus.web.http.auth import may_call
from bus.web.http.replies import json_reply

TYPES = ("message", *ACTIONS, "permit", CONTAINER, "credential")
_MOST_MACHINES = 1_000  # without a credential of their own
_ONLINE_MS = 5 * 60 * 1000
_MIN_HOURS, _MAX_HOURS = 0.01, 8784


def blueprint(
    net: Net, service: ExecService, presence: Presence, names: Callable[[], list[str]]
) -> Blueprint:
    """The routes that tell; `names` gives the machines that have a credential."""
    routes = Blueprint("activity", __name__)

    @routes.get("/api/activity")
    @may_call(MACHINES)
    def activity() -> Response:
        given = parameters.params(("hours", "from", "type", "target", "since", "before", "limit"))
        events, has_more, next = net.activity(g.caller, _filter(given))
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
        acts = net.last_acts(names(), _MOST_MACHINES)
        has_more = len(acts) >= _MOST_MACHINES
        acts.pop("bus", None)  # the hub's own messages
        for name in (*names(), *acts):
            known.setdefault(
                name, {"name": name, "kind": "machine", "driver": None, "state": "unknown"}
            )
        found = [_machine(known[name], acts.get(name), presence) for name in sorted(known)]
        return json_reply(
            {"ok": True, "machines": found, "has_more": has_more, "unavailable": unavailable}
        )

    return routes


def _machine(target: dict[str, Any], act: str | None, presence: Presence) -> dict[str, Any]:
    polled = presence.last_seen(target["name"])
    last = max(
        (ts for ts in (act, None if polled is None else utc(polled / 1000)) if ts), default=None
    )
    is_fresh = last is not None and time.time() * 1000 - unix_ms(last) < _ONLINE_MS
    is_known = last is not None or target["state"] != "unknown"
    online = True if is_fresh or target["state"] == "running" else False if is_known else None
    shown = {field: target[field] for field in ("name", "kind", "driver", "state")}
    return {**shown, "online": online, "last_seen": last}


def _filter(given: dict[str, str]) -> Filter:
    hours = checks.number(given.get("hours", "24"), "hours")
    if not _MIN_HOURS <= hours <= _MAX_HOURS:
        raise BadField(
            f"`hours` is {hours:g}.", hint=f"{_MIN_HOURS} to {_MAX_HOURS}.", field="hours"
        )
    kind = given.get("type")
    if kind is not None and kind not in TYPES:
        raise BadField(
            f"`type` is {kind[:40]!r}.", hint=f"One of {', '.join(TYPES)}.", field="type"
        )
    return Filter(
        # Who follows by `since` was perhaps away for longer than a day.
        since_ms=0
        if "since" in given and "hours" not in given
        else int((time.time() - hours * 3600) * 1000),
        sender=checks.agent(given["from"], "from") if "from" in given else None,
        type=kind,
        target=checks.name(given["target"], "target") if "target" in given else None,
        after=parameters.whole(given, "since", 0, 0, checks.MAX_SEQ - 1)
        if "since" in given
        else None,
        before=parameters.whole(given, "before", 0, 1, checks.MAX_SEQ)
        if "before" in given
        else None,
        limit=parameters.whole(given, "limit", 100, 1, MAX_LIMIT),
    )
