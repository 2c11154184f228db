"""Roles: claiming, releasing, and which there are."""

from __future__ import annotations

from flask import Blueprint, Response, g

from bus.hub.hub import Hub
from bus.model.caller import EVERYONE, Taken, check_speaks_as
from bus.model.roles import Claim, RolesQuery, role
from bus.web.http import body, parameters
from bus.web.http.auth import may_call
from bus.web.http.replies import json_reply, text_reply, wants_text


def blueprint(hub: Hub, taken: Taken) -> Blueprint:
    """The routes of roles."""
    routes = Blueprint("roles", __name__)

    def claimant() -> str:
        """Return whose claim the request is about: a name that the caller may speak as."""
        fields = body.object_or_nothing()
        if g.caller.own_name is not None:
            fields.setdefault("name", g.caller.own_name)
        name = Claim.read(fields).name
        check_speaks_as(g.caller, name, "name", taken)
        return name

    @routes.post("/roles/<role_name>/claim")
    @may_call(EVERYONE)
    def claim(role_name: str) -> Response:
        claimed = role(role_name, "role")
        return json_reply({"ok": True, "role": hub.roles.claim(g.caller, claimant(), claimed)})

    @routes.post("/roles/<role_name>/release")
    @may_call(EVERYONE)
    def release(role_name: str) -> Response:
        claimed = role(role_name, "role")
        return json_reply({"ok": True, "role": hub.roles.release(g.caller, claimant(), claimed)})

    @routes.get("/roles")
    @may_call(EVERYONE)
    def roles() -> Response:
        asked = parameters.query(RolesQuery)
        found = hub.roles.all()
        view = hub.privacy.view(g.caller)
        if view is not None:
            for one in found:
                if one["holder"] is None or not view.is_mine(one["holder"]):
                    one["unread"] = None
        if wants_text(asked.format):
            lines = [
                f"{one['role']} {one['holder'] or '-'}, {one['unread']} unread, candidates"
                f" {','.join(one['candidates']) or '-'}\n"
                for one in found
            ]
            return text_reply("".join(lines) or "no roles\n")
        return json_reply({"ok": True, "roles": found})

    return routes
