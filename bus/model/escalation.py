"""The escalation ladder: what the hub does step by step while nobody acknowledges. No I/O."""

from __future__ import annotations

import re
from typing import NamedTuple

from bus.model.records import NAME

WAKE, CANDIDATES, SENDER, HUMAN, END = "wake", "candidates", "sender", "human", "end"
RUNGS = (WAKE, CANDIDATES, SENDER, HUMAN)
LONGEST_S = 7 * 86_400
# Why nobody was told at a step.
NOBODY, LIMIT, UNPROVEN = "nobody", "limit", "unproven"
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}
_RUNG = re.compile(r"(\w+):(\d{1,6})([smhd]?)")


class Rung(NamedTuple):
    """A step, and how many seconds after the deadline it is taken."""

    step: str
    after_s: int


def ladder(text: str) -> tuple[Rung, ...]:
    """Return the steps of a setting such as `wake:0 candidates:10m sender:30m human:1h`; raises
    ValueError.
    """
    found: list[Rung] = []
    for word in text.split():
        parts = _RUNG.fullmatch(word)
        if parts is None or parts[1] not in RUNGS:
            raise ValueError(f"{word!r} is not a step: one of {', '.join(RUNGS)}, as human:1h")
        found.append(Rung(parts[1], int(parts[2]) * _UNITS[parts[3]]))
    order = [RUNGS.index(rung.step) for rung in found]
    times = [rung.after_s for rung in found]
    if sorted(set(order)) != order or sorted(times) != times:
        raise ValueError(f"the steps are not in the order {', '.join(RUNGS)}, each later")
    if times and times[-1] > LONGEST_S:
        raise ValueError("a step is more than 7 days after the deadline")
    return tuple(found)


def people(text: str) -> tuple[str, ...]:
    """Return the names in a setting, with commas between them; raises ValueError."""
    found = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    for name in found:
        if NAME.fullmatch(name) is None:
            raise ValueError(f"{name!r} is no name")
    return found
