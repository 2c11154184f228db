"""What the OpenAPI document says of notices."""

from __future__ import annotations

from bus.model.answer import reference
from bus.model.notices import Notices, NoticesQuery, OneNotice
from bus.model.shape import Json
from bus.web.openapi.parts import errors, get


def paths() -> Json:
    """Return the description of each path."""
    listed = get(
        "What was told to services outside, newest first",
        reference(Notices),
        params=NoticesQuery.parameters(),
    )
    listed["responses"] |= errors(403)
    content = {"application/json": {"schema": reference(OneNotice)}}
    id = {"type": "string", "pattern": "^[0-9]{1,18}$"}
    retry = {
        "summary": "Send a dead letter again",
        "parameters": [{"name": "id", "in": "path", "required": True, "schema": id}],
        "responses": {
            "200": {"description": "OK", "content": content},
            **errors(400, 403, 404, 409, 429, 507),
        },
    }
    return {"/notices": {"get": listed}, "/notices/{id}/retry": {"post": retry}}
