"""What the OpenAPI document says of commands, files, containers, permissions, approvals and the
feed.
"""

from __future__ import annotations

from typing import Any

from bus.model.activity import ActivityQuery
from bus.model.approvals import Answer, Answers, ApprovalQuery, ApprovalsQuery
from bus.model.calls import ACTS, Exec, FileRead, FileWrite, SnapshotsQuery
from bus.model.grants import Grant
from bus.model.kinds import ULID_SCHEMA
from bus.model.permissions import CheckQuery, PermissionQuery

Json = dict[str, Any]

_ENCODING: Json = {"enum": ["utf-8", "base64"]}
_TEXT: Json = {"type": "string"}
_COUNT: Json = {"type": "integer", "minimum": 0}
_ERROR: Json = {"$ref": "#/components/schemas/Error"}
_OK: Json = {"ok": {"type": "boolean"}}
_STATE: Json = {"enum": ["running", "done", "denied", "error", "unknown"]}

SCHEMAS: Json = {
    "Ran": {
        "type": "object",
        "required": ["ok", "id"],
        "properties": {
            **_OK,
            "id": _TEXT,
            "state": _STATE,
            "exitCode": {"type": ["integer", "null"]},
            "stdout": {"type": ["string", "null"]},
            "stderr": {"type": ["string", "null"]},
            "stdout_encoding": _ENCODING,
            "stderr_encoding": _ENCODING,
            "stdout_size": _COUNT,
            "stderr_size": _COUNT,
            "duration_ms": _COUNT,
            "truncated": {"type": "boolean"},
            "timed_out": {"type": "boolean"},
            "cancelled": {"type": "boolean"},
            "leaked": {"type": ["integer", "null"], "minimum": 0},
            "reason": _TEXT,
            "replayed": {"type": "boolean"},
        },
    },
    "File": {
        "type": "object",
        "required": ["ok", "id", "size", "sha256", "mode", "uid", "gid"],
        "properties": {
            **_OK,
            "id": _TEXT,
            "content": _TEXT,
            "encoding": _ENCODING,
            "offset": _COUNT,
            "size": _COUNT,
            "sha256": {"type": ["string", "null"]},
            "mode": _TEXT,
            "uid": _COUNT,
            "gid": _COUNT,
            "replayed": {"type": "boolean"},
        },
    },
    "Acted": {
        "type": "object",
        "required": ["ok", "id"],
        "properties": {
            **_OK,
            "id": _TEXT,
            "name": _TEXT,
            "state": _STATE,
            "changed": {"type": "boolean"},
            "snapshot": _TEXT,
            "saved": _TEXT,
            "removed": {"type": "array", "items": _TEXT},
            "replayed": {"type": "boolean"},
        },
    },
    "Snapshots": {
        "type": "object",
        "required": ["ok", "name", "snapshots"],
        "properties": {
            **_OK,
            "name": _TEXT,
            "snapshots": {
                "type": "array",
                "items": {"type": "object", "required": ["name", "made", "by_restore"]},
            },
        },
    },
    "Rule": {
        "type": "object",
        "required": ["source", "target", "allow", "by", "granted"],
        "properties": {
            "source": _TEXT,
            "target": _TEXT,
            "allow": {"type": ["boolean", "null"]},
            "by": _TEXT,
            "granted": _TEXT,
            "unknown": {
                "type": "object",
                "description": "of POST /api/permit: what is wrong with a name, by its field",
            },
        },
    },
    "Permission": {
        "type": "object",
        "required": ["ok", "permission"],
        "properties": {**_OK, "permission": {"$ref": "#/components/schemas/Rule"}},
    },
    "Permissions": {
        "type": "object",
        "required": ["ok", "permissions"],
        "properties": {
            **_OK,
            "permissions": {"type": "array", "items": {"$ref": "#/components/schemas/Rule"}},
        },
    },
    "Decision": {
        "type": "object",
        "required": ["ok", "allowed", "reason", "rule"],
        "properties": {
            **_OK,
            "allowed": {"type": "boolean"},
            "reason": _TEXT,
            "rule": {"type": ["object", "null"]},
        },
    },
    "Approval": {
        "type": "object",
        "required": ["id", "state", "action", "from", "target", "asked", "expires", "hash"],
        "properties": {
            "id": _TEXT,
            "state": {"enum": ["pending", "allowed", "denied", "used", "expired"]},
        },
    },
    "OneApproval": {
        "type": "object",
        "required": ["ok", "approval"],
        "properties": {**_OK, "approval": {"$ref": "#/components/schemas/Approval"}},
    },
    "Approvals": {
        "type": "object",
        "required": ["ok", "approvals"],
        "properties": {
            **_OK,
            "approvals": {"type": "array", "items": {"$ref": "#/components/schemas/Approval"}},
            "has_more": {"type": "boolean"},
        },
    },
    "Activity": {
        "type": "object",
        "required": ["ok", "events", "has_more", "next"],
        "properties": {
            **_OK,
            "events": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["seq", "id", "time", "from", "type", "target", "result"],
                },
            },
            "has_more": {"type": "boolean"},
            "next": _COUNT,
        },
    },
    "Machines": {
        "type": "object",
        "required": ["ok", "machines", "unavailable"],
        "properties": {
            **_OK,
            "has_more": {"type": "boolean"},
            "machines": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["name", "kind", "driver", "state", "online", "last_seen"],
                },
            },
            "unavailable": {"type": "object"},
        },
    },
    "Containers": {
        "type": "object",
        "required": ["ok", "containers", "unavailable"],
        "properties": {
            **_OK,
            "containers": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["name", "driver", "state", "addresses", "snapshots"],
                },
            },
            "unavailable": {"type": "object"},
        },
    },
}


def paths() -> Json:
    """Return the operations by path and method."""
    runs = (202, 404, 409, 422, 429, 502, 507)
    state = _get("How a call is", "Ran", (404, 502), [_id()])
    found: Json = {
        "/api/exec": {"post": _post("Run a command in a target", "Ran", Exec.schema(), runs)},
        "/api/exec/{id}": {
            "get": state,
            "delete": _get("End a call that runs", "Ran", (404, 502), [_id()]),
        },
        "/api/file/read": {
            "post": _post("Read a file of a target", "File", FileRead.schema(), runs)
        },
        "/api/file/write": {
            "post": _post(
                "Write a file of a target",
                "File",
                FileWrite.schema(),
                runs,
            )
        },
        "/api/container/{id}": {"get": state},
        "/api/container/snapshots": {
            "get": _get(
                "The snapshots of a container, for admins",
                "Snapshots",
                (404, 409, 422, 502),
                SnapshotsQuery.parameters(),
            )
        },
        "/api/containers": {"get": _get("The containers, for admins", "Containers", (502,), [])},
        "/api/machines": {"get": _get("Every name that is known", "Machines", (502,), [])},
        "/api/permit": {
            "post": _post("Allow or deny, by an admin", "Permission", Grant.schema(), (507,))
        },
        "/api/permissions": {
            "get": _get("The permissions", "Permissions", (), PermissionQuery.parameters())
        },
        "/api/permissions/check": {
            "get": _get("Which permission decides", "Decision", (), CheckQuery.parameters())
        },
        "/api/approvals": {
            "get": _get("Questions to admins", "Approvals", (), ApprovalsQuery.parameters()),
            "post": _post(
                "An admin's answer to several", "Approvals", Answers.schema(), (404, 507)
            ),
        },
        "/api/approvals/{id}": {
            "get": _get(
                "One question", "OneApproval", (404,), [_id(), *ApprovalQuery.parameters()]
            ),
            "post": {
                **_post("An admin's answer", "OneApproval", Answer.schema(), (404, 409, 507)),
                "parameters": [_id()],
            },
        },
        "/api/activity": {
            "get": _get("What happened, newest last", "Activity", (), ActivityQuery.parameters())
        },
    }
    for act, shape in ACTS.items():
        found[f"/api/container/{act}"] = {
            "post": _post(f"{act} a container, by an admin", "Acted", shape.schema(), runs)
        }
    return found


def _post(summary: str, schema: str, body: Json, errors: tuple[int, ...]) -> Json:
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": _responses(schema, (*errors, 413, 415)),
    }


def _get(summary: str, schema: str, errors: tuple[int, ...], parameters: list[Json]) -> Json:
    return {"summary": summary, "parameters": parameters, "responses": _responses(schema, errors)}


def _responses(schema: str, errors: tuple[int, ...]) -> Json:
    answer = {
        "description": "OK",
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}},
    }
    if schema == "Ran":
        answer["content"]["application/x-ndjson"] = {"schema": {}}  # type: ignore[index]
    refused = {
        "description": "see `error` and `hint`",
        "content": {"application/json": {"schema": _ERROR}},
    }
    later = {
        "description": "it runs on, or an admin is asked: see `state`",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
    statuses = (400, 401, 403, 405, 500, 503, *errors)
    return {"200": answer, **{str(code): later if code == 202 else refused for code in statuses}}


def _id() -> Json:
    return {"name": "id", "in": "path", "required": True, "schema": ULID_SCHEMA}
