"""What hooks, waiter and status line leave for each other in the state folder: when each hook ran,
the counts of the last answer, and the log of what went wrong.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from busclient._files import write_private
from busclient._places import Places

_LONGEST_LOG = 256 * 1024


def note_ran(places: Places, kind: str) -> None:
    """Note that a hook runs now."""
    path = places.state / "hooks-ran.json"
    known = read(places, "hooks-ran.json")
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    with suppress(OSError):
        write_private(path, json.dumps({**known, kind: now}), durable=False)


def note_counts(places: Places, reply: Mapping[str, Any] | None, *, is_there: bool = True) -> None:
    """Keep for the status line how much mail waits, and whether the hub is there."""
    known = read(places, "status.json")
    counts = reply.get("counts") if reply is not None else None
    if isinstance(counts, dict):
        known = {name: counts.get(name) for name in ("unread", "urgent")}
    found = {**known, "is_there": is_there, "time": time.time()}
    with suppress(OSError):
        write_private(places.state / "status.json", json.dumps(found), durable=False)


def read(places: Places, name: str) -> dict[str, Any]:
    """Return what one of these files holds; {} if it cannot be read."""
    with suppress(OSError, ValueError):
        found = json.loads((places.state / name).read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
    return {}


def log(places: Places, line: str) -> None:
    """Add a line to `hooks.log`; a long one begins anew."""
    with suppress(OSError):
        path = places.make_state() / "hooks.log"
        is_long = path.exists() and path.stat().st_size > _LONGEST_LOG
        with open(path, "w" if is_long else "a", encoding="utf-8") as file:
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            file.write(f"{now} {' '.join(line.split())[:500]}\n")
