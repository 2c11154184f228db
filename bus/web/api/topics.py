"""Topics: subscribing, and which there are."""

from __future__ import annotations

from flask import Blueprint, Response, g

from bus.hub.hub import Hub
from bus.model.caller import EVERYONE, Taken
from bus.model.topics import TopicsQuery, pattern
from bus.web.http import parameters
from bus.web.http.auth import may_call
from bus.web.http.replies import json_reply, text_reply, wants_text
from bus.web.http.speaking import own_name


def blueprint(hub: Hub, taken: Taken) -> Blueprint:
    """The routes of topics."""
    routes = Blueprint("topics", __name__)

    @routes.post("/topics/<topic>/subscribe")
    @may_call(EVERYONE)
    def subscribe(topic: str) -> Response:
        topic, name = pattern(topic, "topic"), own_name(taken)
        changed = hub.topics.subscribe(g.caller, name, topic)
        return json_reply({"ok": True, "name": name, "topic": topic, "changed": changed})

    @routes.post("/topics/<topic>/unsubscribe")
    @may_call(EVERYONE)
    def unsubscribe(topic: str) -> Response:
        topic, name = pattern(topic, "topic"), own_name(taken)
        changed = hub.topics.unsubscribe(g.caller, name, topic)
        return json_reply({"ok": True, "name": name, "topic": topic, "changed": changed})

    @routes.get("/topics")
    @may_call(EVERYONE)
    def topics() -> Response:
        asked = parameters.query(TopicsQuery)
        found, next, mine = hub.topics.listing(asked)
        if wants_text(asked.format):
            lines = [
                f"{one['topic']} {one['messages']} messages, {one['subscribers']} subscribers,"
                f" last {one['last'] or '-'}\n"
                for one in found
            ]
            more = f"-- more: after={next}\n" if next else ""
            return text_reply(("".join(lines) or "no topics\n") + more)
        subscriptions = [
            {"name": asked.name, "topic": topic, "since": since} for topic, since in mine.items()
        ]
        about = {} if asked.name is None else {"subscriptions": subscriptions}
        more_json = {"has_more": next is not None, "next": next}
        return json_reply({"ok": True, "topics": found, **about, **more_json})

    return routes
