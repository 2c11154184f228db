"""What the OpenAPI document says of commands, files, containers, permissions, approvals and the
feed.
"""

from __future__ import annotations

from bus.model.activity import ActivityQuery, Containers, Feed, Machines
from bus.model.answer import reference
from bus.model.approvals import (
    Answer,
    Answers,
    ApprovalQuery,
    Approvals,
    ApprovalsQuery,
    OneApproval,
)
from bus.model.calls import (
    ACTS,
    Acted,
    Exec,
    File,
    FileRead,
    FileWrite,
    Ran,
    Snapshots,
    SnapshotsQuery,
)
from bus.model.grants import Grant
from bus.model.kinds import ULID_SCHEMA
from bus.model.permissions import CheckQuery, Decided, PermissionQuery, Permissions, Permitted
from bus.model.shape import Json
from bus.web.openapi import parts


def paths() -> Json:
    """Return the operations by path and method."""
    runs = (202, 404, 409, 422, 429, 502, 507)
    state = _get("How a call is", Ran, (404, 502), [_id()])
    found: Json = {
        "/api/exec": {"post": _post("Run a command in a target", Ran, Exec.schema(), runs)},
        "/api/exec/{id}": {
            "get": state,
            "delete": _get("End a call that runs", Ran, (404, 502), [_id()]),
        },
        "/api/exec/{id}/stdout": {"get": _output()},
        "/api/file/read": {"post": _post("Read a file of a target", File, FileRead.schema(), runs)},
        "/api/file/write": {
            "post": _post(
                "Write a file of a target",
                File,
                FileWrite.schema(),
                runs,
            )
        },
        "/api/container/{id}": {"get": state},
        "/api/container/snapshots": {
            "get": _get(
                "The snapshots of a container, for admins",
                Snapshots,
                (404, 409, 422, 502),
                SnapshotsQuery.parameters(),
            )
        },
        "/api/containers": {"get": _get("The containers, for admins", Containers, (502,), [])},
        "/api/machines": {"get": _get("Every name that is known", Machines, (502,), [])},
        "/api/permit": {
            "post": _post("Allow or deny, by an admin", Permitted, Grant.schema(), (507,))
        },
        "/api/permissions": {
            "get": _get("The permissions", Permissions, (), PermissionQuery.parameters())
        },
        "/api/permissions/check": {
            "get": _get("Which permission decides", Decided, (), CheckQuery.parameters())
        },
        "/api/approvals": {
            "get": _get("Questions to admins", Approvals, (), ApprovalsQuery.parameters()),
            "post": _post("An admin's answer to several", Approvals, Answers.schema(), (404, 507)),
        },
        "/api/approvals/{id}": {
            "get": _get("One question", OneApproval, (404,), [_id(), *ApprovalQuery.parameters()]),
            "post": {
                **_post("An admin's answer", OneApproval, Answer.schema(), (404, 409, 507)),
                "parameters": [_id()],
            },
        },
        "/api/activity": {
            "get": _get("What happened, newest last", Feed, (), ActivityQuery.parameters())
        },
    }
    for act, shape in ACTS.items():
        found[f"/api/container/{act}"] = {
            "post": _post(f"{act} a container, by an admin", Acted, shape.schema(), runs)
        }
    return found


def _post(summary: str, answer: type, body: Json, errors: tuple[int, ...]) -> Json:
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": _responses(answer, (*errors, 413, 415)),
    }


def _get(summary: str, answer: type, errors: tuple[int, ...], parameters: list[Json]) -> Json:
    return {"summary": summary, "parameters": parameters, "responses": _responses(answer, errors)}


def _responses(answer: type, errors: tuple[int, ...]) -> Json:
    content: Json = {"application/json": {"schema": reference(answer)}}
    if answer is Ran:
        content["application/x-ndjson"] = {"schema": {}}
    later = {
        "description": "it runs on, or an admin is asked: see `state`",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
    return {
        "200": {"description": "OK", "content": content},
        **parts.errors(400, 403, *(code for code in errors if code != 202)),
        **({"202": later} if 202 in errors else {}),
    }


def _output() -> Json:
    content: Json = {"application/octet-stream": {"schema": {}}}
    return {
        "summary": "The standard output of a command, or a range of it",
        "parameters": [_id()],
        "responses": {
            "200": {"description": "all of it", "content": content},
            "206": {"description": "the range that `Range` asks for", "content": content},
            **parts.errors(400, 403, 404, 409, 416, 502),
        },
    }


def _id() -> Json:
    return {"name": "id", "in": "path", "required": True, "schema": ULID_SCHEMA}
