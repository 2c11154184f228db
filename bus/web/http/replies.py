"""Forms of an answer: JSON for programs, and compact text for an agent with only curl."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import orjson
from flask import Response, request

from bus.model import attached
from bus.model.asked import ask_terms
from bus.model.brief_mark import claims, signed_lines
from bus.model.envelopes import defused
from bus.model.filter import recipients
from bus.model.harmless import body_lines, harmless, quoted, sender
from bus.model.strict_json import Rest
from bus.system.scheduler import Breather


def to_json(value: Any) -> str:
    """Compact JSON, every character as itself."""
    return orjson.dumps(value).decode()


if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class Reply(Response):
    """An answer with the headers that every answer has.

    One that is whole in memory is sent as it is: Werkzeug's own way to the same bytes looks for a
    Location to complete and takes a tenth of a post's time (profiled 2026-11-20).
    """

    ALWAYS = (("X-Robots-Tag", "noindex, nofollow"), ("Cache-Control", "no-store"))

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        body = self.response
        if environ["REQUEST_METHOD"] in ("GET", "POST") and isinstance(body, list):
            start_response(self.status, [*self.headers, *self.ALWAYS])
            return cast(list[bytes], body)
        self.headers.extend(self.ALWAYS)
        return super().__call__(environ, start_response)


def json_reply(value: Mapping[str, Any], status: int = 200) -> Reply:
    """A JSON answer."""
    return Reply(to_json(value) + "\n", status, mimetype="application/json")


def raw_json_reply(text: str, status: int = 200) -> Reply:
    """A JSON answer whose text is made already."""
    return Reply(text + "\n", status, mimetype="application/json")


def text_reply(text: str, status: int = 200) -> Reply:
    """A plain text answer; the text has been made harmless."""
    return Reply(text, status, mimetype="text/plain")


def wants_text(format: str | None) -> bool:
    """Return whether the caller asks for text: by `format=text`, or by preferring it in Accept."""
    if format is not None:
        return format == "text"
    accept = request.environ.get("HTTP_ACCEPT", "")
    if "text/plain" not in accept:
        return False
    return request.accept_mimetypes.best_match(("application/json", "text/plain")) == "text/plain"


def page_json(messages: Sequence[str], has_more: bool, next: int) -> str:
    """Return the JSON of a page of messages, each of which is JSON already."""
    more = "true" if has_more else "false"
    end = f'"count":{len(messages)},"has_more":{more},"next":{next}}}'
    return f'{{"messages":[{",".join(messages)}],{end}'


def state_marks(message: Mapping[str, Any]) -> list[str]:
    """Return what became of a message since, for its first line."""
    marks = ["RETRACTED"] if "retracted" in message else []
    marks += ["STARRED"] if "starred" in message else []
    if "ask" in message:
        marks += ["QUESTION", message["ask"]["state"], *ask_terms(message["ask"])]
    if "brief" in message:
        marks += [f"BRIEF {quoted(message['brief']['title'])}", *claims(message)]
    if "forwarded" in message:
        marks.append(f"forwarded from {message['forwarded']['from']} {message['forwarded']['id']}")
    if "given_to" in message:
        marks.append(f"given to {message['given_to']['name']} {message['given_to']['s']} s ago")
    newer = message.get("superseded_by")
    return marks if newer is None else [*marks, f"superseded by {newer}"]


def message_text(message: dict[str, Any], body: str | None = None) -> str:
    """Return a message as text: one line about it, then its body indented, so that no body can pass
    for a line about it.
    """
    marks = [] if message["priority"] == "normal" else [message["priority"].upper()]
    marks += [f"#{quoted(tag)}" for tag in message["tags"]]
    if "in_reply_to" in message:
        marks.append(f"re {message['in_reply_to']}")
    marks += [*state_marks(message), *attached.marks(message)]
    to = ",".join(recipients(message))
    words = [
        f"{message['seq']} {message['ts']} {sender(message)} > {to}",
        *marks,
        f"({message['id']})",
    ]
    lines = body_lines(message["body"] if body is None else body)
    lines += signed_lines(message) if body is None else []
    return defused(" ".join(words) + "\n" + "".join(f"  {line}\n" for line in lines))


def page_text(messages: Iterable[str], more: str | None, rest: Rest) -> str:
    """Return a page of messages as text; says so when there is none, and which parameter gives more
    (None: there are no more).

    `rest` lets others go on: a page of what has to be made harmless takes a while.
    """
    texts, breather = [], Breather(rest)
    for message in messages:
        texts.append(message_text(json.loads(message)))
        breather.did(len(message))
    if not texts:
        return "no messages\n"
    return "".join(texts) + (f"-- more: {more}\n" if more else "")


def facts_text(facts: dict[str, Any]) -> str:
    """Plain facts as `name: value` lines."""
    return "".join(
        f"{name}: {harmless(value if isinstance(value, str) else to_json(value))}\n"
        for name, value in facts.items()
    )
