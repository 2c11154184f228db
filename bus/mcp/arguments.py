"""The arguments of a tool, checked against its schema; what is wrong is said so that a model can
mend it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from bus.mcp.results import Wrong

Schema = dict[str, Any]

_KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}
_WORDS = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
}


def checked(given: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    """Return the arguments, those that are null left out; raises Wrong."""
    known: dict[str, Schema] = schema["properties"]
    found = {name: value for name, value in given.items() if value is not None}
    for name in found:
        if name not in known:
            near = get_close_matches(name[:64], known, 1)
            meant = f"Did you mean `{near[0]}`? " if near else ""
            allowed = ", ".join(known) or "none"
            raise Wrong(
                name[:64], f"There is no argument `{name[:64]}`.", f"{meant}It takes: {allowed}."
            )
    for name in schema.get("required", ()):
        if name not in found:
            raise Wrong(name, f"`{name}` is missing.", f"It takes {told(known[name])}.")
    return {name: _one(name, value, known[name]) for name, value in found.items()}


def told(schema: Schema) -> str:
    """Return in words what an argument takes."""
    if "enum" in schema:
        return "one of " + ", ".join(schema["enum"])
    words = " or ".join(_WORDS[kind] for kind in _types(schema))
    if "minimum" in schema:
        words += f" from {schema['minimum']} to {schema['maximum']}"
    if "items" in schema:
        words += f" (of {told(schema['items'])})"
    return words


def _one(name: str, value: Any, schema: Schema) -> Any:
    value = _number(value, schema)
    if not _fits(value, schema):
        shown = json.dumps(value, ensure_ascii=False)[:80]
        raise Wrong(name, f"`{name}` is {shown}.", f"It takes {told(schema)}.")
    return value


def _number(value: Any, schema: Schema) -> Any:
    """Return the number in a text, where only a number is right: models write `"5"` for 5."""
    kinds = _types(schema)
    if isinstance(value, str) and "string" not in kinds and value.isascii() and value.isdigit():
        return int(value[:18]) if {"integer", "number"} & {*kinds} else value
    if isinstance(value, float) and value.is_integer() and "number" not in kinds:
        return int(value)
    return value


def _fits(value: Any, schema: Schema) -> bool:
    if not any(_is(value, kind) for kind in _types(schema)):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if "minimum" in schema and not schema["minimum"] <= value <= schema["maximum"]:
        return False
    if isinstance(value, list):
        return all(_fits(item, schema.get("items", {"type": [*_KINDS]})) for item in value)
    return True


def _is(value: Any, kind: str) -> bool:
    return isinstance(value, _KINDS[kind]) and (kind == "boolean") == isinstance(value, bool)


def _types(schema: Schema) -> list[str]:
    kind = schema["type"]
    return [kind] if isinstance(kind, str) else kind
