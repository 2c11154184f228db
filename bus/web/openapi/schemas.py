"""The shapes of messages, acks and their answers, by name."""

from __future__ import annotations

from bus.errors import family
from bus.model.filter import MAX_LIMIT
from bus.model.messages import PRIORITIES, Draft
from bus.web.openapi.parts import TIME, TS, Json

SCHEMAS: Json = {
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
            "ts": TS,
            "from": {"type": "string"},
            "to": {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
            "body": {"type": "string"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "priority": {"enum": list(PRIORITIES)},
            "in_reply_to": {"type": "string"},
            "thread": {"type": "string"},
            "data": {"type": "object"},
            "expires": TS,
            "client_id": {"type": "string"},
            "auth": {"type": "string", "description": "the user whose credential posted it"},
            "verified": {
                "type": "boolean",
                "description": (
                    "whether `from` is that credential's own name; not so for a shared user"
                ),
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
            "last_seen": TIME,
            "last_fetch": TIME,
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
                    "properties": {"queued": TS, "fetched": TIME, "acked": TIME},
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
            "now": TS,
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
