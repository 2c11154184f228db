"""What the OpenAPI document says of hooks."""

from __future__ import annotations

from bus.model.hooks import BEGAN, HookQuery
from bus.model.shape import Json
from bus.web.openapi.parts import any_object, errors


def paths() -> Json:
    """Return the description of each path."""
    event = {
        "type": "object",
        "properties": {
            "hook_event_name": {"type": "string"},
            "session_id": {"type": "string"},
            "permission_mode": {"type": "string"},
            "began_ms": BEGAN.schema,
        },
        "required": ["hook_event_name"],
    }
    return {
        "/hooks/claude-code": {
            "post": {
                "summary": "An event of Claude Code; the answer is that of a hook",
                "parameters": HookQuery.parameters(),
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": event}},
                },
                "responses": {
                    "200": {
                        "description": "OK",
                        "content": {"application/json": {"schema": any_object()}},
                    },
                    **errors(400, 403, 413, 429),
                },
            }
        }
    }
