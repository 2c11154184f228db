"""The check-up: what is stuck."""

from __future__ import annotations

from flask import Blueprint, Response, g

from bus.hub.hub import Hub
from bus.model import checkup
from bus.model.caller import EVERYONE
from bus.model.checkup import CheckupQuery
from bus.web.http import parameters
from bus.web.http.auth import may_call
from bus.web.http.replies import json_reply, text_reply, wants_text


def blueprint(hub: Hub) -> Blueprint:
    """The route of the check-up."""
    routes = Blueprint("checkup", __name__)

    @routes.get("/checkup")
    @may_call(EVERYONE)
    def get() -> Response:
        asked = parameters.query(CheckupQuery)
        as_text = wants_text(asked.format)
        view = hub.privacy.view(g.caller)
        found = hub.checkups.make(asked.stale_h, asked.listed(as_text), view)
        return text_reply(checkup.text(found)) if as_text else json_reply(found)

    return routes
