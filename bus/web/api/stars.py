"""Stars: a reader marks a message that it wants to find again."""

from __future__ import annotations

from flask import Blueprint, Response, g, request

from bus.hub.hub import Hub
from bus.model import checks
from bus.model.caller import EVERYONE, Taken, check_speaks_as
from bus.model.stars import Star
from bus.web.http import body
from bus.web.http.auth import may_call
from bus.web.http.replies import json_reply


def blueprint(hub: Hub, taken: Taken) -> Blueprint:
    """The route of stars."""
    routes = Blueprint("stars", __name__)

    @routes.post("/star/<ref>")
    @may_call(EVERYONE)
    def star(ref: str) -> Response:
        fields = body.object_or_nothing()
        body.add_key(fields, request.environ.get("HTTP_IDEMPOTENCY_KEY"))
        if g.caller.own_name is not None:
            fields.setdefault("reader", g.caller.own_name)
        asked = Star.read(fields)
        check_speaks_as(g.caller, asked.reader, "reader", taken)
        given, view = checks.reference(ref, "id"), hub.privacy.view(g.caller)
        return json_reply(hub.stars.star(g.caller, given, asked, view))

    return routes
