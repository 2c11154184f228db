"""What the OpenAPI document says of asks."""

from __future__ import annotations

from bus.model.answer import reference
from bus.model.asks import (
    Answering,
    AskQuery,
    Asks,
    AsksQuery,
    Declining,
    OneAsk,
    Question,
    Withdrawing,
)
from bus.model.kinds import KEY
from bus.model.messages import Message
from bus.model.shape import Json
from bus.web.openapi.parts import errors, get, path_ref


def paths() -> Json:
    """Return the description of each path."""
    key = {"name": "Idempotency-Key", "in": "header", "schema": KEY.schema}
    asked = {"application/json": {"schema": reference(Message)}}
    return {
        "/ask": {
            "post": {
                "summary": "Ask a question that stays open until it is answered",
                "parameters": [key],
                "requestBody": _body(Question.schema()),
                "responses": {
                    "201": {"description": "saved; the message that asks", "content": asked},
                    **errors(400, 403, 404, 413, 415, 422, 429, 507),
                },
            }
        },
        "/ask/{ref}": {
            "get": get(
                "One ask: who has answered what, who has declined, who has not",
                reference(OneAsk),
                text=True,
                params=[path_ref(), *AskQuery.parameters()],
            )
        },
        "/ask/{ref}/answer": {"post": _word("Answer", Answering.schema())},
        "/ask/{ref}/decline": {"post": _word("Say that one will not answer", Declining.schema())},
        "/ask/{ref}/withdraw": {
            "post": _word("Take a question back", Withdrawing.schema(), required=False)
        },
        "/asks": {
            "get": get(
                "Asks, newest first", reference(Asks), text=True, params=AsksQuery.parameters()
            )
        },
    }


def _body(schema: Json, *, required: bool = True) -> Json:
    return {"required": required, "content": {"application/json": {"schema": schema}}}


def _word(summary: str, schema: Json, *, required: bool = True) -> Json:
    content = {"application/json": {"schema": reference(OneAsk)}}
    return {
        "summary": summary,
        "parameters": [path_ref()],
        "requestBody": _body(schema, required=required),
        "responses": {
            "200": {"description": "recorded, now or before", "content": content},
            **errors(400, 403, 404, 409, 413, 415, 429, 507),
        },
    }
