"""Shapes of answers: a `TypedDict` of typed fields, from which the OpenAPI schema comes. No I/O.

    class Acked(TypedDict):
        ok: Literal[True]
        id: NotRequired[str]
        acked: Annotated[list[int], "the seqs that this settled"]

`schema(Acked)` describes it. An answer may have more fields than its shape says: readers keep what
they do not know.
"""

from __future__ import annotations

import builtins
import types
import typing
from types import NoneType
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    TypedDict,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from bus.model.shape import Json


class Says:
    """What OpenAPI says of a value besides its type."""

    def __init__(self, **schema: Any) -> None:
        self.schema = schema


Count = Annotated[int, Says(minimum=0)]
Time = Annotated[str, Says(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")]
From = TypedDict("From", {"from": str})  # the one name of a field that is a word of Python's own

_NAMES = {str: "string", int: "integer", float: "number", bool: "boolean", NoneType: "null"}


class Error(TypedDict):
    """What every refusal is."""

    ok: Literal[False]
    error: str
    message: str
    hint: str
    docs: str


def schema(shape: type) -> Json:
    """Return what OpenAPI says of a TypedDict."""
    hints = get_type_hints(shape, include_extras=True)
    return {
        "type": "object",
        "required": [name for name, hint in hints.items() if get_origin(hint) is not NotRequired],
        "properties": {name: _of(hint) for name, hint in hints.items()},
    }


def reference(shape: type) -> Json:
    """Return a reference to the schema of a shape, which is a component of the document."""
    return component(shape.__name__)


def component(name: str) -> Json:
    """Return a reference to a schema by its name in the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def _of(hint: Any) -> Json:
    """Return the schema of the values that a type hint allows."""
    inner = get_args(hint)
    match get_origin(hint):
        case typing.NotRequired:
            found = _of(inner[0])
        case typing.Annotated:
            found = _of(inner[0])
            for said in inner[1:]:
                found |= {"description": said} if isinstance(said, str) else said.schema
        case typing.Literal:
            found = {"const": inner[0]} if len(inner) == 1 else {"enum": list(inner)}
        case typing.Union | types.UnionType:
            found = {"oneOf": [_of(one) for one in inner]}
        case builtins.list:
            found = {"type": "array", "items": _of(inner[0])}
        case builtins.dict:
            found = {"type": "object", "additionalProperties": _of(inner[1])}
        case _ if is_typeddict(hint):
            found = reference(hint)
        case _:
            found = {} if hint is Any else {"type": _NAMES[hint]}
    return found
