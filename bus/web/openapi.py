"""The OpenAPI 3.1 description of every route.

Tests compare it with the real routes and throw requests at it.
"""

from __future__ import annotations

from typing import Any

from bus import __version__
from bus.errors import family
from bus.model.filter import DEFAULT_LIMIT, MAX_LIMIT
from bus.model.kinds import KEY, NAME_SCHEMA, REFERENCE, REFERENCE_TEXT, TAG, THREAD
from bus.model.messages import MAX_BATCH, PRIORITIES, TO_ONE, Draft
from bus.web import openapi_credentials, openapi_net

Json = dict[str, Any]

_READER: Json = {
    **NAME_SCHEMA,
    "description": "who acknowledges; left out: the caller. Required of the shared user",
}
_CURSOR = r"^[0-2]\.[0-9a-z]{1,4}\.[01]\.[0-9a-z]{1,13}(\.[0-9a-z]{1,11}){3}\.[0-9a-z]{1,6}$"
_TS: Json = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"}
_TIME: Json = {"oneOf": [_TS, {"type": "null"}]}

_SCHEMAS: Json = {
    "Draft": Draft.schema(),
    "Form": Draft.form_schema(),
    "Message": {
        "type": "object",
        "required": ["seq", "id", "ts", "from", "to", "body", "tags", "priority"],
        "properties": {
            "seq": {"type": "integer", "minimum": 1},
            "id": {"type": "string", "pattern": "^[0-9A-Z]{26}$"},
            "old_id": {
                "type": "string",
                "description": "its id before it was imported: good as an id, `old:17` if a number",
            },
            "ts": _TS,
            "from": {"type": "string"},
            "to": {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
            "body": {"type": "string"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "priority": {"enum": list(PRIORITIES)},
            "in_reply_to": {"type": "string"},
            "thread": {"type": "string"},
            "data": {"type": "object"},
            "expires": _TS,
            "client_id": {"type": "string"},
            "auth": {"type": "string", "description": "the user whose credential posted it"},
            "verified": {
                "type": "boolean",
                "description": "whether `from` is that credential's own name; not so for a shared user",
            },
            "snippet": {"type": "string"},
            "replayed": {"type": "boolean"},
            "delivery": {
                "type": "object",
                "additionalProperties": {"$ref": "#/components/schemas/Standing"},
            },
        },
    },
    "Standing": {
        "type": "object",
        "description": "how a recipient is doing; for `any` only how many readers have ever asked",
        "properties": {
            "last_seen": _TIME,
            "last_fetch": _TIME,
            "unread": {
                "oneOf": [{"type": "integer", "minimum": 0, "maximum": 1000}, {"type": "null"}]
            },
            "readers": {"type": "integer"},
        },
    },
    "Page": {
        "type": "object",
        "required": ["messages", "count", "has_more", "next"],
        "properties": {
            "messages": {"type": "array", "items": {"$ref": "#/components/schemas/Message"}},
            "count": {"type": "integer", "minimum": 0, "maximum": MAX_LIMIT},
            "has_more": {"type": "boolean"},
            "next": {"type": "integer", "minimum": 0},
        },
    },
    "Inbox": {
        "type": "object",
        "required": [
            "reader",
            "unread",
            "unread_is_exact",
            "messages",
            "stubs",
            "more",
            "has_more",
            "cursor",
        ],
        "properties": {
            "reader": {"type": "string"},
            "unread": {"type": "integer", "minimum": 0, "maximum": 1000},
            "unread_is_exact": {"type": "boolean"},
            "messages": {"type": "array", "items": {"$ref": "#/components/schemas/Message"}},
            "stubs": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": [
                        "seq",
                        "id",
                        "ts",
                        "from",
                        "verified",
                        "to",
                        "priority",
                        "tags",
                        "preview",
                        "size",
                    ],
                    "properties": {
                        "verified": {"type": "boolean"},
                        "seq": {"type": "integer"},
                        "preview": {
                            "type": "string",
                            "description": "the beginning of the body, on one line, made harmless",
                        },
                        "size": {"type": "integer", "description": "characters of the whole body"},
                    },
                },
            },
            "more": {
                "type": "integer",
                "minimum": 0,
                "description": "unread messages that no answer so far has shown",
            },
            "has_more": {"type": "boolean"},
            "cursor": {"oneOf": [{"type": "string"}, {"type": "null"}]},
        },
    },
    "Acked": {
        "type": "object",
        "required": ["ok", "reader", "acked", "already"],
        "properties": {
            "ok": {"const": True},
            "id": {"type": "string"},
            "reader": {"type": "string"},
            "acked": {"type": "array", "items": {"type": "integer"}},
            "already": {"type": "array", "items": {"type": "integer"}},
        },
    },
    "Receipts": {
        "type": "object",
        "required": ["id", "seq", "receipts", "has_more", "more", "next"],
        "properties": {
            "id": {"type": "string"},
            "seq": {"type": "integer"},
            "has_more": {"type": "boolean"},
            "more": {"type": "integer"},
            "next": {"oneOf": [{"type": "string"}, {"type": "null"}]},
            "receipts": {
                "type": "object",
                "additionalProperties": {
                    "type": "object",
                    "required": ["queued", "fetched", "acked"],
                    "properties": {"queued": _TS, "fetched": _TIME, "acked": _TIME},
                },
            },
        },
    },
    "Health": {
        "type": "object",
        "required": ["ok", "count", "now"],
        "properties": {
            "ok": {"type": "boolean"},
            "count": {"type": ["integer", "null"]},
            "now": _TS,
        },
    },
    "Error": {
        "type": "object",
        "required": ["ok", "error", "message", "hint", "docs"],
        "properties": {
            "ok": {"const": False},
            "error": {"enum": sorted({kind.code for kind in family()})},
            "message": {"type": "string"},
            "hint": {"type": "string"},
            "docs": {"type": "string"},
        },
    },
}


def document() -> Json:
    """Return the whole description."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "claude-bus",
            "version": __version__,
            "description": "A message bus for fleets of AI coding agents. The same in words: /docs",
        },
        "security": [{"basic": []}],
        "paths": {
            "/": {"get": _get("What this is", _any_object(), text=True, params=[_format()])},
            "/health": {
                "get": _get(
                    "How the hub is",
                    _ref("Health"),
                    text=True,
                    params=[_format()],
                    extra={"503": _ref("Health")},
                )
            },
            "/robots.txt": {"get": _page("Keeps crawlers out", "text/plain")},
            "/openapi.json": {"get": _get("This document", _any_object())},
            "/docs": {"get": _page("The protocol in words", "text/markdown")},
            "/post": {"post": _post_operation()},
            "/messages": {
                "get": _get(
                    "Messages, oldest first; without `since` and `unread_by` the newest",
                    _ref("Page"),
                    text=True,
                    params=[
                        *_filters(),
                        _param("unread_by", NAME_SCHEMA, "what this reader has not acknowledged"),
                        _param("order", {"enum": ["asc", "desc"]}, "asc: oldest first"),
                        _param(
                            "wait",
                            {"type": "number", "minimum": 0, "maximum": 60},
                            "seconds to wait for a message",
                        ),
                        _format(),
                    ],
                )
            },
            "/messages/{ref}": {
                "get": _get(
                    "One message", _ref("Message"), text=True, params=[_path_ref(), _format()]
                )
            },
            "/messages/{ref}/receipts": {
                "get": _get(
                    "Who has it: queued, fetched, acked",
                    _ref("Receipts"),
                    text=True,
                    params=[
                        _path_ref(),
                        _param(
                            "after",
                            NAME_SCHEMA,
                            "only the names behind this one: `next` of the answer before",
                        ),
                        _param(
                            "limit",
                            {
                                "type": "integer",
                                "minimum": 1,
                                "maximum": MAX_LIMIT,
                                "default": MAX_LIMIT,
                            },
                            "names",
                        ),
                        _format(),
                    ],
                )
            },
            "/inbox": {
                "get": _get(
                    "The unread messages that fit a budget, the most urgent first; the rest as stubs and a count",
                    _ref("Inbox"),
                    text=True,
                    params=[
                        _param(
                            "reader",
                            NAME_SCHEMA,
                            "whose inbox; left out: the caller's. Required of the shared user",
                        ),
                        _param(
                            "budget",
                            {
                                "type": "integer",
                                "minimum": 800,
                                "maximum": 100_000,
                                "default": 6000,
                            },
                            "characters of text",
                        ),
                        _param(
                            "budget_tokens",
                            {"type": "integer", "minimum": 500, "maximum": 50_000},
                            "the same in tokens of 3 bytes; with both, both hold",
                        ),
                        _param(
                            "cursor",
                            {"type": "string", "pattern": _CURSOR},
                            "of the answer before, for what comes after it",
                        ),
                        _format(),
                    ],
                )
            },
            "/search": {
                "get": _get(
                    "Full text search, newest first",
                    _ref("Page"),
                    text=True,
                    params=[
                        {
                            **_param(
                                "q",
                                {
                                    "type": "string",
                                    "minLength": 1,
                                    "maxLength": 1000,
                                    "format": "bus-words",
                                },
                                "words",
                            ),
                            "required": True,
                        },
                        *_filters(),
                        _param("unread_by", NAME_SCHEMA, "what this reader has not acknowledged"),
                        _format(),
                    ],
                )
            },
            "/stream": {"get": _stream_operation()},
            "/ack/{ref}": {
                "post": _ack_operation("One message", {"reader": _READER}, [], [_path_ref()])
            },
            "/ack": {
                "post": _ack_operation(
                    "Several messages, or all up to one",
                    {
                        "reader": _READER,
                        "ids": {
                            "type": "array",
                            "items": REFERENCE.schema,
                            "minItems": 1,
                            "maxItems": 1000,
                        },
                        "through": REFERENCE.schema,
                    },
                    [],
                    [],
                )
            },
            **openapi_credentials.paths(),
            **openapi_net.paths(),
        },
        "components": {
            "securitySchemes": {"basic": {"type": "http", "scheme": "basic"}},
            "schemas": {**_SCHEMAS, **openapi_credentials.SCHEMAS, **openapi_net.SCHEMAS},
        },
    }


def _post_operation() -> Json:
    text: Json = {"schema": {"type": "string"}}
    message = {"application/json": {"schema": _ref("Message")}}
    lines = {"application/x-ndjson": text}
    key = {"name": "Idempotency-Key", "in": "header", "schema": KEY.schema}
    errors = _errors(400, 403, 413, 415, 422, 507)
    errors["400"]["content"] = {**errors["400"]["content"], **lines}
    return {
        "summary": "Save a message; 201 means that it is on stable storage",
        "description": (
            "The fields as JSON or as a form; or as query parameters (in the form's notation) with the body of the message "
            f"as text/plain; or NDJSON, up to {MAX_BATCH} messages, one a line, with one result a line in the answer."
        ),
        "parameters": [key],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": _ref("Draft")},
                "application/x-www-form-urlencoded": {"schema": _ref("Form")},
                "multipart/form-data": {"schema": _ref("Form")},
                "text/plain": text,
                "application/x-ndjson": text,
            },
        },
        "responses": {"201": {"description": "saved", "content": {**message, **lines}}, **errors},
    }


def _ack_operation(summary: str, properties: Json, required: list[str], params: list[Json]) -> Json:
    schema = {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
    if "ids" in properties:
        schema["oneOf"] = [{"required": ["ids"]}, {"required": ["through"]}]
    return {
        "summary": f"Acknowledge: {summary.lower()}",
        "parameters": params,
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {
            "200": {
                "description": "acknowledged, now or before",
                "content": {"application/json": {"schema": _ref("Acked")}},
            },
            **_errors(400, 403, 404, 413, 415, 507),
        },
    }


def _stream_operation() -> Json:
    event = {
        "type": "object",
        "required": ["id", "event", "data"],
        "description": "each event; `data` is a Message",
    }
    text: Json = {"schema": {"type": "string"}}
    media = {
        "text/event-stream": {"schema": event},
        "application/x-ndjson": text,
        "text/plain": text,
    }
    return {
        "summary": "Messages as they come",
        "parameters": [
            *[param for param in _filters() if param["name"] not in ("limit", "before")],
            _param("unread_by", NAME_SCHEMA, "start with what this reader has not acknowledged"),
            _param("format", {"enum": ["sse", "ndjson", "text"]}, "instead of Accept"),
            {
                "name": "Last-Event-ID",
                "in": "header",
                "schema": {"anyOf": [REFERENCE_TEXT.schema, {"const": ""}]},
            },
        ],
        "responses": {
            "200": {"description": "a stream without end", "content": media},
            **_errors(400, 404),
        },
    }


def _get(
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
    responses = {"200": {"description": "OK", "content": content}, **_errors(400, 404)}
    for status, other in (extra or {}).items():
        responses[status] = {
            "description": "see `ok`",
            "content": {"application/json": {"schema": {"anyOf": [other, _ref("Error")]}}},
        }
    return {"summary": summary, "parameters": params or [], "responses": responses}


def _page(summary: str, media: str) -> Json:
    return {
        "summary": summary,
        "responses": {
            "200": {"description": "OK", "content": {media: {"schema": {"type": "string"}}}},
            **_errors(404),
        },
    }


def _errors(*statuses: int) -> Json:
    content = {"application/json": {"schema": _ref("Error")}}
    return {
        str(status): {"description": "see `error` and `hint`", "content": content}
        for status in (*statuses, 401, 405, 500, 503)
    }


def _filters() -> list[Json]:
    return [
        _param("to", TO_ONE.schema, "this recipient, and broadcasts"),
        _param("from", NAME_SCHEMA, "this sender"),
        _param("tag", TAG.schema, "with this tag"),
        _param("thread", THREAD.schema, "of this thread"),
        _param("since", REFERENCE_TEXT.schema, "after this id or seq"),
        _param("before", REFERENCE_TEXT.schema, "before this id or seq"),
        _param(
            "limit",
            {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
            "at most so many",
        ),
        _param("expired", {"enum": [0, 1]}, "1: expired ones too"),
    ]


def _param(name: str, schema: Json, description: str) -> Json:
    return {"name": name, "in": "query", "schema": schema, "description": description}


def _format() -> Json:
    return _param("format", {"enum": ["json", "text"]}, "instead of Accept")


def _path_ref() -> Json:
    return {
        "name": "ref",
        "in": "path",
        "required": True,
        "schema": REFERENCE_TEXT.schema,
        "description": "id or seq of a message",
    }


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _any_object() -> Json:
    return {"type": "object"}
