"""Commands, files and containers: POST /api/exec, /api/file/*, /api/container/*, and how a call is.

The worker proves the caller, checks the size and the shape, and passes the request on. The runner
decides whether the call may be made; while it is away, nobody does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

from flask import Blueprint, Response, g, request

from bus.errors import (
    BusError,
    ExecUnavailable,
    NoSuchCall,
    NoSuchRange,
    NotPermitted,
    StillRunning,
)
from bus.hub.hub import Hub
from bus.model import calls
from bus.model.caller import ADMINS, MACHINES
from bus.model.calls import CONTAINER, EXEC, FILE_READ, FILE_WRITE, Call, SnapshotsQuery
from bus.model.evidence import output_of
from bus.model.strict_json import Rest
from bus.runner.client import RunnerClient
from bus.runner.protocol import Line, encoded, error_line
from bus.web.http import body, parameters
from bus.web.http.auth import may_call
from bus.web.http.errors import error_reply
from bus.web.http.replies import Reply, json_reply


def blueprint(hub: Hub, service: RunnerClient, max_file: int, rest: Rest) -> Blueprint:
    """The routes that make calls. `rest` lets others go on while a large one is read."""
    routes = Blueprint("calls", __name__)

    def limit(type: str) -> int:
        """Return how long a body may be.

        The runner decides about the call. This early look only spares the worker: it reads a file,
        or the input of a command, for callers who may do such a thing somewhere. A short body is
        read for everybody: it says which target it is about, and the refusal is recorded with that.
        """
        if type not in (EXEC, FILE_WRITE):
            return body.MAX_REQUEST
        if body.is_over(body.MAX_REQUEST) and not hub.permissions.may_anywhere(g.caller, type):
            hub.calls.refused_at_door(
                g.caller,
                type,
                f"{request.method} {request.path}, {request.content_length or 'many'} bytes",
            )
            raise NotPermitted(
                f"{g.caller.name} may not {type} on any target.", action=type, rule=None
            )
        return body.MAX_CALL

    def made(type: str, act: str = "") -> Response:
        fields = body.call_fields(limit(type), rest)
        call = calls.check(type, fields, max_file, act)
        asked = _ask("call", type=type, act=act, fields=fields)
        with _begun_before(lambda: hub.calls.was_made(g.caller, call)):
            return (
                _streamed(service, asked)
                if call.stream
                else _reply(call, service.ask(asked)["result"])
            )

    @routes.post("/api/exec")
    @may_call(MACHINES, call_type=EXEC)
    def exec() -> Response:
        return made(EXEC)

    @routes.post("/api/file/read")
    @may_call(MACHINES, call_type=FILE_READ)
    def read() -> Response:
        return made(FILE_READ)

    @routes.post("/api/file/write")
    @may_call(MACHINES, call_type=FILE_WRITE)
    def write() -> Response:
        return made(FILE_WRITE)

    @routes.post("/api/container/start")
    @may_call(ADMINS, call_type=CONTAINER)
    def start() -> Response:
        return made(CONTAINER, "start")

    @routes.post("/api/container/stop")
    @may_call(ADMINS, call_type=CONTAINER)
    def stop() -> Response:
        return made(CONTAINER, "stop")

    @routes.post("/api/container/snapshot")
    @may_call(ADMINS, call_type=CONTAINER)
    def snapshot() -> Response:
        return made(CONTAINER, "snapshot")

    @routes.post("/api/container/restore")
    @may_call(ADMINS, call_type=CONTAINER)
    def restore() -> Response:
        return made(CONTAINER, "restore")

    @routes.post("/api/container/delete-snapshot")
    @may_call(ADMINS, call_type=CONTAINER)
    def delete_snapshot() -> Response:
        return made(CONTAINER, "delete-snapshot")

    @routes.get("/api/container/snapshots")
    @may_call(ADMINS)
    def snapshots() -> Response:
        target = parameters.query(SnapshotsQuery).name
        found = service.ask(_ask("snapshots", name=target))["result"]
        return json_reply({"ok": True, "name": target, "snapshots": found})

    @routes.get("/api/exec/<id>")
    @routes.get("/api/container/<string(length=26):id>")  # `start` and its siblings are for POST
    @may_call(MACHINES)
    def state(id: str) -> Response:
        parameters.params(())
        found = hub.calls.get(g.caller, id)
        asked: Line = {
            name: found.asked[name]
            for name in ("type", "from", "target", "command", "argv", "path")
            if name in found.asked
        }
        with _begun_before(lambda: True):
            answer = service.ask(_ask("state", id=id))["result"]
        return json_reply(
            {
                "ok": True,
                "id": found.asked["call"],
                **asked,
                "asked": found.asked["ts"],
                **_state_shown(answer),
            }
        )

    @routes.get("/api/exec/<id>/stdout")
    @may_call(MACHINES)
    def stdout(id: str) -> Response:
        parameters.params(())
        found = hub.calls.get(g.caller, id)
        with _begun_before(lambda: True):
            answer = service.ask(_ask("state", id=found.asked["call"]))["result"]
        if answer.get("state") == "running":
            raise StillRunning(f"The call {id} has not ended.", id=found.asked["call"])
        output = output_of(answer)
        if output is None:
            raise NoSuchCall(
                f"There is no output of the call {id}.",
                hint="It failed, or its output is kept no longer: see GET /api/exec/<id>.",
            )
        return _part_of(output)

    @routes.delete("/api/exec/<id>")
    @may_call(MACHINES)
    def end(id: str) -> Response:
        parameters.params(())
        found = hub.calls.get(g.caller, id)
        return json_reply(service.ask(_ask("stop", id=found.asked["call"]))["result"])

    return routes


def _part_of(output: bytes) -> Response:
    """Return bytes, or the range of them that the request asks for; raises NoSuchRange."""
    size, given = len(output), request.range
    headers = {"Accept-Ranges": "bytes"}
    if given is None or given.units != "bytes" or len(given.ranges) != 1:
        return Reply(output, 200, headers, mimetype="application/octet-stream")
    part = given.range_for_length(size)
    if part is None:
        raise NoSuchRange(f"There are {size} bytes.", size=size)
    headers["Content-Range"] = f"bytes {part[0]}-{part[1] - 1}/{size}"
    data = output[part[0] : part[1]]
    return Reply(data, 206, headers, mimetype="application/octet-stream")


@contextmanager
def _begun_before(was_begun: Callable[[], bool]) -> Iterator[None]:
    """Say of an absent service that it ran nothing, unless the call was begun before."""
    try:
        yield
    except ExecUnavailable as error:
        if was_begun():
            error.hint = (
                "This call was begun before. How it ended is known when the service runs again:"
                " ask then, with the same key."
            )
        raise


def _ask(op: str, **more: Any) -> Line:
    """Return a request to the service, with the credential that came with this one."""
    return {"op": op, "authorization": request.environ.get("HTTP_AUTHORIZATION"), **more}


def _reply(call: Call, answer: Line) -> Response:
    return json_reply(answer, 202 if answer.get("state") == "running" else 200)


def _state_shown(answer: Line) -> Line:
    """Return how a call is; one that ended with an error says so, and is no error of this
    request.
    """
    if "status" not in answer:
        return answer
    error = answer["error"]
    return {
        "state": "error",
        "error": error["error"],
        "message": error["message"],
        "hint": error["hint"],
        "ok": False,
    }


def _streamed(service: RunnerClient, asked: Line) -> Response:
    """The lines of a running command as they come.

    What fails before the first is an answer of its own.
    """
    lines = service.lines(asked)
    try:
        first = next(lines, None)
    except BusError as error:
        return error_reply(error)

    def chunks() -> Iterator[bytes]:
        with closing(lines):
            yield encoded(first)
            try:
                for line in lines:
                    yield encoded(line)
            except BusError as error:
                yield encoded(error_line(error))

    reply = Reply(chunks(), mimetype="application/x-ndjson")
    reply.headers["X-Accel-Buffering"] = "no"
    reply.call_on_close(lines.close)
    return reply
