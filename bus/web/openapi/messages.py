"""The routes of messages and acks, and the pages of the hub."""

from __future__ import annotations

from bus.model.acks import Ack, Acked, AckMany, Receipts, ReceiptsQuery
from bus.model.answer import component, reference
from bus.model.figures import Figures
from bus.model.filter import MessageQuery, MessagesQuery, SearchQuery, StreamQuery
from bus.model.health import Health
from bus.model.inbox import Inbox, InboxQuery
from bus.model.kinds import KEY, REFERENCE_TEXT, Format
from bus.model.messages import MAX_BATCH, Draft, Message, Page
from bus.model.shape import Json
from bus.model.stars import Star, Starred
from bus.model.tracking import Overdue, OverdueQuery, Retracted, Retraction, Trace
from bus.web.openapi.parts import any_object, errors, get, page, path_ref


def paths() -> Json:
    """Return the description of each path."""
    return {
        "/": {"get": get("What this is", any_object(), text=True, params=Format.parameters())},
        "/health": {
            "get": get(
                "How the hub is",
                reference(Health),
                text=True,
                params=Format.parameters(),
                extra={"503": reference(Health)},
            )
        },
        "/metrics": {"get": _metrics_operation()},
        "/robots.txt": {"get": page("Keeps crawlers out", "text/plain")},
        "/openapi.json": {"get": get("This document", any_object())},
        "/docs": {"get": page("The protocol in words", "text/markdown")},
        "/post": {"post": _post_operation()},
        "/messages": {
            "get": get(
                "Messages, oldest first; without `since` and `unread_by` the newest",
                reference(Page),
                text=True,
                params=MessagesQuery.parameters(),
            )
        },
        "/messages/{ref}": {
            "get": get(
                "One message",
                reference(Message),
                text=True,
                params=[path_ref(), *MessageQuery.parameters()],
            )
        },
        "/messages/{ref}/receipts": {
            "get": get(
                "Who has it: queued, fetched, acked",
                reference(Receipts),
                text=True,
                params=[path_ref(), *ReceiptsQuery.parameters()],
            )
        },
        "/messages/{ref}/trace": {
            "get": get(
                "Every step of a message, for each reader",
                reference(Trace),
                text=True,
                params=[path_ref(), *ReceiptsQuery.parameters()],
            )
        },
        "/messages/{ref}/retract": {"post": _retract_operation()},
        "/overdue": {
            "get": get(
                "Messages that should have been acknowledged by now",
                reference(Overdue),
                text=True,
                params=OverdueQuery.parameters(),
            )
        },
        "/inbox": {
            "get": get(
                "The unread messages that fit a budget, the most urgent first; the rest as stubs"
                " and a count",
                reference(Inbox),
                text=True,
                params=InboxQuery.parameters(),
            )
        },
        "/search": {
            "get": get(
                "Full text search, newest first",
                reference(Page),
                text=True,
                params=SearchQuery.parameters(),
            )
        },
        "/stream": {"get": _stream_operation()},
        "/ack/{ref}": {"post": _ack_operation("One message", Ack.schema(), [path_ref()])},
        "/star/{ref}": {"post": _star_operation()},
        "/ack": {
            "post": _ack_operation("Several messages, or all up to one", AckMany.schema(), [])
        },
    }


def _metrics_operation() -> Json:
    operation = get(
        "What the hub counts and measures, for Prometheus or as JSON",
        reference(Figures),
        text=True,
        params=Format.parameters(),
    )
    operation["responses"] |= errors(403)
    return operation


def _post_operation() -> Json:
    text: Json = {"schema": {"type": "string"}}
    message = {"application/json": {"schema": reference(Message)}}
    lines = {"application/x-ndjson": text}
    key = {"name": "Idempotency-Key", "in": "header", "schema": KEY.schema}
    refused = errors(400, 403, 404, 413, 415, 422, 429, 507)
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
                "application/json": {"schema": reference(Draft)},
                "application/x-www-form-urlencoded": {"schema": component("Form")},
                "multipart/form-data": {"schema": component("Form")},
                "text/plain": text,
                "application/x-ndjson": text,
            },
        },
        "responses": {"201": {"description": "saved", "content": {**message, **lines}}, **refused},
    }


def _ack_operation(summary: str, schema: Json, params: list[Json]) -> Json:
    return {
        "summary": f"Acknowledge: {summary.lower()}",
        "parameters": params,
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {
            "200": {
                "description": "acknowledged, now or before",
                "content": {"application/json": {"schema": reference(Acked)}},
            },
            **errors(400, 403, 404, 413, 415, 507),
        },
    }


def _star_operation() -> Json:
    body = {"application/json": {"schema": Star.schema()}}
    answer = {"application/json": {"schema": reference(Starred)}}
    return {
        "summary": "Star a message for a reader, or take the star away",
        "parameters": [
            path_ref(),
            {"name": "Idempotency-Key", "in": "header", "schema": KEY.schema},
        ],
        "requestBody": {"required": False, "content": body},
        "responses": {
            "200": {"description": "whether it is starred now", "content": answer},
            **errors(400, 403, 404, 413, 415, 422, 429, 507),
        },
    }


def _retract_operation() -> Json:
    body = {"application/json": {"schema": Retraction.schema()}}
    return {
        "summary": "Take a message back: whoever has not acknowledged it no longer gets it",
        "parameters": [path_ref()],
        "requestBody": {"required": False, "content": body},
        "responses": {
            "200": {
                "description": "retracted, now or before",
                "content": {"application/json": {"schema": reference(Retracted)}},
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
            *StreamQuery.parameters(),
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
