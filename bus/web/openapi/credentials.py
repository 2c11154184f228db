"""What the OpenAPI document says of /api/me, /api/credentials, /api/invites and /api/join."""

from __future__ import annotations

from typing import Any

from bus.model.credentials import Join, NewCredential, NewInvite, Revocation, Rotation
from bus.model.shape import Shape

Json = dict[str, Any]

_ROLE: Json = {"enum": ["shared", "member", "admin"]}
_TIME: Json = {"type": "string", "format": "date-time"}
_QUOTAS: Json = {
    name: {"type": "integer"} for name in ("requests", "waiting", "bytes_today", "names_today")
}
_ERROR: Json = {"$ref": "#/components/schemas/Error"}

SCHEMAS: Json = {
    "Me": {
        "type": "object",
        "required": ["ok", "name", "role", "verified"],
        "properties": {
            "ok": {"const": True},
            "name": {"type": "string"},
            "role": _ROLE,
            "verified": {"type": "boolean"},
        },
    },
    "Granted": {
        "type": "object",
        "required": ["ok", "name", "role", "secret"],
        "properties": {
            "ok": {"const": True},
            "name": {"type": "string"},
            "role": _ROLE,
            "secret": {"type": "string", "minLength": 28, "description": "shown this once"},
        },
    },
    "Credentials": {
        "type": "object",
        "required": ["ok", "credentials", "invites"],
        "properties": {
            "ok": {"const": True},
            "credentials": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["name", "role"],
                    "properties": {
                        "name": {"type": "string"},
                        "role": _ROLE,
                        "rotated_until": _TIME,
                        **_QUOTAS,
                    },
                },
            },
            "quotas": {"type": "object", "properties": _QUOTAS},
            "invites": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["name", "role", "expires"],
                    "properties": {"name": {"type": "string"}, "role": _ROLE, "expires": _TIME},
                },
            },
        },
    },
    "Invite": {
        "type": "object",
        "required": ["ok", "name", "role", "code", "expires", "line"],
        "properties": {
            "ok": {"const": True},
            "name": {"type": "string"},
            "role": _ROLE,
            "code": {"type": "string", "description": "ID.SECRET, shown this once"},
            "expires": _TIME,
            "line": {"type": "string", "description": "what to paste on the machine"},
        },
    },
    "Revoked": {
        "type": "object",
        "required": ["ok", "name"],
        "properties": {"ok": {"const": True}, "name": {"type": "string"}},
    },
}


def paths() -> Json:
    """Return the operations by path and method."""
    return {
        "/api/me": {"get": _operation("Who the hub takes you for", 200, "Me", ())},
        "/api/credentials": {
            "get": _operation("Who may call, for admins", 200, "Credentials", (400, 403)),
            "post": _operation(
                "A credential for a machine, by an admin",
                201,
                "Granted",
                (409, 507),
                NewCredential,
            ),
        },
        "/api/credentials/rotate": {
            "post": _operation(
                "A new secret: the caller's own, or by an admin anybody's",
                200,
                "Granted",
                (404, 507),
                Rotation,
            )
        },
        "/api/credentials/revoke": {
            "post": _operation(
                "Shut a name out, by an admin",
                200,
                "Revoked",
                (404, 409, 507),
                Revocation,
            )
        },
        "/api/invites": {
            "post": _operation(
                "A code that makes one credential, by an admin",
                201,
                "Invite",
                (404, 409, 507),
                NewInvite,
            )
        },
        "/api/join": {
            "post": _operation(
                "Turn an invite into a credential; user `invite~ID`, password SECRET",
                201,
                "Granted",
                (409, 410, 507),
                Join,
            )
        },
    }


def _operation(
    summary: str,
    status: int,
    schema: str,
    errors: tuple[int, ...],
    shape: type[Shape] | None = None,
) -> Json:
    statuses = (*errors, *(() if shape is None else (400, 403, 413, 415)), 401, 405, 429, 500, 503)
    answer = {
        "description": "OK",
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}},
    }
    refused = {
        "description": "see `error` and `hint`",
        "content": {"application/json": {"schema": _ERROR}},
    }
    operation: Json = {
        "summary": summary,
        "responses": {str(status): answer, **{str(code): refused for code in statuses}},
    }
    if shape is not None:
        body = shape.schema()
        operation["requestBody"] = {
            "required": bool(body["required"]),
            "content": {"application/json": {"schema": body}},
        }
    return operation
