"""POST /post: one message in any of the forms that curl makes easy, or many as NDJSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from flask import Blueprint, Response, g, request

from bus.errors import BadJson, BadRequest, BusError, NotYourName, TooLarge, UnsupportedMedia
from bus.hub.hub import Hub
from bus.hub.messages import Posted
from bus.model import checks, messages
from bus.model.caller import EVERYONE, Caller, Taken, check_speaks_as
from bus.model.messages import Draft
from bus.model.strict_json import Rest, load_object
from bus.system.scheduler import Breather
from bus.web.http import body, parameters
from bus.web.http.auth import may_call
from bus.web.http.replies import Reply, to_json

MAY_POST = EVERYONE  # the shortcut asks the same
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


def blueprint(hub: Hub, taken: Taken, rest: Rest) -> Blueprint:
    """The routes that post. `rest` lets others go on while many messages are read."""
    routes = Blueprint("posting", __name__)

    @routes.post("/post")
    @may_call(MAY_POST)
    def post() -> Response:
        if body.content_type() == "application/x-ndjson":
            return post_many()
        return Reply(
            save(hub, g.caller, _fields(), request.environ, taken),
            201,
            mimetype="application/json",
        )

    def post_many() -> Response:
        query = messages.from_texts(parameters.params(Draft.names()))
        key = request.environ.get("HTTP_IDEMPOTENCY_KEY")
        batch, breather = [], Breather(rest)
        for number, line in enumerate(_lines(body.read_body(body.MAX_NDJSON)), 1):
            batch.append(_line(line, number, query, key, taken))
            breather.did(len(line))
        results = hub.messages.post_many(g.caller, batch)
        text = "".join(
            to_json(_result(result, number)) + "\n" for number, result in enumerate(results, 1)
        )
        return Reply(
            text,
            201 if any(isinstance(result, Posted) for result in results) else 400,
            mimetype="application/x-ndjson",
        )

    return routes


def _lines(data: bytes) -> list[bytes]:
    """Return the lines of a block; raises BadJson for none, TooLarge for too many."""
    last = data[data.rfind(b"\n") + 1 :]
    count = data.count(b"\n") + bool(last.strip())  # before they are made: there may be millions
    if count == 0:
        raise BadJson("The body is empty.", hint="Send one JSON object a line.")
    if count > messages.MAX_BATCH:
        raise TooLarge(
            f"There are {count} lines; 1 to {messages.MAX_BATCH} are allowed.",
            size=count,
            limit=messages.MAX_BATCH,
        )
    return data.split(b"\n")[:count]


def save(
    hub: Hub, caller: Caller, fields: dict[str, Any], environ: Mapping[str, Any], taken: Taken
) -> bytes:
    """Check and post one message; returns the JSON of it, with how its recipients are doing."""
    body.add_key(fields, environ.get("HTTP_IDEMPOTENCY_KEY"))
    return saved(hub, caller, hub.messages.post(caller, checked(caller, fields, taken)))


def saved(hub: Hub, caller: Caller, posted: Posted) -> bytes:
    """Return the JSON of a message that was posted, with how its recipients are doing."""
    message = posted.message
    report = hub.messages.delivery(message, is_new=not posted.replayed)
    view = hub.privacy.view(caller)
    if view is not None:
        report.hide_counts(view.is_mine)
    message["delivery"] = report.delivery
    message["recipients"], message["warnings"] = report.recipients, report.warnings
    if posted.replayed:
        message["replayed"] = True
    if texts := hub.texting(message["from"], message["tags"]):
        message["texts"] = texts
    return orjson.dumps(message) + b"\n"


def checked(caller: Caller, fields: dict[str, Any], taken: Taken) -> Draft:
    """Return the checked message of somebody who may speak as the one it is from: the caller,
    unless it says so.
    """
    if caller.own_name is not None:
        fields.setdefault("from", caller.own_name)
    message = Draft.read(fields)
    check_speaks_as(caller, message.sender, "from", taken)
    return message


def _fields() -> dict[str, Any]:
    """Return the fields of a message, from the query, a form, JSON, or a body that is the text
    itself.
    """
    query = parameters.params(Draft.names())
    kind = body.content_type()
    if kind == "application/json":
        return _joined(query, body.json_body())
    if kind == "multipart/form-data":
        return _joined(query, messages.from_texts(body.multipart()))
    # curl --data-binary says urlencoded whatever it sends, so the query decides: with fields there,
    # this is the text.
    if kind == "application/x-www-form-urlencoded" and not query:
        return _form_or_json()
    if kind in ("", *_FORMS, "application/octet-stream") or kind.startswith("text/"):
        data = body.read_body()
        if not query and data.lstrip().startswith(b"{"):
            return load_object(data)
        return _joined(query, {"body": messages.text_body(data)} if data else {})
    raise UnsupportedMedia(f"The content type is {kind[:80]!r}.")


def _form_or_json() -> dict[str, Any]:
    """Return a urlencoded form; or JSON that curl -d has called one."""
    data = body.read_body()
    if data.lstrip().startswith(b"{"):
        return load_object(data)
    return messages.from_texts(body.urlencoded(data))


def _joined(query: dict[str, str], fields: dict[str, Any]) -> dict[str, Any]:
    parameters.refuse_twice(query, fields)
    return {**messages.from_texts(query), **fields}


def _line(
    line: bytes, number: int, query: dict[str, Any], key: str | None, taken: Taken
) -> Draft | BusError:
    """Return the checked message on one line, or what is wrong with it.

    A key for the request is one for each of its lines.
    """
    try:
        fields = {**query, **load_object(line, f"Line {number}")}
        if key is not None and "client_id" not in fields:
            fields["client_id"] = f"{checks.key(key, 'Idempotency-Key')}#{number}"
        return checked(g.caller, fields, taken)
    except (BadRequest, TooLarge, NotYourName) as error:
        return error


def _result(result: Posted | BusError, number: int) -> dict[str, Any]:
    if isinstance(result, BusError):
        return {**result.as_dict(), "line": number, "status": result.status}
    return {
        "ok": True,
        "line": number,
        **result.message,
        **({"replayed": True} if result.replayed else {}),
    }
