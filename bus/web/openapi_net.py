"""What the OpenAPI document says of commands, files, containers, permissions, approvals and the feed."""

from __future__ import annotations

from typing import Any

from bus.model.activity import ActivityQuery
from bus.model.approvals import Answer, Answers, ApprovalQuery, ApprovalsQuery
from bus.model.calls import MAX_ARGV, MAX_COMMAND, MAX_ENV, MAX_PATH, MAX_TIMEOUT_S
from bus.model.checks import MAX_EXPIRY_S
from bus.model.grants import Grant
from bus.model.kinds import ULID_SCHEMA
from bus.model.permissions import CheckQuery, PermissionQuery

Json = dict[str, Any]

_PART = "[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_NOBODY: Json = {"not": {"pattern": "^([aA][nN][yY]|[aA][lL][lL])(/.*)?$"}}
_NAME: Json = {"type": "string", "pattern": f"^{_PART}(/{_PART})?$", **_NOBODY}
_FROM: Json = {
    **_NAME,
    "description": "the caller, which it is when left out, or one of its sessions",
}
_TARGET: Json = {"type": "string", "pattern": f"^{_PART}$", **_NOBODY}
_END: Json = {"oneOf": [{"const": "*"}, _TARGET]}
_KEY: Json = {
    "type": "string",
    "minLength": 1,
    "maxLength": 255,
    "pattern": "^[ -~]+$",
    "description": "the idempotency key",
}
_PATH: Json = {
    "type": "string",
    "maxLength": MAX_PATH,
    "pattern": r"^(/([A-Za-z0-9_][A-Za-z0-9_.-]*)?)+$",
    "description": "absolute; no `..`, no part that begins with a hyphen, no control character (the pattern is narrower)",
}
_ENCODING: Json = {"enum": ["utf-8", "base64"], "default": "utf-8"}
_SNAPSHOT: Json = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"}
_FLAG: Json = {"type": "boolean", "default": False}
_ID: Json = {"type": "integer", "minimum": 0, "maximum": 2**32 - 2}
_TEXT: Json = {"type": "string"}
# A format of our own: what is right both as text and as base64, whatever the encoding beside it says.
_BYTES: Json = {
    "type": "string",
    "format": "bus-bytes",
    "description": "text, or base64 where the encoding says so",
}
_WORD: Json = {"type": "string", "pattern": "^[!-~]+( [!-~]+)*$", "maxLength": 4096}
_COUNT: Json = {"type": "integer", "minimum": 0}
_SECONDS: Json = {"type": "number", "minimum": 1, "maximum": MAX_EXPIRY_S}
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

_EXEC: Json = {
    "from": _FROM,
    "target": _TARGET,
    "command": {
        "type": "string",
        "minLength": 1,
        "maxLength": MAX_COMMAND,
        "description": "for `bash -c`; this or `argv`",
    },
    "argv": {
        "type": "array",
        "prefixItems": [{"type": "string", "pattern": "^[A-Za-z0-9/_.]+$", "maxLength": MAX_PATH}],
        "items": _TEXT,
        "minItems": 1,
        "maxItems": MAX_ARGV,
        "description": "a program without a shell",
    },
    "timeout_s": {"type": "number", "minimum": 0.1, "maximum": MAX_TIMEOUT_S, "default": 30},
    "cwd": _PATH,
    "user": {
        "type": "string",
        "pattern": "^([A-Za-z_][A-Za-z0-9_.-]{0,31}|[0-9]{1,10}(:[0-9]{1,10})?)$",
    },
    "env": {
        "type": "object",
        "maxProperties": MAX_ENV,
        "patternProperties": {"^[A-Za-z_][A-Za-z0-9_]{0,127}$": _TEXT},
        "additionalProperties": False,
    },
    "stdin": _BYTES,
    "stdin_encoding": _ENCODING,
    "stream": _FLAG,
    "detach": _FLAG,
    "client_id": _KEY,
}
_READ: Json = {"from": _FROM, "target": _TARGET, "path": _PATH, "offset": _COUNT, "limit": _COUNT}
_WRITE: Json = {
    "from": _FROM,
    "target": _TARGET,
    "path": _PATH,
    "content": _BYTES,
    "encoding": _ENCODING,
    "mode": {"type": "string", "pattern": "^0?[0-7]{3,4}$"},
    "uid": _ID,
    "gid": _ID,
    "create_dirs": _FLAG,
    "if_sha256": {"type": "string", "pattern": "^([0-9a-f]{64})?$"},
    "client_id": _KEY,
}
_ACT: Json = {"from": _FROM, "name": _TARGET, "client_id": _KEY}
_ACTS: Json = {
    "start": (_ACT, ["name"]),
    "stop": (
        {
            **_ACT,
            "force": _FLAG,
            "timeout_s": {"type": "number", "minimum": 1, "maximum": 600, "default": 30},
        },
        ["name"],
    ),
    "snapshot": ({**_ACT, "snapshot": _SNAPSHOT}, ["name"]),
    "restore": (
        {**_ACT, "snapshot": _SNAPSHOT, "snapshot_first": {"type": "boolean", "default": True}},
        ["name", "snapshot"],
    ),
    "delete-snapshot": ({**_ACT, "snapshot": _SNAPSHOT}, ["name", "snapshot"]),
}


def paths() -> Json:
    """The operations by path and method."""
    runs = (202, 404, 409, 422, 429, 502, 507)
    state = _get("How a call is", "Ran", (404, 502), [_id()])
    found: Json = {
        "/api/exec": {"post": _exec(runs)},
        "/api/exec/{id}": {
            "get": state,
            "delete": _get("End a call that runs", "Ran", (404, 502), [_id()]),
        },
        "/api/file/read": {
            "post": _post("Read a file of a target", "File", _form(_READ, ["target", "path"]), runs)
        },
        "/api/file/write": {
            "post": _post(
                "Write a file of a target",
                "File",
                _form(_WRITE, ["target", "path", "content"]),
                runs,
            )
        },
        "/api/container/{id}": {"get": state},
        "/api/container/snapshots": {
            "get": _get(
                "The snapshots of a container, for admins",
                "Snapshots",
                (404, 409, 422, 502),
                [_name()],
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
    for act, (fields, required) in _ACTS.items():
        found[f"/api/container/{act}"] = {
            "post": _post(f"{act} a container, by an admin", "Acted", _form(fields, required), runs)
        }
    return found


def _exec(errors: tuple[int, ...]) -> Json:
    """One of `command` and `argv`, and not both of `stream` and `detach`."""
    forms = [
        _form(
            {name: schema for name, schema in _EXEC.items() if name not in (other, how)},
            ["target", wanted],
        )
        for wanted, other in (("command", "argv"), ("argv", "command"))
        for how in ("stream", "detach")
    ]
    return _post("Run a command in a target", "Ran", {"anyOf": forms}, errors)


def _form(fields: Json, required: list[str]) -> Json:
    return {
        "type": "object",
        "properties": fields,
        "required": required,
        "additionalProperties": False,
    }


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


def _name() -> Json:
    return {**_query("name", _TARGET), "required": True}


def _query(name: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "schema": schema}


def _id() -> Json:
    return {"name": "id", "in": "path", "required": True, "schema": ULID_SCHEMA}
