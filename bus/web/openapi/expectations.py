"""What the OpenAPI document says of expectations."""

from __future__ import annotations

from bus.model.answer import reference
from bus.model.expectations import (
    EndingQuery,
    Expectations,
    ExpectationSet,
    ExpectationsQuery,
    NewExpectation,
    OneExpectation,
)
from bus.model.kinds import NAME_SCHEMA
from bus.model.shape import Json
from bus.web.openapi.parts import errors, get


def paths() -> Json:
    """Return the description of each path."""
    listed = get(
        "The expectations that concern the caller",
        reference(Expectations),
        text=True,
        params=ExpectationsQuery.parameters(),
    )
    return {
        "/expect": {"get": listed, "post": _set()},
        "/expect/{ref}": {"delete": _end()},
    }


def _set() -> Json:
    content = {"application/json": {"schema": reference(ExpectationSet)}}
    return {
        "summary": "Be told when a name falls silent, and when it is back",
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": NewExpectation.schema()}},
        },
        "responses": {
            "200": {"description": "it was there before", "content": content},
            "201": {"description": "set", "content": content},
            **errors(400, 403, 404, 413, 415, 429, 507),
        },
    }


def _end() -> Json:
    content = {"application/json": {"schema": reference(OneExpectation)}}
    ref = {"name": "ref", "in": "path", "required": True, "schema": NAME_SCHEMA}
    sender = {**EndingQuery.parameters()[0], "required": False}
    return {
        "summary": "End an expectation, or be told of it no more",
        "parameters": [{**ref, "description": "its id, or the name that is expected"}, sender],
        "responses": {
            "200": {"description": "OK", "content": content},
            **errors(400, 403, 404, 429, 507),
        },
    }
