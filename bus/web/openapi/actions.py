"""What the OpenAPI document says of actions."""

from __future__ import annotations

from bus.model.actions import Actions, ActionsQuery, Change, Claim, NewAction, OneAction
from bus.model.answer import reference
from bus.model.briefs import PostedBrief
from bus.model.kinds import KEY, Format
from bus.model.shape import Json
from bus.web.openapi.parts import errors, get


def paths() -> Json:
    """Return the description of each path."""
    key = {"name": "Idempotency-Key", "in": "header", "schema": KEY.schema}
    made = {"application/json": {"schema": reference(PostedBrief)}}
    number: Json = {
        **{"name": "ref", "in": "path", "required": True, "description": "its number"},
        "schema": {"type": "string", "pattern": "^[1-9][0-9]{0,8}$"},
    }
    return {
        "/actions": {
            "get": get(
                "Actions, the newest first",
                reference(Actions),
                text=True,
                params=ActionsQuery.parameters(),
            ),
            "post": {
                "summary": "Ask for something to be done",
                "parameters": [key],
                "requestBody": _body(NewAction.schema()),
                "responses": {
                    "201": {"description": "saved; the brief that asks for it", "content": made},
                    **errors(400, 403, 404, 413, 415, 422, 429, 507),
                },
            },
        },
        "/actions/{ref}": {
            "get": get(
                "One action, with what was changed of it",
                reference(OneAction),
                text=True,
                params=[number, *Format.parameters()],
            ),
            "patch": _change("Change an action", number, _body(Change.schema())),
        },
        "/actions/{ref}/claim": {
            "post": _change(
                "Take an action that nobody has", number, _body(Claim.schema(), required=False)
            )
        },
    }


def _body(schema: Json, *, required: bool = True) -> Json:
    return {"required": required, "content": {"application/json": {"schema": schema}}}


def _change(summary: str, number: Json, body: Json) -> Json:
    content = {"application/json": {"schema": reference(OneAction)}}
    return {
        "summary": summary,
        "parameters": [number],
        "requestBody": body,
        "responses": {
            "200": {"description": "recorded, now or before", "content": content},
            **errors(400, 403, 404, 409, 413, 415, 429, 507),
        },
    }
