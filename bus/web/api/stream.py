"""GET /stream: messages as they come, as Server-Sent Events, NDJSON or text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace

from flask import Blueprint, Response, g, request

from bus.hub.hub import Hub
from bus.model import checks
from bus.model.caller import EVERYONE, Taken
from bus.model.filter import StreamQuery
from bus.web.api.messages import is_peek
from bus.web.http import parameters
from bus.web.http.auth import may_call
from bus.web.http.replies import Reply, message_text


def _event(message: str) -> str:
    seq = json.loads(message)["seq"]
    return f"id: {seq}\nevent: message\ndata: {message}\n\n"


# By format: the media type, what a message looks like, and what says that the stream lives.
_FORMATS: dict[str, tuple[str, Callable[[str], str], str]] = {
    "sse": ("text/event-stream", _event, ": alive\n\n"),
    "ndjson": ("application/x-ndjson", lambda message: message + "\n", "\n"),
    "text": ("text/plain", lambda message: message_text(json.loads(message)), "\n"),
}


def blueprint(hub: Hub, keepalive_s: float, taken: Taken) -> Blueprint:
    """The route that streams."""
    routes = Blueprint("streaming", __name__)

    @routes.get("/stream")
    @may_call(EVERYONE)
    def stream() -> Response:
        asked = parameters.query(StreamQuery)
        mimetype, render, alive = _FORMATS[asked.format or _preferred()]
        # A browser's EventSource repeats the URL it began with, so where it has got to counts for
        # more than `since`.
        last = request.headers.get("Last-Event-ID")
        if last:
            if isinstance(asked.since, checks.OldId):
                hub.messages.seq_of(asked.since)  # only the index knows whether it is an id at all
            asked = replace(asked, since=checks.reference(last, "since"))
        selection = asked.selection(hub.messages.seq_of).seen_by(hub.privacy.view(g.caller))
        pages = hub.messages.stream(
            selection, keepalive_s, is_peek(hub, selection.unread_by, taken), g.check
        )
        first = next(pages)  # raises here, before the answer begins, when the hub is full

        def chunks() -> Iterator[str]:
            yield alive if first is None else ""
            for page in pages:
                yield (
                    alive if page is None else "".join(render(message) for message in page.messages)
                )

        reply = Reply(chunks(), mimetype=mimetype)
        reply.headers["X-Accel-Buffering"] = "no"  # nginx: hand every chunk on at once
        reply.call_on_close(pages.close)
        return reply

    return routes


def _preferred() -> str:
    """Return the format that the caller's `Accept` prefers."""
    best = request.accept_mimetypes.best_match(
        [mimetype for mimetype, _, _ in _FORMATS.values()], "text/event-stream"
    )
    return next(name for name, (mimetype, _, _) in _FORMATS.items() if mimetype == best)
