"""What becomes of a message: retracting it, its trace, and what is overdue."""

from __future__ import annotations

from flask import Blueprint, Response, g

from bus.hub.hub import Hub
from bus.model import checks
from bus.model.acks import ReceiptsQuery
from bus.model.caller import EVERYONE, Taken, check_speaks_as
from bus.model.harmless import harmless
from bus.model.records import Fields
from bus.model.tracking import Late, OverdueQuery, Retraction, Step
from bus.web.http import body, parameters
from bus.web.http.auth import may_call
from bus.web.http.replies import json_reply, text_reply, wants_text


def blueprint(hub: Hub, taken: Taken) -> Blueprint:
    """The routes of messages on their way."""
    routes = Blueprint("tracking", __name__)

    @routes.post("/messages/<ref>/retract")
    @may_call(EVERYONE)
    def retract(ref: str) -> Response:
        asked = Retraction.read(_named(body.object_or_nothing()))
        check_speaks_as(g.caller, asked.sender, "from", taken)
        hub.messages.get(checks.reference(ref, "id"), hub.privacy.view(g.caller))
        message, fetched, already = hub.tracking.retract(
            g.caller, asked.sender, checks.reference(ref, "id")
        )
        about = {"id": message["id"], "seq": message["seq"], "retracted": message["retracted"]}
        return json_reply({"ok": True, **about, "already": already, "fetched_by": fetched})

    @routes.get("/messages/<ref>/trace")
    @may_call(EVERYONE)
    def trace(ref: str) -> Response:
        asked = parameters.query(ReceiptsQuery)
        hub.messages.get(checks.reference(ref, "id"), hub.privacy.view(g.caller))
        receipts, steps = hub.tracking.trace(
            checks.reference(ref, "id"), asked.after or "", asked.limit
        )
        if wants_text(asked.format):
            more = f"-- more: after={receipts['next']}\n" if receipts["next"] else ""
            return text_reply("".join(map(_line, steps.items())) + more)
        about = {name: receipts[name] for name in ("id", "seq")}
        rest = {name: receipts[name] for name in ("has_more", "next")}
        return json_reply({"ok": True, **about, "trace": steps, **rest})

    @routes.get("/overdue")
    @may_call(EVERYONE)
    def overdue() -> Response:
        asked = parameters.query(OverdueQuery)
        found = hub.tracking.overdue(asked, hub.privacy.view(g.caller))
        if wants_text(asked.format):
            return text_reply("".join(map(_late_line, found)) or "nothing is overdue\n")
        return json_reply({"ok": True, "overdue": found})

    return routes


def _named(fields: Fields) -> Fields:
    """Return the fields with the caller's own name, where it has one and none is given."""
    return fields if g.caller.own_name is None else {"from": g.caller.own_name, **fields}


def _line(steps: tuple[str, list[Step]]) -> str:
    name, found = steps
    told = (
        f"{step['step']} {step['time']}" + (f" ({step['by']})" if "by" in step else "")
        for step in found
    )
    return f"{name}: {', '.join(told)}\n"


def _late_line(late: Late) -> str:
    names = ",".join(late["unread_by"])
    return harmless(f"{late['seq']} {late['ack_by']} {late['from']} > {names} ({late['id']})\n")
