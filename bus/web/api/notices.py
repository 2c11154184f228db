"""Notices: what was told to services outside, and sending a dead letter again."""

from __future__ import annotations

from flask import Blueprint, Response

from bus.model.caller import ADMINS
from bus.model.notices import NoticesQuery, id_of
from bus.notices.desk import NoticeDesk
from bus.web.http import parameters
from bus.web.http.auth import may_call
from bus.web.http.replies import json_reply


def blueprint(desk: NoticeDesk) -> Blueprint:
    """The routes of notices."""
    routes = Blueprint("notices", __name__)

    @routes.get("/notices")
    @may_call(ADMINS)
    def listed() -> Response:
        return json_reply(dict(desk.listed(parameters.query(NoticesQuery))))

    @routes.post("/notices/<id>/retry")
    @may_call(ADMINS)
    def retry(id: str) -> Response:
        parameters.params(())
        return json_reply({"ok": True, "notice": desk.retry(id_of(id))})

    return routes
