"""Roles: claiming, releasing, and which there are."""

from __future__ import annotations

from flask import Blueprint, Response, g

from bus.hub.hub import Hub
from bus.model.caller import EVERYONE, Taken
from bus.model.roles import RolesQuery, role
from bus.web.http import parameters
from bus.web.http.auth import may_call
from bus.web.http.replies import json_reply, text_reply, wants_text
from bus.web.http.speaking import own_name


def blueprint(hub: Hub, taken: Taken) -> Blueprint:
    """The routes of roles."""
    routes = Blueprint("roles", __name__)

    @routes.post("/roles/<role_name>/claim")
    @may_call(EVERYONE)
    def claim(role_name: str) -> Response:
        claimed, name = role(role_name, "role"), own_name(taken)
        return json_reply({"ok": True, "role": hub.roles.claim(g.caller, name, claimed)})

    @routes.post("/roles/<role_name>/release")
    @may_call(EVERYONE)
    def release(role_name: str) -> Response:
        claimed, name = role(role_name, "role"), own_name(taken)
        return json_reply({"ok": True, "role": hub.roles.release(g.caller, name, claimed)})

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
