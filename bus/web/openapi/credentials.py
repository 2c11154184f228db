"""What the OpenAPI document says of /api/me, /api/credentials, /api/invites and /api/join."""

from __future__ import annotations

from bus.model.answer import reference
from bus.model.credentials import (
    Granted,
    Invite,
    Join,
    Listing,
    Me,
    NewCredential,
    NewInvite,
    Revocation,
    Revoked,
    Rotation,
)
from bus.model.shape import Json, Shape
from bus.web.openapi import parts


def paths() -> Json:
    """Return the operations by path and method."""
    return {
        "/api/me": {"get": _operation("Who the hub takes you for", 200, Me, ())},
        "/api/credentials": {
            "get": _operation("Who may call, for admins", 200, Listing, (400, 403)),
            "post": _operation(
                "A credential for a machine, by an admin",
                201,
                Granted,
                (409, 507),
                NewCredential,
            ),
        },
        "/api/credentials/rotate": {
            "post": _operation(
                "A new secret: the caller's own, or by an admin anybody's",
                200,
                Granted,
                (404, 507),
                Rotation,
            )
        },
        "/api/credentials/revoke": {
            "post": _operation(
                "Shut a name out, by an admin",
                200,
                Revoked,
                (404, 409, 507),
                Revocation,
            )
        },
        "/api/invites": {
            "post": _operation(
                "A code that makes one credential, by an admin",
                201,
                Invite,
                (404, 409, 507),
                NewInvite,
            )
        },
        "/api/join": {
            "post": _operation(
                "Turn an invite into a credential; user `invite~ID`, password SECRET",
                201,
                Granted,
                (409, 410, 507),
                Join,
            )
        },
    }


def _operation(
    summary: str,
    status: int,
    answer: type,
    errors: tuple[int, ...],
    shape: type[Shape] | None = None,
) -> Json:
    statuses = (*errors, *(() if shape is None else (400, 403, 413, 415)), 429)
    given = {"description": "OK", "content": {"application/json": {"schema": reference(answer)}}}
    operation: Json = {
        "summary": summary,
        "responses": {str(status): given, **parts.errors(*statuses)},
    }
    if shape is not None:
        body = shape.schema()
        operation["requestBody"] = {
            "required": bool(body["required"]),
            "content": {"application/json": {"schema": body}},
        }
    return operation
