"""What the OpenAPI document says of /api/me, /api/credentials, /api/invites and /api/join."""

from __future__ import annotations

from typing import Any

from bus.credentials.register import INVITE_S, MAX_INVITE_S, MAX_OVERLAP_S, OVERLAP_S
from bus.model.caller import RESERVED

Json = dict[str, Any]

# The names that nobody may take, in any letter case and however they are punctuated.
_RESERVED = "|".join(
    "[._-]*".join(f"[{char}{char.upper()}]" for char in name if char.isalpha()) + "[._-]*"
    for name in sorted(RESERVED)
)
_MACHINE: Json = {
    "type": "string",
    "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
    "not": {"pattern": f"^({_RESERVED})$"},
}
_KNOWN: Json = {"type": "string", "minLength": 1, "description": "as GET /api/credentials has it"}
_ROLE: Json = {"enum": ["shared", "member", "admin"]}
_ADMIN: Json = {
    "type": "boolean",
    "default": False,
    "description": "an admin may grant, revoke and manage containers",
}
_REPLACE: Json = {
    "type": "boolean",
    "default": False,
    "description": "exchange the secret of a name; without `admin`",
}
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
    """The operations by path and method."""
    add = {"name": _MACHINE, "admin": _ADMIN}
    lasts = {"type": "number", "minimum": 60, "maximum": MAX_INVITE_S, "default": INVITE_S}
    overlap = {"type": "number", "minimum": 0, "maximum": MAX_OVERLAP_S, "default": OVERLAP_S}
    return {
        "/api/me": {"get": _operation("Who the hub takes you for", 200, "Me", ())},
        "/api/credentials": {
            "get": _operation("Who may call, for admins", 200, "Credentials", (400, 403)),
            "post": _operation(
                "A credential for a machine, by an admin",
                201,
                "Granted",
                (409, 507),
                add,
                ("name",),
            ),
        },
        "/api/credentials/rotate": {
            "post": _operation(
                "A new secret: the caller's own, or by an admin anybody's",
                200,
                "Granted",
                (404, 507),
                {
                    "name": _KNOWN,
                    "overlap_s": {**overlap, "description": "so long the old one goes on"},
                },
            )
        },
        "/api/credentials/revoke": {
            "post": _operation(
                "Shut a name out, by an admin",
                200,
                "Revoked",
                (404, 409, 507),
                {"name": _KNOWN},
                ("name",),
            )
        },
        "/api/invites": {
            "post": _operation(
                "A code that makes one credential, by an admin",
                201,
                "Invite",
                (404, 409, 507),
                {**add, "expires_in_s": lasts, "replace": _REPLACE},
                ("name",),
            )
        },
        "/api/join": {
            "post": _operation(
                "Turn an invite into a credential; user `invite~ID`, password SECRET",
                201,
                "Granted",
                (409, 410, 507),
                {},
            )
        },
    }


def _operation(
    summary: str,
    status: int,
    schema: str,
    errors: tuple[int, ...],
    fields: Json | None = None,
    required: tuple[str, ...] = (),
) -> Json:
    statuses = (*errors, *(() if fields is None else (400, 403, 413, 415)), 401, 405, 429, 500, 503)
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
    if fields is not None:
        body = {
            "type": "object",
            "properties": fields,
            "required": list(required),
            "additionalProperties": False,
        }
        operation["requestBody"] = {
            "required": bool(required),
            "content": {"application/json": {"schema": body}},
        }
    return operation
