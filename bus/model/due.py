"""Dates and times that people write: `2026-03-28`, or a time with its zone. No I/O."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

from bus.errors import BadField
from bus.model.checks import shown
from bus.model.shape import Kind

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(
    rf"({_DAY.pattern})[T ]([0-9]{{2}}:[0-9]{{2}}(?::[0-9]{{2}}(?:\.[0-9]{{1,6}})?)?)"
    r" ?(Z|[+-][0-9]{2}:?[0-9]{2})?"
)
_HINT = "A date such as 2026-03-28, or a time such as 2026-03-28T17:00:00Z."


def _moment(text: str) -> datetime | date | None:
    """Return what a text says, a time perhaps without a zone; None for neither."""
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
        if (found := _TIME.fullmatch(text)) is not None:
            return datetime.fromisoformat(f"{found[1]}T{found[2]}{found[3] or ''}")
    except ValueError:
        return None
    return None


def is_in_reach(moment: datetime | date) -> bool:
    """Return whether a year is one that people mean."""
    return 1970 <= moment.year < 9000


def a_date(value: Any, field: str) -> str:
    """Return a date or a time, with or without a zone, as it was written."""
    moment = _moment(value) if isinstance(value, str) else None
    if moment is None or not is_in_reach(moment):
        raise BadField(f"`{field}` is {shown(value)}, which is no date.", hint=_HINT, field=field)
    return str(value)


def a_due(value: Any, field: str) -> str:
    """Return when something is due as it was written: a day, or a time with its zone."""
    written = a_date(value, field)
    moment = _moment(written)
    if isinstance(moment, datetime) and moment.tzinfo is None:
        hint = f"Say the zone: {written}Z is UTC."
        raise BadField(f"`{field}` is {shown(value)}, without a zone.", hint=hint, field=field)
    return written


def is_due(text: str) -> bool:
    """Return whether `a_due` takes a text."""
    try:
        a_due(text, "due")
    except BadField:
        return False
    return True


def due_ms(due: str) -> int:
    """Return the Unix milliseconds from which on something is overdue: a day is over in UTC."""
    moment = _moment(due)
    assert moment is not None
    if not isinstance(moment, datetime):
        midnight = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
        moment = midnight + timedelta(days=1)
    return round(moment.timestamp() * 1000)


_PATTERN = r"^20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])$"
DATE = Kind(a_date, {"type": "string", "pattern": _PATTERN})
DUE = Kind(a_due, {"type": "string", "pattern": _PATTERN})
