"""What the OpenAPI document says of roles."""

from __future__ import annotations

from bus.model.answer import reference
from bus.model.named import Named
from bus.model.roles import ROLE_SCHEMA, OneRole, Roles, RolesQuery
from bus.model.shape import Json
from bus.web.openapi.parts import errors, get


def paths() -> Json:
    """Return the description of each path."""
    return {
        "/roles": {
            "get": get(
                "Roles, with their holders",
                reference(Roles),
                text=True,
                params=RolesQuery.parameters(),
            )
        },
        "/roles/{role_name}/claim": {"post": _change("Claim a role")},
        "/roles/{role_name}/release": {"post": _change("End a claim")},
    }


def _change(summary: str) -> Json:
    role = {"name": "role_name", "in": "path", "required": True, "schema": ROLE_SCHEMA}
    content = {"application/json": {"schema": reference(OneRole)}}
    body = {"application/json": {"schema": Named.schema()}}
    return {
        "summary": summary,
        "parameters": [role],
        "requestBody": {"required": False, "content": body},
        "responses": {
            "200": {"description": "OK", "content": content},
            **errors(400, 403, 404, 413, 415, 429, 507),
        },
    }
