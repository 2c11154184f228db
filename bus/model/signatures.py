"""Signatures: a line that the hub puts below the briefs of a name. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypedDict

from bus.errors import BadField
from bus.model.checks import shown
from bus.model.harmless import harmless
from bus.model.kinds import AGENT
from bus.model.named import Named
from bus.model.shape import Json, Kind, Shape, object_schema

MAX_SIGNATURE = 200
_HINT = (
    f"One line of at most {MAX_SIGNATURE} bytes in UTF-8 that one can see, no space around it;"
    " an empty one is none."
)


def _signature(value: Any, field: str) -> str:
    """Return a line to stand below a brief; an empty one is none."""
    if (
        not isinstance(value, str)
        or len(value.encode(errors="replace")) > MAX_SIGNATURE
        or value != value.strip()
        or not value.isprintable()
        or harmless(value) != value
    ):
        raise BadField(f"`{field}` is {shown(value)}.", hint=_HINT, field=field)
    return value


SIGNATURE = Kind(
    _signature,
    {
        "type": "string",
        "maxLength": MAX_SIGNATURE,
        "format": "bus-signature",
        "description": f"one line of at most {MAX_SIGNATURE} bytes; an empty one is none",
    },
)


@dataclass(frozen=True, kw_only=True)
class NewSignature(Named):
    """PUT /signature."""

    signature: Annotated[str, SIGNATURE]

    @classmethod
    def schema(cls) -> Json:
        """Return what OpenAPI says of it: `name` may be left out by all whose credential has a name
        of its own.
        """
        return {**object_schema(cls), "required": ["signature"]}


@dataclass(frozen=True, kw_only=True)
class SignatureQuery(Shape):
    """GET /signature."""

    name: Annotated[str | None, AGENT, "one of the caller's names; left out: the caller"] = None


class Signature(TypedDict):
    """The signature of a name; an empty one is none."""

    ok: Literal[True]
    name: str
    signature: str
