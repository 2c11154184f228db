"""What the descriptions of routes are made of."""

from __future__ import annotations

from bus.model.answer import Error, reference
from bus.model.kinds import REFERENCE_TEXT
from bus.model.shape import Json


def get(
    summary: str,
    schema: Json,
    *,
    text: bool = False,
    params: list[Json] | None = None,
    extra: Json | None = None,
) -> Json:
    content: Json = {"application/json": {"schema": schema}}
    if text:
        content["text/plain"] = {"schema": {"type": "string"}}
    responses = {"200": {"description": "OK", "content": content}, **errors(400, 404)}
    for status, other in (extra or {}).items():
        responses[status] = {
            "description": "see `ok`",
            "content": {"application/json": {"schema": {"anyOf": [other, reference(Error)]}}},
        }
    return {"summary": summary, "parameters": params or [], "responses": responses}


def page(summary: str, media: str) -> Json:
    return {
        "summary": summary,
        "responses": {
            "200": {"description": "OK", "content": {media: {"schema": {"type": "string"}}}},
            **errors(404),
        },
    }


def errors(*statuses: int) -> Json:
    content = {"application/json": {"schema": reference(Error)}}
    return {
        str(status): {"description": "see `error` and `hint`", "content": content}
        for status in (*statuses, 401, 405, 500, 503)
    }


def path_ref() -> Json:
    return {
        "name": "ref",
        "in": "path",
        "required": True,
        "schema": REFERENCE_TEXT.schema,
        "description": "id or seq of a message",
    }


def any_object() -> Json:
    return {"type": "object"}
