"""The kinds of fields that a call has: commands, paths, bytes, variables, names of snapshots.

No I/O.
"""

from __future__ import annotations

import base64
import re
from typing import Any

from bus.errors import BadField, MissingField, TooLarge
from bus.model.checks import shown
from bus.model.kinds import TEXT, flag, matching
from bus.model.shape import Kind

MAX_COMMAND, MAX_ARGV, MAX_ENV, MAX_PATH = 64 * 1024, 1024, 64, 4096
MAX_LIMIT = 2**53  # of the bytes of a file: no limit

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_OURS = re.compile(r"BUS_EXEC_ID|__bus_.*")
_PATH_RULE = (
    "An absolute path of at most 4096 bytes: no `..`, no part that begins with `-`, "
    "no control character."
)


def _path(value: Any, field: str) -> str:
    if value is None:
        raise MissingField(f"`{field}` is missing.", hint="Give an absolute path.", field=field)
    if not isinstance(value, str):
        raise BadField(f"`{field}` is {shown(value)}, not text.", field=field)
    parts = value.split("/")
    if (
        not value.startswith("/")
        or len(value.encode()) > MAX_PATH
        or ".." in parts
        or any(part.startswith("-") for part in parts)
        or any(ord(char) < 32 or ord(char) == 127 for char in value)
    ):
        raise BadField(f"`{field}` is {shown(value)}.", hint=_PATH_RULE, field=field)
    return value


def _text(value: Any, field: str, longest: int) -> str:
    if not isinstance(value, str) or value == "":
        raise BadField(
            f"`{field}` is {shown(value)}.", hint="Give text, at least one character.", field=field
        )
    _check_size(field, len(value.encode()), longest)
    return value


def _check_size(field: str, size: int, limit: int) -> None:
    if size > limit:
        raise TooLarge(
            f"`{field}` is {size} bytes; at most {limit} are allowed.", size=size, limit=limit
        )


def _command(value: Any, field: str) -> str:
    return _text(value, field, MAX_COMMAND)


def _argv(value: Any, field: str) -> list[str]:
    if (
        not isinstance(value, list)
        or not 1 <= len(value) <= MAX_ARGV
        or not all(isinstance(item, str) for item in value)
    ):
        raise BadField(
            "`argv` is not a list of texts.",
            hint=f"1 to {MAX_ARGV} texts, the first the program.",
            field=field,
        )
    _text(value[0], field, MAX_PATH)
    if value[0].startswith("-"):
        raise BadField(
            f"`argv` begins with {shown(value[0])}.",
            hint="The first text is the program.",
            field=field,
        )
    _check_size(field, sum(len(item.encode()) + 1 for item in value), MAX_COMMAND)
    return value


def _env(value: Any, field: str) -> dict[str, str]:
    if (
        not isinstance(value, dict)
        or len(value) > MAX_ENV
        or not all(isinstance(text, str) for text in value.values())
    ):
        raise BadField(
            "`env` is not an object of texts, or has too many.",
            hint=f"Up to {MAX_ENV} variables.",
            field=field,
        )
    for name in value:
        if _VARIABLE.fullmatch(name) is None or _OURS.fullmatch(name):
            raise BadField(
                f"`env` has {shown(name)}.",
                hint="Names are letters, digits and underscores.",
                field=field,
            )
    _check_size(field, sum(len(text.encode()) for text in value.values()), MAX_COMMAND)
    return dict(sorted(value.items()))


def _bytes(value: Any, field: str) -> str:
    if value is None:
        raise MissingField(
            f"`{field}` is missing.",
            hint="Give the whole content of the file; it may be empty.",
            field=field,
        )
    if not isinstance(value, str):
        raise BadField(f"`{field}` is {shown(value)}, not text.", field=field)
    return value


def as_base64(value: str, field: str, encoding: Any, how: str) -> str:
    """Return bytes that came as text or as base64, as base64; `how` is the field of the encoding.

    Raises BadField.
    """
    if encoding == "utf-8":
        return base64.b64encode(value.encode()).decode()
    if encoding != "base64":
        raise BadField(f"`{how}` is {shown(encoding)}.", hint="One of utf-8, base64.", field=how)
    try:
        return base64.b64encode(base64.b64decode(value, validate=True)).decode()
    except ValueError as error:
        raise BadField(f"`{field}` is not base64: {error}.", field=field) from None


def whole(low: int, high: int) -> Kind:
    """Return a whole number of JSON, which may be written with a decimal point."""

    def check(value: Any, field: str) -> int:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not low <= value <= high or value != int(value):
            raise BadField(
                f"`{field}` is {shown(value)}.",
                hint=f"A whole number from {low} to {high}.",
                field=field,
            )
        return int(value)

    return Kind(check, {"type": "integer", "minimum": low, "maximum": high})


def seconds(low: float, high: float) -> Kind:
    """Return a number of seconds."""

    def check(value: Any, field: str) -> float:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not low <= value <= high:
            raise BadField(
                f"`{field}` is {shown(value)}.", hint=f"Seconds, {low:g} to {high:g}.", field=field
            )
        return float(value)

    return Kind(check, {"type": "number", "minimum": low, "maximum": high})


COMMAND = Kind(_command, {"type": "string", "minLength": 1, "maxLength": MAX_COMMAND})
_PROGRAM = {"type": "string", "pattern": "^[A-Za-z0-9/_.]+$", "maxLength": MAX_PATH}
ARGV = Kind(
    _argv,
    {
        "type": "array",
        "prefixItems": [_PROGRAM],
        "items": TEXT.schema,
        "minItems": 1,
        "maxItems": MAX_ARGV,
    },
)
PATH = Kind(
    _path,
    {
        "type": "string",
        "maxLength": MAX_PATH,
        "pattern": r"^(/([A-Za-z0-9_][A-Za-z0-9_.-]*)?)+$",
        "description": "absolute; no `..`, no part that begins with a hyphen, "
        "no control character (the pattern is narrower)",
    },
)
ENV = Kind(
    _env,
    {
        "type": "object",
        "maxProperties": MAX_ENV,
        "patternProperties": {f"^{_VARIABLE.pattern}$": TEXT.schema},
        "additionalProperties": False,
    },
)
# A format of our own: what is right both as text and as base64, whatever the encoding beside it
# says.
BYTES = Kind(
    _bytes,
    {
        "type": "string",
        "format": "bus-bytes",
        "description": "text, or base64 where the encoding says so",
    },
)
# What an encoding says counts only beside the bytes, so it is looked at with them.
ENCODING = Kind(lambda value, field: value, {"enum": ["utf-8", "base64"]})
USER = matching(
    re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}|[0-9]{1,10}(:[0-9]{1,10})?"),
    "A user's name, its number, or uid:gid.",
)
MODE = matching(re.compile(r"0?[0-7]{3,4}"), 'Octal digits as text, such as "0644".')
SHA256 = matching(re.compile(r"([0-9a-f]{64})?"), "64 hex digits in small letters, or empty.")
SNAPSHOT = matching(
    re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"),
    "1 to 63 letters, digits, dots, underscores or hyphens, the first no sign.",
)
LISTED_SNAPSHOT = Kind(
    SNAPSHOT.check, SNAPSHOT.schema, missing="GET /api/container/snapshots?name=NAME lists them."
)
YES_OR_NO = flag("true or false.")
