"""The digest: what is unread summed up, and what is to be done."""

from __future__ import annotations

from flask import Blueprint, Response, g

from bus.hub.hub import Hub
from bus.model import checks, digest
from bus.model.caller import EVERYONE, Taken, check_speaks_as
from bus.model.digest import DEFAULT_BUDGET, Digest, DigestAck, DigestQuery
from bus.web.http import body, parameters
from bus.web.http.auth import may_call
from bus.web.http.replies import json_reply, text_reply, wants_text


def blueprint(hub: Hub, taken: Taken) -> Blueprint:
    """The routes of the digest."""
    routes = Blueprint("digest", __name__)

    @routes.get("/digest")
    @may_call(EVERYONE)
    def get() -> Response:
        asked = parameters.query(DigestQuery)
        reader = checks.agent(asked.reader or g.caller.own_name, "reader")
        view = hub.privacy.view(g.caller)
        if view is not None and not view.is_mine(reader):
            check_speaks_as(g.caller, reader, "reader", taken)
        found = hub.digests.make(reader, asked.budget, view)
        return text_reply(digest.text(found)) if wants_text(asked.format) else json_reply(found)

    @routes.post("/digest")
    @may_call(EVERYONE)
    def post() -> Response:
        fields = body.object_or_nothing()
        if g.caller.own_name is not None:
            fields.setdefault("reader", g.caller.own_name)
        asked = DigestAck.read(fields)
        check_speaks_as(g.caller, asked.reader, "reader", taken)
        view = hub.privacy.view(g.caller)
        found: Digest = hub.digests.make(asked.reader, DEFAULT_BUDGET, view)
        if asked.ack and found["messages"]:
            seqs = [one["seq"] for one in found["messages"]]
            hub.acks.ack(g.caller, asked.reader, seqs, "/" in asked.reader, view)
            found["acked"] = seqs
        return text_reply(digest.text(found)) if wants_text(None) else json_reply(found)

    return routes
