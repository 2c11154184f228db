"""Checks that every shape needs: names, references, labels, keys and numbers, nothing guessed.

No I/O.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from difflib import get_close_matches
from math import isnan
from typing import Any

from bus.errors import BadField, MissingField, UnknownField
from bus.model import context_refs
from bus.model.records import EVERYBODY, NAME

MAX_SEQ = 10**18
MAX_EXPIRY_S = 366 * 24 * 3600
# An id that a message had in a bus that it was imported from.
OLD_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+=~-]{0,127}")
_NAME_RULE = (
    "1 to 64 letters, digits, dots, underscores or hyphens, the first a letter or digit; /session"
    " may follow"
)
EVERYBODY_TOO = ("all", EVERYBODY)


def check_fields(given: Iterable[str], allowed: Iterable[str], what: str = "field") -> None:
    """Refuse a name that is not among those allowed, with the nearest that is; raises
    UnknownField.
    """
    allowed = tuple(allowed)
    for name in given:
        if name not in allowed:
            near = get_close_matches(name[:64], allowed, 1)
            meant = f"Did you mean `{near[0]}`? " if near else ""
            known = f"Allowed: {', '.join(allowed)}." if allowed else f"It takes no {what}s."
            raise UnknownField(
                f"There is no {what} {name[:64]!r} here.",
                hint=f"{meant}{known}",
                field=name[:64],
            )


def name(value: Any, field: str) -> str:
    """Return an agent's name; raises BadField or MissingField."""
    if value is None:
        raise MissingField(
            f"`{field}` is missing.", hint=f"Give a name: {_NAME_RULE}.", field=field
        )
    if not isinstance(value, str) or NAME.fullmatch(value) is None:
        raise BadField(
            f"`{field}` is {shown(value)}, which is not a name.",
            hint=f"A name is {_NAME_RULE}.",
            field=field,
        )
    if value[0] not in "aA" or value in EVERYBODY_TOO:
        return value
    if value.partition("/")[0].lower() in EVERYBODY_TOO:
        raise BadField(
            f"`{field}` is {shown(value)}, which looks like everybody and is not.",
            hint="Write `any`.",
            field=field,
        )
    return value


def agent(value: Any, field: str) -> str:
    """Return the name of one agent; `any` and `all` are nobody's."""
    who = name(value, field)
    if who in EVERYBODY_TOO:
        raise BadField(
            f"`{field}` is {who!r}, which stands for everybody.",
            hint="Give one agent's name.",
            field=field,
        )
    return who


def label(value: Any, field: str, longest: int, forbidden: str = "") -> str:
    """Return a short printable text without space around it."""
    if (
        not isinstance(value, str)
        or not 1 <= len(value) <= longest
        or value != value.strip()
        or not value.isprintable()
        or (forbidden != "" and forbidden in value)
    ):
        rule = f"1 to {longest} printable characters, no space around them" + (
            ", no comma" if forbidden else ""
        )
        raise BadField(f"`{field}` holds {shown(value)}.", hint=f"It takes {rule}.", field=field)
    return value


def reference(value: Any, field: str) -> str | int:
    """Return the id or seq of a record, not looked up yet: a seq as a number, an id in capitals, an
    `OldId` for what is neither. With a nonce behind it, it is a reference of `context_refs`.
    """
    if (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and 0 <= value < MAX_SEQ
        and value == int(value)
    ):
        return int(value)
    if isinstance(value, str) and value.isascii():
        if value.isdigit() and len(value) < len(str(MAX_SEQ)):
            return int(value)
        if len(value) == 26 and value.isalnum():
            return value.upper()
        if (shown := context_refs.read(value)) is not None:
            return shown
        if OLD_ID.fullmatch(value):
            return OldId(value, field)
    raise _no_reference(value, field)


class OldId(str):
    """What can only be an id of before an import.

    Where there is no such message, it is a mistake like any other: `refusal`.
    """

    def __new__(cls, value: str, field: str) -> OldId:
        made = super().__new__(cls, value)
        made.field = field
        return made

    field: str

    def refusal(self) -> BadField:
        return _no_reference(str(self), self.field)


def _no_reference(value: Any, field: str) -> BadField:
    return BadField(
        f"`{field}` is {shown(value)}.",
        hint="Give a message's id (26 letters and digits) or seq.",
        field=field,
    )


def old_key(old_id: str) -> str:
    """By what a message with this id in another bus is found: `old:17` for a number, which could be
    taken for a seq.
    """
    if old_id.isdigit() and len(old_id) < len(str(MAX_SEQ)):
        return f"old:{old_id}"
    return old_id.upper() if len(old_id) == 26 and old_id.isalnum() else old_id


def key(value: Any, field: str) -> str:
    """Return an idempotency key; quotes around it, as the IETF draft's structured field has them,
    are taken off.
    """
    if isinstance(value, str) and len(value) > 2 and value[0] == value[-1] == '"':
        value = value[1:-1]
    if (
        not isinstance(value, str)
        or not 1 <= len(value) <= 255
        or not (value.isascii() and value.isprintable())
    ):
        raise BadField(
            f"`{field}` is {shown(value)}.",
            hint="A key is 1 to 255 printable ASCII characters.",
            field=field,
        )
    return value


def number(text: str, field: str) -> float:
    """Return a plain number in a query or form; raises BadField."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if isnan(value) or not text.isascii() or "_" in text:
        raise BadField(f"`{field}` is {shown(text)}, not a number.", field=field)
    return int(value) if value == value // 1 and abs(value) < 2**53 else value


def expiry(value: Any, field: str) -> float:
    """Return seconds until a message or a permission ends."""
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not 1 <= value <= MAX_EXPIRY_S
    ):
        raise BadField(
            f"`{field}` is {shown(value)}.",
            hint=f"A number of seconds from 1 to {MAX_EXPIRY_S}.",
            field=field,
        )
    return value


def shown(value: Any) -> str:
    """Return a value in an error message: short, and harmless in a terminal."""
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "…"
