"""JSON as it should be: what Python's parser lets pass and a log must not hold is refused here. Pure."""

from __future__ import annotations

import json
import re
from typing import Any

from bus.errors import BadJson

MAX_DEPTH = 16
# No request needs so many; looking through 16 MiB of them would hold up everybody for seconds.
MAX_BRACKETS = 50_000
# Possessive, and a text without an end is one token: otherwise a hostile megabyte of \\" takes an hour.
_BRACKETS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)


def load_object(data: bytes, what: str = "The body") -> dict[str, Any]:
    """The object in these bytes; raises BadJson for anything but one strict JSON object in UTF-8.

    Refused: invalid UTF-8, a byte order mark, NaN and infinities, duplicate keys, more than 16 levels,
    numbers too long to hold, lone surrogates, and NUL in any text.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadJson(f"{what} is not UTF-8: byte {error.start} is {data[error.start]:#04x}.") from None
    _check_depth(data, what)
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise BadJson(f"{what} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.") from None
    except (ValueError, RecursionError) as error:
        raise BadJson(f"{what} is not strict JSON: {error}.") from None
    if not isinstance(value, dict):
        raise BadJson(f"{what} is a JSON {_kind(value)}, not an object.")
    if "\\u" in text or "\0" in text:
        _check_texts(value, what)
    return value


def _check_depth(data: bytes, what: str) -> None:
    brackets = data.count(b"{") + data.count(b"[")
    if brackets <= MAX_DEPTH:
        return
    if brackets > MAX_BRACKETS:
        raise BadJson(f"{what} has {brackets} opening brackets; at most {MAX_BRACKETS} are read.")
    depth = 0
    for found in _BRACKETS.finditer(data):
        token = found[0]
        if token in b"{[":
            depth += 1
            if depth > MAX_DEPTH:
                raise BadJson(f"{what} is nested more than {MAX_DEPTH} levels deep.")
        elif token in b"}]":
            depth -= 1


def _check_texts(value: Any, what: str) -> None:
    """Refuse NUL and lone surrogates, which only an escape can bring in."""
    if isinstance(value, str):
        check_text(value, what)
    elif isinstance(value, list):
        for item in value:
            _check_texts(item, what)
    elif isinstance(value, dict):
        for key, item in value.items():
            check_text(key, what)
            _check_texts(item, what)


def check_text(text: str, what: str) -> None:
    """Refuse text that cannot be written as UTF-8 or holds a NUL; raises BadJson."""
    if "\0" in text:
        raise BadJson(f"{what} holds a NUL character.")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadJson(f"{what} holds a lone surrogate, \\u{ord(text[error.start]):04x}.") from None


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the key {key!r} is there twice")
            seen.add(key)
    return made


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"the number {text[:20]} is too large")
    return value


def _whole(text: str) -> int:
    value = int(text)
    if not -(2**63) <= value < 2**64:
        raise ValueError(f"the number {text[:20]}… does not fit in 64 bits")
    return value


def _kind(value: Any) -> str:
    return {list: "array", str: "string", bool: "boolean", type(None): "null"}.get(type(value), "number")


_DECODER = json.JSONDecoder(object_pairs_hook=_no_duplicates, parse_constant=_no_constant, parse_float=_finite, parse_int=_whole)
