"""POST /ack: a reader says that it is done with messages."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, g

from bus.errors import BadField, MissingField, NotFound
from bus.hub.acks import Acked
from bus.hub.hub import Hub
from bus.model import checks
from bus.model.caller import EVERYONE, Taken, check_speaks_as
from bus.model.strict_json import load_object
from bus.web.http import parameters
from bus.web.http.auth import may_call
from bus.web.http.replies import json_reply

MAX_IDS = 1_000
FORM = "application/x-www-form-urlencoded"


def blueprint(hub: Hub, taken: Taken) -> Blueprint:
    """The routes that acknowledge."""
    routes = Blueprint("acking", __name__)

    @routes.post("/ack/<ref>")
    @may_call(EVERYONE)
    def ack_one(ref: str) -> Response:
        fields = _fields(("reader",))
        reader = _reader(fields, taken)
        try:
            return _reply(
                reader, hub.acks.ack(g.caller, reader, [checks.reference(ref, "id")]), id=ref
            )
        except BadField as error:  # what cannot be an id is the id of no message: 404, as for any other unknown one
            raise NotFound(
                f"There is no message with this id. {error.message}", hint=error.hint
            ) from None

    @routes.post("/ack")
    @may_call(EVERYONE)
    def ack_many() -> Response:
        fields = _fields(("reader", "ids", "through"))
        reader = _reader(fields, taken)
        if ("ids" in fields) == ("through" in fields):
            raise MissingField(
                "Give either `ids` or `through`.",
                hint='"ids":[…], or "through": the last one.',
                field="ids",
            )
        if "through" in fields:
            return _reply(
                reader,
                hub.acks.ack_through(
                    g.caller, reader, checks.reference(fields["through"], "through")
                ),
            )
        return _reply(reader, hub.acks.ack(g.caller, reader, _refs(fields["ids"])))

    return routes


def _reader(fields: dict[str, Any], taken: Taken) -> str:
    """Return who acknowledges: the caller, unless it says as which of its names.

    Nobody does for another.
    """
    reader = checks.agent(fields.get("reader", g.caller.own_name), "reader")
    check_speaks_as(g.caller, reader, "reader", taken)
    return reader


def _fields(allowed: tuple[str, ...]) -> dict[str, Any]:
    """Return the fields, as JSON, as a form, or in the query."""
    query = parameters.params(allowed)
    fields: dict[str, Any] = {}
    if parameters.content_type() == "multipart/form-data":
        fields = dict(parameters.multipart())
    elif data := parameters.read_body().strip():
        fields = (
            load_object(data)
            if data.startswith(b"{") or parameters.content_type() != FORM
            else dict(parameters.urlencoded(data))
        )
    checks.check_fields(fields, allowed)
    parameters.refuse_twice(query, fields)
    fields = {**query, **fields}
    if isinstance(fields.get("ids"), str):
        fields["ids"] = [ref for ref in fields["ids"].split(",") if ref]
    return fields


def _refs(value: Any) -> list[str | int]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_IDS:
        raise BadField(
            "`ids` is no list, or is empty or too long.",
            hint=f"1 to {MAX_IDS} ids or seqs.",
            field="ids",
        )
    return [checks.reference(item, "ids") for item in value]


def _reply(reader: str, acked: Acked, **more: Any) -> Response:
    return json_reply(
        {"ok": True, **more, "reader": reader, "acked": acked.new, "already": acked.already}
    )
