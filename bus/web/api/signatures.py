"""What the briefs of a name are signed with: /signature."""

from __future__ import annotations

from flask import Blueprint, Response, g

from bus.hub.hub import Hub
from bus.model.caller import EVERYONE, Taken, check_speaks_as
from bus.model.signatures import NewSignature, SignatureQuery
from bus.web.http import body, parameters
from bus.web.http.auth import may_call
from bus.web.http.replies import json_reply
from bus.web.http.speaking import spoken_name


def blueprint(hub: Hub, taken: Taken) -> Blueprint:
    """The routes of signatures."""
    routes = Blueprint("signatures", __name__)

    @routes.put("/signature")
    @may_call(EVERYONE)
    def change() -> Response:
        fields = body.object_or_nothing()
        if g.caller.own_name is not None:
            fields.setdefault("name", g.caller.own_name)
        asked = NewSignature.read(fields)
        check_speaks_as(g.caller, asked.name, "name", taken)
        hub.signatures.set(g.caller, asked.name, asked.signature)
        return json_reply({"ok": True, "name": asked.name, "signature": asked.signature})

    @routes.get("/signature")
    @may_call(EVERYONE)
    def signature() -> Response:
        name = spoken_name(parameters.query(SignatureQuery).name, taken)
        return json_reply({"ok": True, "name": name, "signature": hub.signatures.of(name)})

    return routes
