"""Actions: what is to be done, by whom, and how far it is."""

from __future__ import annotations

import json

from flask import Blueprint, Response, g, request

from bus.errors import BadField
from bus.hub.hub import Hub
from bus.model.actions import MAX_NUMBER, Action, ActionsQuery, Change, Claim, NewAction, about
from bus.model.caller import EVERYONE, Taken, check_speaks_as
from bus.model.harmless import body_lines, harmless
from bus.model.kinds import Format
from bus.model.records import Fields
from bus.web.api import briefs
from bus.web.http import body, parameters
from bus.web.http.auth import may_call
from bus.web.http.replies import json_reply, text_reply, wants_text


def blueprint(hub: Hub, taken: Taken) -> Blueprint:
    """The routes of actions."""
    routes = Blueprint("actions", __name__)

    @routes.post("/actions")
    @may_call(EVERYONE)
    def make() -> Response:
        fields = _said()
        body.add_key(fields, request.environ.get("HTTP_IDEMPOTENCY_KEY"))
        given = NewAction.read(fields)
        check_speaks_as(g.caller, given.sender, "from", taken)
        done = hub.actions.make(g.caller, given, hub.privacy.view(g.caller), taken)
        return json_reply(briefs.answer(hub, done), 201)

    @routes.get("/actions")
    @may_call(EVERYONE)
    def actions() -> Response:
        asked = parameters.query(ActionsQuery)
        found, more = hub.actions.all(asked, hub.privacy.view(g.caller))
        if wants_text(asked.format):
            end = f"-- more: before={more}\n" if more else ""
            return text_reply(("".join(map(_line, found)) or "no actions\n") + end)
        return json_reply(
            {"ok": True, "actions": found, "has_more": more > 0, "next": more or None}
        )

    @routes.get("/actions/<ref>")
    @may_call(EVERYONE)
    def one(ref: str) -> Response:
        asked = parameters.query(Format)
        found = hub.actions.get(_number(ref), hub.privacy.view(g.caller))
        return text_reply(_text(found)) if wants_text(asked.format) else _told(found, False)

    @routes.patch("/actions/<ref>")
    @may_call(EVERYONE)
    def change(ref: str) -> Response:
        asked = Change.read(_said())
        check_speaks_as(g.caller, asked.sender, "from", taken)
        view = hub.privacy.view(g.caller)
        return _told(*hub.actions.change(g.caller, _number(ref), asked, view))

    @routes.post("/actions/<ref>/claim")
    @may_call(EVERYONE)
    def claim(ref: str) -> Response:
        asked = Claim.read(_said())
        check_speaks_as(g.caller, asked.sender, "from", taken)
        view = hub.privacy.view(g.caller)
        return _told(*hub.actions.claim(g.caller, _number(ref), asked.sender, view))

    return routes


def _said() -> Fields:
    """Return the fields of the body, with the caller's own name if it has one and gives none."""
    fields = body.object_or_nothing()
    return fields if g.caller.own_name is None else {"from": g.caller.own_name, **fields}


def _number(ref: str) -> int:
    is_number = ref.isascii() and ref.isdigit() and len(ref) < len(str(MAX_NUMBER))
    if not is_number or int(ref) == 0:
        raise BadField(
            f"{ref[:40]!r} is no number of an action.", hint="For example 5.", field="ref"
        )
    return int(ref)


def _told(action: Action, replayed: bool) -> Response:
    return json_reply({"ok": True, "action": action, **({"replayed": True} if replayed else {})})


def _line(action: Action) -> str:
    line = f"{action['number']} {about(action)}: {action['title']}"
    return " ".join(harmless(line).split()) + "\n"


def _text(action: Action) -> str:
    """Return an action as text: one line about it, then each change, indented."""
    lines = [f"asked by {action['asked_by']} {action['made']} in {action['brief']}"]
    for change in action.get("history", []):
        said = ", ".join(
            f"{name} {'none' if value is None else value}" for name, value in change["set"].items()
        )
        note = f" {json.dumps(change['note'], ensure_ascii=False)}" if "note" in change else ""
        lines.append(f"{change['time']} {change['who']}: {said}{note}")
    return _line(action) + "".join(f"  {' '.join(body_lines(line))}\n" for line in lines)
