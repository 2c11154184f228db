"""Uploads: a file in several requests, so that one that broke goes on where it was."""

from __future__ import annotations

from flask import Blueprint, Response, g, request

from bus.errors import MissingField
from bus.hub.hub import Hub
from bus.live.quotas import Quotas
from bus.model.attachments import NewUpload, Upload
from bus.model.caller import EVERYONE
from bus.model.kinds import whole
from bus.web.http import body, incoming, parameters
from bus.web.http.auth import may_call
from bus.web.http.replies import Reply, json_reply

_OFFSET = whole(0, (1 << 50) - 1)


def blueprint(hub: Hub, uploads: Quotas) -> Blueprint:
    """The routes of uploads. `uploads` counts those that come."""
    routes = Blueprint("uploads", __name__)

    @routes.post("/uploads")
    @may_call(EVERYONE)
    def begin() -> Response:
        parameters.params(())
        return _told(hub.uploads.begin(g.caller, NewUpload.read(body.json_body())), 201)

    @routes.get("/uploads/<id>")
    @may_call(EVERYONE)
    def look(id: str) -> Response:
        parameters.params(())
        return _told(hub.uploads.look(g.caller, id))

    @routes.patch("/uploads/<id>")
    @may_call(EVERYONE)
    def go_on(id: str) -> Response:
        parameters.params(())
        text = request.headers.get("Upload-Offset")
        if text is None:
            raise MissingField(
                "The header Upload-Offset is missing.",
                hint="It says where this part begins; HEAD says how much is there.",
                field="Upload-Offset",
            )
        offset = _OFFSET.check(text, "Upload-Offset")
        with (
            uploads.held(g.caller.name),
            hub.uploads.go_on(g.caller, id, offset) as coming,
        ):
            for piece in incoming.pieces(request.environ):
                coming.add(piece)
        return _told(hub.uploads.look(g.caller, id))

    @routes.delete("/uploads/<id>")
    @may_call(EVERYONE)
    def give_up(id: str) -> Response:
        parameters.params(())
        hub.uploads.give_up(g.caller, id)
        return json_reply({"ok": True, "id": id})

    return routes


def _told(upload: Upload, status: int = 200) -> Reply:
    reply = json_reply(upload, status)
    reply.headers["Upload-Offset"] = str(upload["offset"])
    reply.headers["Upload-Length"] = str(upload["size"])
    return reply
