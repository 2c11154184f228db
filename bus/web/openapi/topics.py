"""What the OpenAPI document says of topics."""

from __future__ import annotations

from bus.model.answer import reference
from bus.model.named import Named
from bus.model.shape import Json
from bus.model.topics import PATTERN_KIND, SubscriptionChanged, Topics, TopicsQuery
from bus.web.openapi.parts import errors, get


def paths() -> Json:
    """Return the description of each path."""
    return {
        "/topics": {
            "get": get(
                "Topics, with their subscribers and volume",
                reference(Topics),
                text=True,
                params=TopicsQuery.parameters(),
            )
        },
        "/topics/{topic}/subscribe": {"post": _change("Subscribe to a topic")},
        "/topics/{topic}/unsubscribe": {"post": _change("End a subscription")},
    }


def _change(summary: str) -> Json:
    topic = {"name": "topic", "in": "path", "required": True, "schema": PATTERN_KIND.schema}
    content = {"application/json": {"schema": reference(SubscriptionChanged)}}
    body = {"application/json": {"schema": Named.schema()}}
    return {
        "summary": summary,
        "parameters": [topic],
        "requestBody": {"required": False, "content": body},
        "responses": {
            "200": {"description": "OK", "content": content},
            **errors(400, 403, 404, 413, 415, 429, 507),
        },
    }
