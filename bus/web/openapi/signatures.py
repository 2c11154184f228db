"""What the OpenAPI document says of signatures."""

from __future__ import annotations

from bus.model.answer import reference
from bus.model.shape import Json
from bus.model.signatures import NewSignature, Signature, SignatureQuery
from bus.web.openapi.parts import errors, get


def paths() -> Json:
    """Return the description of each path."""
    one = get("What a name signs with", reference(Signature), params=SignatureQuery.parameters())
    one["responses"] |= errors(403)
    content = {"application/json": {"schema": reference(Signature)}}
    return {
        "/signature": {
            "get": one,
            "put": {
                "summary": "Have the briefs of a name signed, or no longer",
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": NewSignature.schema()}},
                },
                "responses": {
                    "200": {"description": "OK", "content": content},
                    **errors(400, 403, 404, 413, 415, 429, 507),
                },
            },
        }
    }
