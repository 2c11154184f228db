"""What the OpenAPI document says of agents."""

from __future__ import annotations

from bus.model.agents import (
    AgentsQuery,
    Alive,
    Heartbeat,
    Leaving,
    Left,
    OneAgent,
    Registered,
    Registration,
    Roster,
    Summary,
)
from bus.model.answer import reference
from bus.model.kinds import NAME_SCHEMA
from bus.model.shape import Json
from bus.web.openapi.parts import errors, get


def paths() -> Json:
    """Return the description of each path."""
    register = _change("Register, or renew a lease", Registered, Registration.schema(), named=False)
    return {
        "/agents": {
            "get": get(
                "The roster: who is there",
                reference(Roster),
                text=True,
                params=AgentsQuery.parameters(),
            ),
            "post": register,
        },
        "/agents/{name}": {
            "get": get("One agent", reference(OneAgent), params=[_name()]),
            "delete": _change("End a session", Left, Leaving.schema()),
        },
        "/agents/{name}/heartbeat": {"post": _change("A sign of life", Alive, Heartbeat.schema())},
        "/agents/{name}/summary": {
            "put": _change("Say what an agent works on", OneAgent, Summary.schema())
        },
    }


def _change(summary: str, answer: type, schema: Json, *, named: bool = True) -> Json:
    content = {"application/json": {"schema": reference(answer)}}
    return {
        "summary": summary,
        "parameters": [_name()] if named else [],
        "requestBody": {
            "required": bool(schema["required"]),
            "content": {"application/json": {"schema": schema}},
        },
        "responses": {
            "200": {"description": "OK", "content": content},
            **errors(400, 403, 404, 409, 413, 415, 429, 507),
        },
    }


def _name() -> Json:
    return {"name": "name", "in": "path", "required": True, "schema": NAME_SCHEMA}
