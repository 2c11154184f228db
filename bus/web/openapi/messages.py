"""The routes of messages and acks, and the pages of the hub."""

from __future__ import annotations

from bus.model.filter import MAX_LIMIT
from bus.model.kinds import KEY, NAME_SCHEMA, REFERENCE, REFERENCE_TEXT
from bus.model.messages import MAX_BATCH
from bus.web.openapi.parts import (
    READER,
    Json,
    any_object,
    errors,
    filters,
    format,
    get,
    page,
    param,
    path_ref,
    ref,
)

_CURSOR = r"^[0-2]\.[0-9a-z]{1,4}\.[01]\.[0-9a-z]{1,13}(\.[0-9a-z]{1,11}){3}\.[0-9a-z]{1,6}$"


def paths() -> Json:
    """Return the description of each path."""
    return {
        "/": {"get": get("What this is", any_object(), text=True, params=[format()])},
        "/health": {
            "get": get(
                "How the hub is",
                ref("Health"),
                text=True,
                params=[format()],
                extra={"503": ref("Health")},
            )
        },
        "/robots.txt": {"get": page("Keeps crawlers out", "text/plain")},
        "/openapi.json": {"get": get("This document", any_object())},
        "/docs": {"get": page("The protocol in words", "text/markdown")},
        "/post": {"post": _post_operation()},
        "/messages": {
            "get": get(
                "Messages, oldest first; without `since` and `unread_by` the newest",
                ref("Page"),
                text=True,
                params=[
                    *filters(),
                    param("unread_by", NAME_SCHEMA, "what this reader has not acknowledged"),
                    param("order", {"enum": ["asc", "desc"]}, "asc: oldest first"),
                    param(
                        "wait",
                        {"type": "number", "minimum": 0, "maximum": 60},
                        "seconds to wait for a message",
                    ),
                    format(),
                ],
            )
        },
        "/messages/{ref}": {
            "get": get("One message", ref("Message"), text=True, params=[path_ref(), format()])
        },
        "/messages/{ref}/receipts": {
            "get": get(
                "Who has it: queued, fetched, acked",
                ref("Receipts"),
                text=True,
                params=[
                    path_ref(),
                    param(
                        "after",
                        NAME_SCHEMA,
                        "only the names behind this one: `next` of the answer before",
                    ),
                    param(
                        "limit",
                        {
                            "type": "integer",
                            "minimum": 1,
                            "maximum": MAX_LIMIT,
                            "default": MAX_LIMIT,
                        },
                        "names",
                    ),
                    format(),
                ],
            )
        },
        "/inbox": {
            "get": get(
                "The unread messages that fit a budget, the most urgent first; the rest as stubs"
                " and a count",
                ref("Inbox"),
                text=True,
                params=[
                    param(
                        "reader",
                        NAME_SCHEMA,
                        "whose inbox; left out: the caller's. Required of the shared user",
                    ),
                    param(
                        "budget",
                        {
                            "type": "integer",
                            "minimum": 800,
                            "maximum": 100_000,
                            "default": 6000,
                        },
                        "characters of text",
                    ),
                    param(
                        "budget_tokens",
                        {"type": "integer", "minimum": 500, "maximum": 50_000},
                        "the same in tokens of 3 bytes; with both, both hold",
                    ),
                    param(
                        "cursor",
                        {"type": "string", "pattern": _CURSOR},
                        "of the answer before, for what comes after it",
                    ),
                    format(),
                ],
            )
        },
        "/search": {
            "get": get(
                "Full text search, newest first",
                ref("Page"),
                text=True,
                params=[
                    {
                        **param(
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
                    *filters(),
                    param("unread_by", NAME_SCHEMA, "what this reader has not acknowledged"),
                    format(),
                ],
            )
        },
        "/stream": {"get": _stream_operation()},
        "/ack/{ref}": {"post": _ack_operation("One message", {"reader": READER}, [], [path_ref()])},
        "/ack": {
            "post": _ack_operation(
                "Several messages, or all up to one",
                {
                    "reader": READER,
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
    }


def _post_operation() -> Json:
    text: Json = {"schema": {"type": "string"}}
    message = {"application/json": {"schema": ref("Message")}}
    lines = {"application/x-ndjson": text}
    key = {"name": "Idempotency-Key", "in": "header", "schema": KEY.schema}
    refused = errors(400, 403, 413, 415, 422, 507)
    refused["400"]["content"] = {**refused["400"]["content"], **lines}
    return {
        "summary": "Save a message; 201 means that it is on stable storage",
        "description": (
            "The fields as JSON or as a form; or as query parameters (in the form's notation) with"
            f" the body of the message as text/plain; or NDJSON, up to {MAX_BATCH} messages, one a"
            " line, with one result a line in the answer."
        ),
        "parameters": [key],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": ref("Draft")},
                "application/x-www-form-urlencoded": {"schema": ref("Form")},
                "multipart/form-data": {"schema": ref("Form")},
                "text/plain": text,
                "application/x-ndjson": text,
            },
        },
        "responses": {"201": {"description": "saved", "content": {**message, **lines}}, **refused},
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
                "content": {"application/json": {"schema": ref("Acked")}},
            },
            **errors(400, 403, 404, 413, 415, 507),
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
            *[param for param in filters() if param["name"] not in ("limit", "before")],
            param("unread_by", NAME_SCHEMA, "start with what this reader has not acknowledged"),
            param("format", {"enum": ["sse", "ndjson", "text"]}, "instead of Accept"),
            {
                "name": "Last-Event-ID",
                "in": "header",
                "schema": {"anyOf": [REFERENCE_TEXT.schema, {"const": ""}]},
            },
        ],
        "responses": {
            "200": {"description": "a stream without end", "content": media},
            **errors(400, 404),
        },
    }
