"""The questions to admins: GET and POST /api/approvals."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flask import Blueprint, Response, g

from bus.errors import NotAllowed
from bus.hub.hub import Hub
from bus.model.approvals import Answer, Answers, ApprovalQuery, ApprovalsQuery
from bus.model.caller import ADMINS, MACHINES
from bus.web.http import body, parameters
from bus.web.http.auth import may_call
from bus.web.http.replies import json_reply


def blueprint(hub: Hub) -> Blueprint:
    """The routes about approvals."""
    routes = Blueprint("approvals", __name__)

    @routes.get("/api/approvals")
    @may_call(MACHINES)
    def approvals() -> Response:
        asked = parameters.query(ApprovalsQuery)
        found, has_more = hub.approvals.shown(g.caller, asked.state, asked.sender)
        return json_reply({"ok": True, "approvals": found, "has_more": has_more})

    @routes.post("/api/approvals")
    @may_call(ADMINS, call_type="permit")
    def answer_all() -> Response:
        said = Answers.read(body.call_fields())
        with _own_is_on_record(f"approve {' '.join(said.ids)}"):
            found = hub.approvals.answer_all(g.caller, said.ids, said.allow, said.expires_in_s)
            return json_reply({"ok": True, "approvals": found})

    @routes.get("/api/approvals/<id>")
    @may_call(MACHINES)
    def approval(id: str) -> Response:
        wait_s = parameters.query(ApprovalQuery).wait
        found = hub.approvals.wait(g.caller, id, wait_s or 0, g.check)
        return json_reply({"ok": True, "approval": found})

    @routes.post("/api/approvals/<id>")
    @may_call(ADMINS, call_type="permit")
    def answer(id: str) -> Response:
        said = Answer.read(body.call_fields())
        with _own_is_on_record(f"approve {id[:26]}"):
            found = hub.approvals.answer(g.caller, id, said.allow, said.expires_in_s)
            return json_reply({"ok": True, "approval": found})

    @contextmanager
    def _own_is_on_record(what: str) -> Iterator[None]:
        try:
            yield
        except NotAllowed:
            hub.calls.refused_at_door(g.caller, "permit", what)
            raise

    return routes
