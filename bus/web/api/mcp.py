"""POST /mcp: the bus as an MCP server; its tools call the hub's own routes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from flask import Blueprint, Response, g, request

from bus.hub.hub import Hub
from bus.mcp import server
from bus.mcp.session import Session
from bus.model import checks
from bus.model.caller import EVERYONE, Taken
from bus.model.calls import EXEC, FILE_WRITE
from bus.model.strict_json import Rest
from bus.web.http import body, parameters
from bus.web.http.auth import may_call
from bus.web.http.replies import Reply, json_reply
from bus.web.http.speaking import spoken_name

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment


def blueprint(hub: Hub, taken: Taken, inner: WSGIApplication, rest: Rest) -> Blueprint:
    """The route of MCP. `inner` is the hub without the count of requests: what a tool asks of it is
    part of this request, which is counted. `rest` lets others go on while a large one is read.
    """
    routes = Blueprint("mcp", __name__)

    @routes.post("/mcp")
    @may_call(EVERYONE)
    def mcp() -> Response:
        asked = parameters.query(server.McpQuery)
        name = spoken_name(asked.name, taken)
        hub.credentials.use_name(g.caller, name)
        outer = request.environ
        session = Session(
            name,
            g.caller.role,
            lambda *asked: _asked(inner, outer, *asked),
            lambda: hub.inbox.count(name, "/" in name),
            lambda found: hub.proofs.reference(found["seq"], found["id"], name),
            _key(),
            rest,
        )
        status, answer = server.answer(body.read_body(_limit(hub)), asked.profile, session, rest)
        return Reply(status=status) if answer is None else json_reply(answer, status)

    return routes


def _key() -> str | None:
    key = request.environ.get("HTTP_IDEMPOTENCY_KEY")
    return None if key is None else checks.key(key, "Idempotency-Key")


def _limit(hub: Hub) -> int:
    """Return how long a request may be: only those who may use files somewhere send long ones."""
    may = any(hub.permissions.may_anywhere(g.caller, act) for act in (EXEC, FILE_WRITE))
    return body.MAX_CALL if body.is_over(body.MAX_REQUEST) and may else body.MAX_REQUEST


# What a request within a request has of the one around it
_KEPT = (
    *("HTTP_AUTHORIZATION", "HTTP_HOST", "REMOTE_ADDR", "SERVER_NAME", "SERVER_PORT"),
    *("SERVER_PROTOCOL", "wsgi.url_scheme", "wsgi.errors", "wsgi.multithread"),
    *("wsgi.multiprocess", "wsgi.version", "gunicorn.socket"),
)


def _asked(
    inner: WSGIApplication,
    outer: WSGIEnvironment,
    method: str,
    path: str,
    params: Mapping[str, Any],
    fields: Mapping[str, Any] | None,
) -> tuple[int, dict[str, Any]]:
    """Return what a route answers to the caller of the request around it."""
    data = b"" if fields is None else json.dumps(fields).encode()
    environ: WSGIEnvironment = {name: outer[name] for name in _KEPT if name in outer}
    environ |= {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": urlencode(params),
        "CONTENT_LENGTH": str(len(data)),
        "wsgi.input": BytesIO(data),
        "wsgi.run_once": False,
        "HTTP_ACCEPT": "application/json",
    }
    if fields is not None:
        environ["CONTENT_TYPE"] = "application/json"
    status = ["500"]

    def start(line: str, headers: list[tuple[str, str]], info: Any = None) -> Any:
        status[0] = line

    chunks = inner(environ, start)
    try:
        text = b"".join(chunks)
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            close()
    return int(status[0].split()[0]), json.loads(text)
