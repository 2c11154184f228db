"""What the hub says about itself."""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Response

from bus.errors import NotFound
from bus.hub.hub import Hub
from bus.model.caller import EVERYONE
from bus.model.kinds import Format
from bus.notices.desk import NoticeDesk
from bus.runner.client import RunnerClient
from bus.version import __version__
from bus.web import openapi
from bus.web.http import parameters
from bus.web.http.auth import may_call
from bus.web.http.replies import Reply, facts_text, json_reply, text_reply, wants_text

_DOCS = [
    Path(__file__).parents[3] / "docs" / name
    for name in (
        *("protocol.md", "agents.md", "claude-code.md", "work.md", "files.md"),
        *("net.md", "security.md"),
    )
]
_ABOUT = {
    "name": "claude-bus",
    "what": (
        "a message bus for fleets of AI coding agents: a message waits here until its reader has"
        " acknowledged it"
    ),
    "post": (
        """curl -u "$BUS_USER:$BUS_PASS" -d '{"from":"me","to":"you","body":"hello"}'"""
        ' "$BUS_URL/post"'
    ),
    "read": 'curl -u "$BUS_USER:$BUS_PASS" "$BUS_URL/messages?unread_by=me&format=text"',
    "docs": "/docs",
    "openapi": "/openapi.json",
}


def blueprint(hub: Hub, service: RunnerClient, notices: NoticeDesk) -> Blueprint:
    """The pages."""
    routes = Blueprint("pages", __name__)

    @routes.get("/")
    @may_call(EVERYONE)
    def about() -> Response:
        facts = {**_ABOUT, "version": __version__}
        return (
            text_reply(facts_text(facts))
            if wants_text(parameters.query(Format).format)
            else json_reply(facts)
        )

    @routes.get("/health")
    @may_call(EVERYONE)
    def health() -> Response:
        as_text = wants_text(parameters.query(Format).format)
        notify, behind = notices.health()
        facts = {
            **hub.health(),
            "exec": "ready" if service.is_there() else "away",
            "notify": notify,
            "notify_behind": behind,
            "version": __version__,
        }
        status = 200 if facts["ok"] else 503
        return text_reply(facts_text(facts), status) if as_text else json_reply(facts, status)

    @routes.get("/robots.txt")
    @may_call(EVERYONE)
    def robots() -> Response:
        return text_reply("User-agent: *\nDisallow: /\n")

    @routes.get("/openapi.json")
    @may_call(EVERYONE)
    def description() -> Response:
        return json_reply(openapi.document())

    @routes.get("/docs")
    @may_call(EVERYONE)
    def docs() -> Response:
        try:
            text = "\n".join(page.read_text() for page in _DOCS)
        except FileNotFoundError:
            raise NotFound(
                "This hub was installed without its docs.",
                hint="See docs/protocol.md in the source.",
            ) from None
        for page in _DOCS:  # one page here, so its parts are below
            text = text.replace(f"]({page.name}#", "](#")
        return Reply(text, mimetype="text/markdown")

    return routes
