"""Briefs: messages with front matter; and a thread as one document."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, g, request

from bus.errors import NoSuchBrief, TooLarge, UnknownField, UnsupportedMedia
from bus.hub.briefs import PostedBrief
from bus.hub.hub import Hub
from bus.model import checks, front_matter
from bus.model.brief_import import ARCHIVE, BriefImport
from bus.model.briefs import Brief, BriefQuery, BriefsQuery, ThreadQuery, markdown
from bus.model.caller import EVERYONE, Taken, check_speaks_as
from bus.model.filter import Selection
from bus.model.harmless import harmless
from bus.model.messages import MAX_BODY, utf8
from bus.model.strict_json import Rest, load_object
from bus.web.api import posting
from bus.web.api.messages import page_reply
from bus.web.http import body, parameters
from bus.web.http.auth import may_call
from bus.web.http.replies import (
    Reply,
    json_reply,
    message_text,
    page_text,
    text_reply,
    wants_text,
)

_MARKDOWN = "text/markdown"
_FORMS = ("", "application/x-www-form-urlencoded", "application/octet-stream")  # what curl says


def blueprint(hub: Hub, taken: Taken, rest: Rest) -> Blueprint:
    """The routes of briefs."""
    routes = Blueprint("briefs", __name__)

    @routes.post("/briefs")
    @may_call(EVERYONE)
    def post() -> Response:
        fields, lines = _said(rest)
        body.add_key(fields, request.environ.get("HTTP_IDEMPOTENCY_KEY"))
        if g.caller.own_name is not None:
            fields.setdefault("from", g.caller.own_name)
        done = hub.briefs.post(g.caller, Brief.read_at(fields, lines), taken, lines)
        return json_reply(answer(hub, done), 201)

    @routes.post("/import")
    @may_call(EVERYONE)
    def take_in() -> Response:
        fields = body.object_or_nothing()
        if g.caller.own_name is not None:
            fields.setdefault("name", g.caller.own_name)
        asked = BriefImport.read(fields)
        for name in (asked.name, asked.sender(g.caller)):
            check_speaks_as(g.caller, name, "name", taken)
        done = hub.briefs.take_in(g.caller, asked, rest)
        if done.posted.replayed and asked.box == ARCHIVE:  # it was read since
            hub.acks.ack(g.caller, asked.name, [done.posted.message["seq"]])
        return json_reply(answer(hub, done), 201)

    @routes.get("/briefs")
    @may_call(EVERYONE)
    def briefs() -> Response:
        asked = parameters.query(BriefsQuery)
        return page_reply(hub, asked, rest, taken)

    @routes.get("/briefs/<ref>")
    @may_call(EVERYONE)
    def brief(ref: str) -> Response:
        asked = parameters.query(BriefQuery)
        if asked.reader is not None:
            check_speaks_as(g.caller, asked.reader, "reader", taken)
        text = hub.messages.get(checks.reference(ref, "id"), hub.privacy.view(g.caller))
        message: dict[str, Any] = json.loads(text)
        if "brief" not in message:
            raise NoSuchBrief(f"The message {message['seq']} is no brief.")
        if _wants_markdown(asked.format):
            return Reply(markdown(message), mimetype=_MARKDOWN)
        reader = asked.reader or g.caller.own_name
        if reader is not None and message["seq"] in hub.stars.of(reader, [message["seq"]]):
            message["starred"] = True
        if wants_text(asked.format):
            return text_reply(message_text(message))
        return json_reply(message)

    @routes.get("/thread/<ref>")
    @may_call(EVERYONE)
    def thread(ref: str) -> Response:
        asked, view = parameters.query(ThreadQuery), hub.privacy.view(g.caller)
        first = json.loads(hub.messages.get(checks.reference(ref, "id"), view))
        name = first.get("thread") or first["id"]
        after = 0 if asked.since is None else hub.messages.seq_of(asked.since)
        selection = Selection(thread=name, after=after, limit=asked.limit, expired=True)
        page = hub.messages.read(selection.seen_by(view), is_peek=True)
        if wants_text(asked.format):
            head = f"thread {harmless(name)}\n\n" if after == 0 else ""
            more = f"since={page.last}" if page.has_more else None
            return text_reply(head + page_text(page.messages, more, rest))
        return json_reply(
            {
                "ok": True,
                "thread": name,
                "messages": [json.loads(message) for message in page.messages],
                "has_more": page.has_more,
                "next": page.last if page.has_more else None,
            }
        )

    return routes


def answer(hub: Hub, done: PostedBrief) -> dict[str, Any]:
    """Return the answer to a brief that was posted, once who has something to do is told."""
    message: dict[str, Any] = json.loads(posting.saved(hub, g.caller, done.posted))
    message["warnings"] += done.warnings
    if done.read_as:
        message["read_as"] = done.read_as
    if message["brief"].get("actions"):
        message["actions"] = hub.actions.of_brief(message["seq"])
        hub.actions.tell_assignees(g.caller, message["seq"])
    return message


def _said(rest: Rest) -> tuple[dict[str, Any], Mapping[str, int]]:
    """Return the fields of a brief, and of front matter the line of each. `rest` lets others go on
    while that is read.
    """
    for name in parameters.params(None):  # a `to` that is not looked at makes a broadcast
        raise UnknownField(
            f"There is no parameter {name[:64]!r} here.",
            hint="It goes into the front matter, or into the JSON.",
            field=name[:64],
        )
    kind = body.content_type()
    if kind not in ("application/json", *_FORMS) and not kind.startswith("text/"):
        raise UnsupportedMedia(
            f"The content type is {kind[:80]!r}.", hint="Send text/markdown, or JSON."
        )
    data = body.read_body()
    if kind == "application/json" or (kind in _FORMS and data.lstrip().startswith(b"{")):
        return load_object(data), {}
    longest = MAX_BODY + 2 * front_matter.MAX_FRONT
    if len(data) > longest:
        raise TooLarge(
            f"The brief is {len(data)} bytes; at most {longest} are allowed.",
            size=len(data),
            limit=longest,
        )
    front, text = front_matter.split(utf8(data), rest)
    return Brief.of_markdown(front.fields, text), front.lines


def _wants_markdown(format: str | None) -> bool:
    """Return whether the caller asks for markdown: by `format`, or by preferring it in Accept."""
    if format is not None:
        return format == "markdown"
    offered = ("application/json", "text/plain", _MARKDOWN)
    return request.accept_mimetypes.best_match(offered) == _MARKDOWN
