"""What a tool is, and how it is described to a client."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bus.mcp.arguments import Schema, checked
from bus.mcp.results import Answer
from bus.mcp.session import Session
from bus.model.caller import ADMINS, EVERYONE, MACHINES

TEXT: Schema = {"type": "string"}
REF: Schema = {"type": ["integer", "string"]}
YES: Schema = {"type": "boolean"}
TEXTS: Schema = {"type": "array", "items": {"type": "string"}}
TEXT_OR_LIST: Schema = {"type": ["string", "array"], "items": {"type": "string"}}

ALL, OWN, ADMIN = EVERYONE, MACHINES, ADMINS  # who may use a tool
MEMBERS = MACHINES - ADMINS


def whole(low: int, high: int) -> Schema:
    """Return the schema of a whole number."""
    return {"type": "integer", "minimum": low, "maximum": high}


def about(schema: Schema, description: str) -> Schema:
    """Return a schema with words about it."""
    return {**schema, "description": description}


def one_of(*words: str) -> Schema:
    """Return the schema of a choice."""
    return {"type": "string", "enum": [*words]}


# Claude Code offers a tool from the first request on, so that no model has to search for it, and
# takes so many characters of its result.
_ALWAYS = {"anthropic/alwaysLoad": True}
_WHOLE = {"anthropic/maxResultSizeChars": 400_000}
# What a tool does, for the client: annotations of MCP.
READS = {"readOnlyHint": True, "openWorldHint": False}
WRITES = {"destructiveHint": False, "openWorldHint": False}
SETTLES = {"destructiveHint": False, "idempotentHint": True, "openWorldHint": False}
ACTS = {"destructiveHint": True, "openWorldHint": True}
CHANGES = {"destructiveHint": True, "openWorldHint": False}


@dataclass(frozen=True)
class Tool:
    """A tool: `run` gets the session and the checked arguments."""

    name: str
    description: str
    run: Callable[[Session, Mapping[str, Any]], Answer]
    hints: Mapping[str, bool]
    properties: Mapping[str, Schema] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    may: frozenset[str] = ALL
    is_long: bool = False  # its result may be a body or a file of 64 KiB, which a client may cut

    @property
    def schema(self) -> Schema:
        """The schema of the arguments."""
        required = {"required": [*self.required]} if self.required else {}
        return {"type": "object", "properties": {**self.properties}, **required}

    def described(self) -> Answer:
        """Return how it is listed."""
        return {
            "name": self.name,
            "description": self.description,
            "inputSchema": self.schema,
            "annotations": {"readOnlyHint": False, **self.hints},
            "_meta": _ALWAYS | (_WHOLE if self.is_long else {}),
        }

    def answer(self, session: Session, given: Mapping[str, Any]) -> Answer:
        """Return the result of a call; raises Wrong, Refused."""
        return self.run(session, checked(given, self.schema))
