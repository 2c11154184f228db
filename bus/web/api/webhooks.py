"""Webhooks: adding, listing, testing, replaying and removing them."""

from __future__ import annotations

from flask import Blueprint, Response, g

from bus.hub.hub import Hub
from bus.model.caller import MACHINES
from bus.model.webhooks import NewWebhook, WebhooksQuery
from bus.web.http import body, parameters
from bus.web.http.auth import may_call
from bus.web.http.replies import json_reply


def blueprint(hub: Hub) -> Blueprint:
    """The routes of webhooks."""
    routes = Blueprint("webhooks", __name__)

    @routes.get("/webhooks")
    @may_call(MACHINES)
    def listed() -> Response:
        asked = parameters.query(WebhooksQuery)
        return json_reply({"ok": True, "webhooks": hub.webhooks.listed(g.caller, asked.name)})

    @routes.post("/webhooks")
    @may_call(MACHINES)
    def add() -> Response:
        parameters.params(())
        made, secret = hub.webhooks.add(g.caller, NewWebhook.read(body.json_body()))
        return json_reply({"ok": True, "webhook": made, "secret": secret}, 201)

    @routes.delete("/webhooks/<id>")
    @may_call(MACHINES)
    def remove(id: str) -> Response:
        parameters.params(())
        hub.webhooks.remove(g.caller, id)
        return json_reply({"ok": True, "id": id})

    @routes.post("/webhooks/<id>/test")
    @may_call(MACHINES)
    def test(id: str) -> Response:
        parameters.params(())
        outcome, answer = hub.webhooks.test(g.caller, id)
        said = {"delivered": outcome.is_delivered, "answer": answer}
        return json_reply({"ok": True, "id": id, **said})

    @routes.post("/webhooks/<id>/replay")
    @may_call(MACHINES)
    def replay(id: str) -> Response:
        parameters.params(())
        return json_reply({"ok": True, "id": id, "replayed": hub.webhooks.replay(g.caller, id)})

    return routes
