"""The kinds of fields that several shapes have: names, times, choices, numbers, in JSON and as
texts of a query. No I/O.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from bus.errors import BadField
from bus.model import checks
from bus.model.checks import MAX_EXPIRY_S, MAX_SEQ, shown
from bus.model.records import NAME
from bus.model.shape import Json, Kind, Shape

_PART = "[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_NOBODY: Json = {"not": {"pattern": "^([aA][nN][yY]|[aA][lL][lL])(/.*)?$"}}
NAME_SCHEMA: Json = {"type": "string", "pattern": f"^{NAME.pattern}$", **_NOBODY}
MACHINE_SCHEMA: Json = {"type": "string", "pattern": f"^{_PART}$", **_NOBODY}
ULID_SCHEMA: Json = {"type": "string", "pattern": "^[0-9A-Za-z]{26}$"}
# Besides, the `old_id` of an imported message is taken: of what form it is, only the hub that has
# it knows.
REFERENCE_TEXT_SCHEMA: Json = {
    "type": "string",
    "pattern": r"^([0-9]{1,18}|[0-9A-Za-z]{26})(\.[A-Za-z][0-9A-Za-z]{3})?$",
}
_SEQ_SCHEMA: Json = {"type": "integer", "minimum": 0, "maximum": MAX_SEQ - 1}

CALLER_OR_SESSION = "the caller, which it is when left out, or one of its sessions"


def _machine(value: Any, field: str) -> str:
    name = checks.agent(value, field)
    if "/" in name:
        raise BadField(
            f"`{field}` is {shown(name)}: a session is not a target.",
            hint="Give the machine's name.",
            field=field,
        )
    return name


def _text(value: Any, field: str) -> str:
    return str(value)


AGENT = Kind(checks.agent, NAME_SCHEMA)
TARGET = Kind(_machine, MACHINE_SCHEMA)
TEXT = Kind(_text, {"type": "string"})
# Formats of our own, where no pattern says the same in every dialect: printable Unicode without
# space around it, and in a tag without a comma.
TAG = Kind(
    lambda value, field: checks.label(value, field, 64, forbidden=","),
    {"type": "string", "minLength": 1, "maxLength": 64, "format": "bus-tag"},
)
THREAD = Kind(
    lambda value, field: checks.label(value, field, 128),
    {"type": "string", "minLength": 1, "maxLength": 128, "format": "bus-label"},
)
REFERENCE = Kind(checks.reference, {"oneOf": [_SEQ_SCHEMA, REFERENCE_TEXT_SCHEMA]})
REFERENCE_TEXT = Kind(checks.reference, REFERENCE_TEXT_SCHEMA)
KEY = Kind(
    checks.key,
    {
        "type": "string",
        "minLength": 1,
        "maxLength": 255,
        "pattern": "^[ -~]+$",
        "description": "the idempotency key",
    },
)


def expiry(longest: int = MAX_EXPIRY_S, hint: str = "") -> Kind:
    """Return seconds until something ends."""

    def check(value: Any, field: str) -> float:
        seconds = checks.expiry(value, field)
        if seconds > longest:
            raise BadField(f"`{field}` is {seconds:g}.", hint=hint, field=field)
        return seconds

    return Kind(check, {"type": "number", "minimum": 1, "maximum": longest})


# -- texts of a query ----------------------------------------------------------------------------


def choice(values: Iterable[str], hint: str = "") -> Kind:
    """Return one of these words."""
    allowed = tuple(values)
    rule = hint or f"One of {', '.join(allowed)}."

    def check(value: Any, field: str) -> str:
        if value not in allowed:
            raise BadField(f"`{field}` is {value[:40]!r}.", hint=rule, field=field)
        return str(value)

    return Kind(check, {"enum": list(allowed)}, missing=rule)


def whole(low: int, high: int) -> Kind:
    """Return a whole number within bounds, as text."""

    def check(value: Any, field: str) -> int:
        longest = len(str(high))
        is_number = value.isascii() and value.isdigit() and len(value) <= longest
        if not is_number or not low <= int(value) <= high:
            rule = f"A whole number from {low} to {high}."
            raise BadField(f"`{field}` is {value[:40]!r}.", hint=rule, field=field)
        return int(value)

    return Kind(check, {"type": "integer", "minimum": low, "maximum": high})


def number(low: float, high: float, hint: str) -> Kind:
    """Return a number within bounds, as text."""

    def check(value: Any, field: str) -> float:
        found = checks.number(value, field)
        if not low <= found <= high:
            raise BadField(f"`{field}` is {found:g}.", hint=hint, field=field)
        return found

    return Kind(check, {"type": "number", "minimum": low, "maximum": high})


def _zero_or_one(value: Any, field: str) -> int:
    """Return 0 or 1, of JSON (true and false too) or of a text."""
    if isinstance(value, str) and value in ("0", "1"):
        return int(value)
    if not isinstance(value, (bool, int)) or value not in (0, 1):
        raise BadField(f"`{field}` is {shown(value)}.", hint="0 or 1.", field=field)
    return int(value)


ONE_OR_FLAG = Kind(_zero_or_one, {"enum": [0, 1, True, False]})
ZERO_OR_ONE = Kind(whole(0, 1).check, {"enum": [0, 1]})
MAX_WAIT_S = 60
WAIT = number(0, MAX_WAIT_S, f"0 to {MAX_WAIT_S} seconds are allowed.")


@dataclass(frozen=True, kw_only=True)
class Format(Shape):
    """The query of a route that answers in JSON or in text; None leaves it to `Accept`."""

    format: Annotated[str | None, choice(("json", "text")), "instead of Accept"] = None


# -- values of JSON ------------------------------------------------------------------------------


def flag(hint: str, what: str = "") -> Kind:
    """True or false; `what` is the refusal where it does not show the value."""

    def check(value: Any, field: str) -> bool:
        if not isinstance(value, bool):
            said = f"`{field}` is {what}." if what else f"`{field}` is {shown(value)}."
            raise BadField(said, hint=hint, field=field)
        return value

    return Kind(check, {"type": "boolean"})


def matching(pattern: re.Pattern[str], hint: str) -> Kind:
    """Return a text of this form."""

    def check(value: Any, field: str) -> str:
        if not isinstance(value, str) or pattern.fullmatch(value) is None:
            raise BadField(f"`{field}` is {shown(value)}.", hint=hint, field=field)
        return value

    return Kind(check, {"type": "string", "pattern": f"^({pattern.pattern})$"})


def one_of(values: Iterable[str]) -> Kind:
    """Return one of these words, in JSON."""
    allowed = tuple(values)

    def check(value: Any, field: str) -> str:
        if not isinstance(value, str) or value not in allowed:
            rule = f"One of {', '.join(allowed)}."
            raise BadField(f"`{field}` is {shown(value)}.", hint=rule, field=field)
        return value

    return Kind(check, {"enum": list(allowed)})
