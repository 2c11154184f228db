"""What the OpenAPI document says of the digest."""

from __future__ import annotations

from bus.model.answer import reference
from bus.model.digest import Digest, DigestAck, DigestQuery
from bus.model.shape import Json, object_schema
from bus.web.openapi.parts import errors, get


def paths() -> Json:
    """Return the description of each path."""
    answer = {"application/json": {"schema": reference(Digest)}}
    return {
        "/digest": {
            "get": get(
                "What is unread in few words, and what is to be done",
                reference(Digest),
                text=True,
                params=DigestQuery.parameters(),
            ),
            "post": {
                "summary": "The same; with `ack`, what it shows is acknowledged",
                "requestBody": {
                    "required": False,
                    "content": {
                        "application/json": {"schema": {**object_schema(DigestAck), "required": []}}
                    },
                },
                "responses": {
                    "200": {"description": "OK", "content": answer},
                    **errors(400, 403, 413, 415, 429, 507),
                },
            },
        }
    }
