"""When the hub posts a check-up by itself, and to whom. No I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bus.model.groups import as_recipient
from bus.model.records import EVERYBODY, NAME

MAX_NAMES, MAX_TIMES = 32, 24
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")


@dataclass(frozen=True)
class Plan:
    """`to` are names, topics and roles; none: nothing is posted. `times` are minutes of a UTC day,
    in order; `always`: also when nothing is stuck.
    """

    to: tuple[str, ...] = ()
    times: tuple[int, ...] = (9 * 60,)
    always: bool = False

    def around(self, now_s: float) -> tuple[datetime, datetime]:
        """Return the last time at or before a moment (Unix seconds), and the next one."""
        now = datetime.fromtimestamp(now_s, UTC)
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        all_of_them = [
            today + timedelta(days=day, minutes=minutes)
            for day in (-1, 0, 1)
            for minutes in self.times
        ]
        last = max(time for time in all_of_them if time <= now)
        return last, min(time for time in all_of_them if time > now)


def plan(to: str, at: str, always: bool) -> Plan:
    """Return the plan in three settings; raises ValueError."""
    return Plan(recipients(to), times(at), always)


def recipients(text: str) -> tuple[str, ...]:
    """Return the names, topics and roles in a setting, with commas; raises ValueError."""
    found = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    if len(found) > MAX_NAMES:
        raise ValueError(f"it names more than {MAX_NAMES}")
    return tuple(map(_recipient, found))


def _recipient(word: str) -> str:
    if word in (EVERYBODY, "all"):
        return EVERYBODY
    if NAME.fullmatch(word) is not None:
        return word
    group = as_recipient(word)
    if group is None:
        raise ValueError(f"{word!r} is no name, topic (#ops, topic:ops) or role (role:manager)")
    return group


def times(text: str) -> tuple[int, ...]:
    """Return the minutes of the day in a setting such as `09:00,17:30`; raises ValueError."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    found = set()
    for word in words:
        time = _TIME.fullmatch(word)
        if time is None:
            raise ValueError(f"{word!r} is no time of day such as 09:00")
        found.add(int(time[1]) * 60 + int(time[2]))
    if not 1 <= len(found) <= MAX_TIMES:
        raise ValueError(f"it takes 1 to {MAX_TIMES} times of day, such as 09:00,17:30")
    return tuple(sorted(found))


NO_PLAN = Plan()
