"""What the descriptions of routes are made of."""

from __future__ import annotations

from typing import Any

from bus.model.filter import DEFAULT_LIMIT, MAX_LIMIT
from bus.model.kinds import NAME_SCHEMA, REFERENCE_TEXT, TAG, THREAD
from bus.model.messages import TO_ONE

Json = dict[str, Any]

READER: Json = {
    **NAME_SCHEMA,
    "description": "who acknowledges; left out: the caller. Required of the shared user",
}
TS: Json = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"}
TIME: Json = {"oneOf": [TS, {"type": "null"}]}


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
            "content": {"application/json": {"schema": {"anyOf": [other, ref("Error")]}}},
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
    content = {"application/json": {"schema": ref("Error")}}
    return {
        str(status): {"description": "see `error` and `hint`", "content": content}
        for status in (*statuses, 401, 405, 500, 503)
    }


def filters() -> list[Json]:
    return [
        param("to", TO_ONE.schema, "this recipient, and broadcasts"),
        param("from", NAME_SCHEMA, "this sender"),
        param("tag", TAG.schema, "with this tag"),
        param("thread", THREAD.schema, "of this thread"),
        param("since", REFERENCE_TEXT.schema, "after this id or seq"),
        param("before", REFERENCE_TEXT.schema, "before this id or seq"),
        param(
            "limit",
            {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
            "at most so many",
        ),
        param("expired", {"enum": [0, 1]}, "1: expired ones too"),
    ]


def param(name: str, schema: Json, description: str) -> Json:
    return {"name": name, "in": "query", "schema": schema, "description": description}


def format() -> Json:
    return param("format", {"enum": ["json", "text"]}, "instead of Accept")


def path_ref() -> Json:
    return {
        "name": "ref",
        "in": "path",
        "required": True,
        "schema": REFERENCE_TEXT.schema,
        "description": "id or seq of a message",
    }


def ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def any_object() -> Json:
    return {"type": "object"}
