"""POST /ack: a reader says that it is done with messages."""

from __future__ import annotations

from typing import Any, TypeVar

from flask import Blueprint, Response, g

from bus.errors import BadField, NotFound
from bus.hub.acks import Acked
from bus.hub.hub import Hub
from bus.model import checks
from bus.model.acks import Ack, AckMany
from bus.model.caller import EVERYONE, Taken, check_speaks_as
from bus.model.strict_json import load_object
from bus.web.http import body, parameters
from bus.web.http.auth import may_call
from bus.web.http.replies import json_reply

A = TypeVar("A", bound=Ack)
FORM = "application/x-www-form-urlencoded"


def blueprint(hub: Hub, taken: Taken) -> Blueprint:
    """The routes that acknowledge."""
    routes = Blueprint("acking", __name__)

    @routes.post("/ack/<ref>")
    @may_call(EVERYONE)
    def ack_one(ref: str) -> Response:
        asked = _read(Ack, taken)
        reader, with_machine = asked.reader, bool(asked.machine)
        try:
            return _reply(
                reader,
                hub.acks.ack(
                    g.caller,
                    reader,
                    [checks.reference(ref, "id")],
                    with_machine,
                    hub.privacy.view(g.caller),
                ),
                id=ref,
            )
        except BadField as error:
            # what cannot be an id is the id of no message: 404, as for any other unknown one
            raise NotFound(
                f"There is no message with this id. {error.message}", hint=error.hint
            ) from None

    @routes.post("/ack")
    @may_call(EVERYONE)
    def ack_many() -> Response:
        asked = _read(AckMany, taken)
        reader, with_machine = asked.reader, bool(asked.machine)
        if asked.through is not None:
            hub.messages.get(asked.through, hub.privacy.view(g.caller))
            acked = hub.acks.ack_through(g.caller, reader, asked.through, with_machine)
        elif asked.shown is not None:
            acked = hub.acks.ack_shown(g.caller, reader, with_machine)
        else:
            view = hub.privacy.view(g.caller)
            acked = hub.acks.ack(g.caller, reader, asked.ids or [], with_machine, view)
        return _reply(asked.reader, acked)

    return routes


def _read(shape: type[A], taken: Taken) -> A:
    """Return the struct in the fields, which come as JSON, as a form, or in the query.

    The reader is the caller, unless the fields say which of its names. Nobody acknowledges for
    another.
    """
    query = parameters.params(shape.names())
    fields: dict[str, Any] = {}
    if body.content_type() == "multipart/form-data":
        fields = dict(body.multipart())
    elif data := body.read_body().strip():
        fields = (
            load_object(data)
            if data.startswith(b"{") or body.content_type() != FORM
            else dict(body.urlencoded(data))
        )
    checks.check_fields(fields, shape.names())
    parameters.refuse_twice(query, fields)
    fields = {**query, **fields}
    if isinstance(fields.get("ids"), str):
        fields["ids"] = [ref for ref in fields["ids"].split(",") if ref]
    if g.caller.own_name is not None:
        fields.setdefault("reader", g.caller.own_name)
    asked = shape.read(fields)
    check_speaks_as(g.caller, asked.reader, "reader", taken)
    return asked


def _reply(reader: str, acked: Acked, **more: Any) -> Response:
    return json_reply(
        {"ok": True, **more, "reader": reader, "acked": acked.new, "already": acked.already}
    )
