"""What the OpenAPI document says of webhooks."""

from __future__ import annotations

from bus.model.answer import reference
from bus.model.kinds import ULID_SCHEMA
from bus.model.shape import Json
from bus.model.webhooks import (
    NewWebhook,
    WebhookAdded,
    WebhookRemoved,
    WebhookReplayed,
    Webhooks,
    WebhooksQuery,
    WebhookTested,
)
from bus.web.openapi.parts import errors, get


def paths() -> Json:
    """Return the description of each path."""
    listed = get(
        "Webhooks, with their last answers",
        reference(Webhooks),
        params=WebhooksQuery.parameters(),
    )
    listed["responses"] |= errors(403)
    test = "Send a message that is only a test, and wait for what comes of it"
    replay = "Send again what was given up, and all else at once"
    return {
        "/webhooks": {"get": listed, "post": _add()},
        "/webhooks/{id}": {"delete": _change("Remove a webhook", WebhookRemoved)},
        "/webhooks/{id}/test": {"post": _change(test, WebhookTested)},
        "/webhooks/{id}/replay": {"post": _change(replay, WebhookReplayed)},
    }


def _add() -> Json:
    content = {"application/json": {"schema": reference(WebhookAdded)}}
    return {
        "summary": "Have the mail of a name, or of a topic, sent to an address",
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": NewWebhook.schema()}},
        },
        "responses": {
            "201": {"description": "added", "content": content},
            **errors(400, 403, 413, 415, 429, 507),
        },
    }


def _change(summary: str, answer: type) -> Json:
    content = {"application/json": {"schema": reference(answer)}}
    return {
        "summary": summary,
        "parameters": [{"name": "id", "in": "path", "required": True, "schema": ULID_SCHEMA}],
        "responses": {
            "200": {"description": "OK", "content": content},
            **errors(400, 403, 404, 429, 507),
        },
    }
