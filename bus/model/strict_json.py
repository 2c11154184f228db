"""JSON as it should be: what Python's parser lets pass and a log must not hold is refused here.

Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

import orjson

from bus.errors import BadJson

MAX_DEPTH = 16
# No request needs so many texts, numbers and brackets in one object; a member's megabytes of them
# held a worker for seconds.
MAX_VALUES = 5_000
# Fewer bytes than this cannot hold so many that it matters.
_SMALL = 8 * 1024
_PIECE = 32 * 1024
_TEXTS_A_TURN = 1_000
# Possessive, and a text without an end is one token: otherwise a hostile megabyte of \\" takes an
# hour.
_BRACKETS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)
_IN_TEXT = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)

Rest = Callable[[], object]


def load_object(data: bytes, what: str = "The body", rest: Rest = lambda: None) -> dict[str, Any]:
    """Return the object in these bytes; raises BadJson for anything but one strict JSON object in
    UTF-8.

    Refused: invalid UTF-8, a byte order mark, NaN and infinities, duplicate keys, more than 16
    levels, more than 5,000 texts, numbers and brackets, numbers too long to hold, lone surrogates,
    and NUL in any text. `rest` is called now and then while a large one is looked through.
    """
    if len(data) <= _SMALL:
        _check_depth(data, what)
        colons = data.count(b":")
    else:
        scan = _Scan(data, what, rest)
        scan.run()
        colons = scan.colons
    value = _quickly(data, colons, what)
    return _strictly(data, what) if value is None else value


def _quickly(data: bytes, colons: int, what: str) -> dict[str, Any] | None:
    """Return the object, by a parser that is a few times faster and less strict; None where the
    strict one has to look.

    `colons` is at least the number of pairs: where the parsed object has as many, no key was there
    twice.
    """
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(value, dict) or _pairs(value) != colons:
        return None
    if b"\\u" in data:
        _check_texts(value, what)
    return value


def _pairs(top: dict[str, Any]) -> int:
    """Return how many pairs there are on all levels; -1 where a number may have been too long for
    its kind.
    """
    found = 0
    left: list[Any] = [top]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            found += len(value)
            items: Iterable[Any] = value.values()
        else:
            items = value
        for item in items:
            if isinstance(item, (dict, list)):
                left.append(item)
            elif isinstance(item, float) and abs(item) >= 2**63:
                return -1
    return found


def _strictly(data: bytes, what: str) -> dict[str, Any]:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadJson(
            f"{what} is not UTF-8: byte {error.start} is {data[error.start]:#04x}."
        ) from None
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise BadJson(
            f"{what} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from None
    except (ValueError, RecursionError) as error:
        raise BadJson(f"{what} is not strict JSON: {error}.") from None
    if not isinstance(value, dict):
        raise BadJson(f"{what} is a JSON {_kind(value)}, not an object.")
    if "\\u" in text or "\0" in text:
        _check_texts(value, what)
    return value


def _check_depth(data: bytes, what: str) -> None:
    if data.count(b"{") + data.count(b"[") <= MAX_DEPTH:
        return
    depth = 0
    for found in _BRACKETS.finditer(data):
        depth = _deeper(depth, found[0], what)


def _deeper(depth: int, token: bytes, what: str) -> int:
    if token in b"{[":
        if depth == MAX_DEPTH:
            raise BadJson(f"{what} is nested more than {MAX_DEPTH} levels deep.")
        return depth + 1
    return depth - (token in b"}]")


class _Scan:
    """Counts what is in a large text before any of it is made, in pieces, and stops at the first
    too many.
    """

    def __init__(self, data: bytes, what: str, rest: Rest) -> None:
        self._data, self._what, self._rest = data, what, rest
        self._values = self._depth = 0
        self.colons = 0

    def run(self) -> None:
        """Raise BadJson for too many values or levels."""
        at, turns = 0, 0
        while at < len(self._data):
            quote = self._data.find(b'"', at, at + _PIECE)
            end = min(at + _PIECE, len(self._data)) if quote < 0 else quote
            self._outside(self._data[at:end])
            at = end if quote < 0 else self._behind_text(quote + 1)
            turns += 1
            if turns % _TEXTS_A_TURN == 0:
                self._rest()

    def _outside(self, piece: bytes) -> None:
        colons = piece.count(b":")
        brackets = piece.count(b"[") + piece.count(b"{")
        self.colons += colons
        closing = piece.count(b"]") + piece.count(b"}")
        self._values += colons + brackets + piece.count(b",")
        if max(self._values, closing) > MAX_VALUES:
            raise BadJson(
                f"{self._what} has more than {MAX_VALUES} texts, numbers and brackets.",
                hint="Put what is large into one text, or where the reader can fetch it.",
            )
        if brackets or closing:
            for found in _BRACKETS.finditer(piece):
                self._depth = _deeper(self._depth, found[0], self._what)

    def _behind_text(self, at: int) -> int:
        """Return the place behind the end of the text that goes on here."""
        size = len(self._data)
        while at < size:
            stop = min(at + _PIECE, size)
            quote = self._data.find(b'"', at, stop)
            if self._data.find(b"\\", at, stop if quote < 0 else quote) < 0:
                if quote >= 0:
                    return quote + 1
                at = stop
                continue
            found = _IN_TEXT.match(self._data, at, stop)
            at = found.end() if found else stop
            if self._data[at : at + 1] == b'"':
                return at + 1
            if stop == size:
                break
            self._rest()
        return size  # a text without an end: the parser says so


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
    raise ValueError(f"{name} is not a JSON number")


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
    return {list: "array", str: "string", bool: "boolean", type(None): "null"}.get(
        type(value), "number"
    )


_DECODER = json.JSONDecoder(
    object_pairs_hook=_no_duplicates,
    parse_constant=_no_constant,
    parse_float=_finite,
    parse_int=_whole,
)
