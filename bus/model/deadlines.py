"""When a message must be acknowledged: `ack_by`. No I/O."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

from bus.errors import BadField
from bus.model.checks import MAX_EXPIRY_S, number, shown
from bus.model.shape import Kind

_HINT = f"Seconds from 1 to {MAX_EXPIRY_S}, or a time such as 2026-11-20T20:14:27Z."


def ack_by(value: Any, field: str) -> float | str:
    """Return when a message must be acknowledged: seconds from now, or a time with its zone."""
    if isinstance(value, str):
        try:
            when = datetime.fromisoformat(value)
        except ValueError:
            when = None
        if when is None or when.tzinfo is None or not 2000 <= when.year < 9000:
            raise BadField(f"`{field}` is {shown(value)}.", hint=_HINT, field=field)
        return when.astimezone(UTC).isoformat(timespec="milliseconds")[:23] + "Z"
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not 1 <= value <= MAX_EXPIRY_S:
        raise BadField(f"`{field}` is {shown(value)}.", hint=_HINT, field=field)
    return float(value)


def ack_by_text(text: str) -> float | str:
    """Return the same of a query or a form: a number, or a time as it is."""
    return text if ":" in text else number(text, "ack_by")


_TIME = r"^20\d\d-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])T([01]\d|2[0-3]):[0-5]\d:[0-5]\dZ$"
ACK_BY = Kind(
    ack_by,
    {
        "oneOf": [
            {"type": "number", "minimum": 1, "maximum": MAX_EXPIRY_S},
            {"type": "string", "pattern": _TIME},
        ]
    },
)
