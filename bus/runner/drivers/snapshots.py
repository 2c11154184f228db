"""How snapshots are named, and which one a name means. Pure.

The first without a name of a day (in UTC) is called by its date, `2026-02-27`, later ones
`2026-02-27-2`, `-3`, …. A restore keeps what was there before as `before-restore-20260227-140501`.
Every other name is somebody's own.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import NamedTuple

DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_DATED = re.compile(r"(\d{4}-\d{2}-\d{2})(?:-(\d{1,9}))?")
_BY_RESTORE = re.compile(r"before-restore-\d{8}-\d{6}(-\d{1,9})?")


class Snapshot(NamedTuple):
    """A snapshot and when it was made."""

    name: str
    made: datetime

    @property
    def is_by_restore(self) -> bool:
        """Return whether a restore made it by itself."""
        return _BY_RESTORE.fullmatch(self.name) is not None


def dated(names: Collection[str], now: datetime) -> str:
    """Return the name of the next snapshot of this day."""
    day = now.astimezone(UTC).strftime("%Y-%m-%d")
    last = max((number for name in names if (number := _number(name, day)) is not None), default=0)
    return day if last == 0 else f"{day}-{last + 1}"


def before_restore(names: Collection[str], now: datetime) -> str:
    """Return the name of the next snapshot that a restore makes by itself."""
    name = now.astimezone(UTC).strftime("before-restore-%Y%m%d-%H%M%S")
    return next(
        free
        for number in count(1)
        if (free := name if number == 1 else f"{name}-{number}") not in names
    )


def meant(wanted: str, found: Sequence[Snapshot]) -> str | None:
    """Return the snapshot that this name means; None if there is none.

    A date means the newest of the snapshots that are called by it; with `-1` it means the first,
    whose name is the date alone.
    """
    names = [snapshot.name for snapshot in found]
    if DATE.fullmatch(wanted):
        of_day = [
            (snapshot.made, number, snapshot.name)
            for snapshot in found
            if (number := _number(snapshot.name, wanted))
        ]
        return max(of_day)[2] if of_day else None
    if wanted not in names and wanted.endswith("-1") and DATE.fullmatch(wanted[:-2]):
        wanted = wanted[:-2]
    return wanted if wanted in names else None


def surplus(found: Sequence[Snapshot], keep: int, spared: str) -> list[str]:
    """Return the snapshots that restores made and that are more than are kept, oldest first.

    The `spared` one is never among them.
    """
    made = sorted((snapshot.made, snapshot.name) for snapshot in found if snapshot.is_by_restore)
    return [name for _, name in made[: max(0, len(made) - keep)] if name != spared]


def _number(name: str, day: str) -> int | None:
    """Return which number of its day a snapshot has by its name; None if its name has no day."""
    parts = _DATED.fullmatch(name)
    return int(parts[2] or 1) if parts is not None and parts[1] == day else None
