"""What the OpenAPI document says of file leases."""

from __future__ import annotations

from bus.model.answer import reference
from bus.model.file_leases import (
    FileLeases,
    FileLeasesQuery,
    FilesCheck,
    FilesChecked,
    NewFileLease,
    OneFileLease,
    Release,
    Renewal,
)
from bus.model.kinds import ULID_SCHEMA
from bus.model.shape import Json
from bus.web.openapi.parts import errors, get


def paths() -> Json:
    """Return the description of each path."""
    took = _change("Hold files of a repository", OneFileLease, NewFileLease.schema())
    took["responses"]["201"] = took["responses"]["200"]
    check = get(
        "Which of these files others hold",
        reference(FilesChecked),
        params=FilesCheck.parameters(),
    )
    check["responses"] |= errors(403)
    return {
        "/leases": {
            "get": get(
                "The leases of files that hold",
                reference(FileLeases),
                text=True,
                params=FileLeasesQuery.parameters(),
            ),
            "post": took,
        },
        "/leases/check": {
            "get": check,
            "post": _change("Which of these files others hold", FilesChecked, FilesCheck.schema()),
        },
        "/leases/{lease_id}/renew": {
            "post": _change("Prolong a lease", OneFileLease, Renewal.schema(), of_one=True)
        },
        "/leases/{lease_id}/release": {
            "post": _change("End a lease", OneFileLease, Release.schema(), of_one=True)
        },
    }


def _change(summary: str, answer: type, schema: Json, *, of_one: bool = False) -> Json:
    content = {"application/json": {"schema": reference(answer)}}
    lease = {"name": "lease_id", "in": "path", "required": True, "schema": ULID_SCHEMA}
    return {
        "summary": summary,
        "parameters": [lease] if of_one else [],
        "requestBody": {
            "required": bool(schema["required"]),
            "content": {"application/json": {"schema": schema}},
        },
        "responses": {
            "200": {"description": "OK", "content": content},
            **errors(400, 403, 404, 409, 413, 415, 429, 507),
        },
    }
