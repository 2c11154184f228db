"""What hooks, waiter and status line leave for each other in the state folder: when each hook ran,
the counts of the last answer, and the log of what went wrong.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from busclient._errors import BusError, HubFailed, LocalTrouble, SettingsError, Unavailable
from busclient._places import Places

_LONGEST_LOG = 256 * 1024
# How a text begins that the MCP server has put into a session; eight characters of its id follow.
PUSHED = '<cross-session-message from="claude-bus:'


def note_ran(places: Places, kind: str) -> None:
    """Note that a hook runs now."""
    note(places, "hooks-ran.json", {**read(places, "hooks-ran.json"), kind: _now()})


def trouble(error: BusError) -> str:
    """Return what is the matter with the hub, behind `hub`: `away`, or `refuses: <code>`."""
    if isinstance(error, (SettingsError, LocalTrouble)):
        return "not asked"
    is_refusal = error.code is not None and not isinstance(error, (Unavailable, HubFailed))
    return f"refuses: {error.code}" if is_refusal else "away"


def in_words(error: BusError) -> str:
    """Return the same as the beginning of a line of the log."""
    told = trouble(error)
    return f"the hub {told}" if told.startswith("refuses") else f"the hub is {told}"


def note_counts(
    places: Places,
    reply: Mapping[str, Any] | None,
    *,
    is_there: bool = True,
    error: BusError | None = None,
) -> None:
    """Keep for the status line how much mail waits, and whether the hub is there, or what is the
    matter with it.
    """
    known = read(places, "status.json")
    counts = reply.get("counts") if reply is not None else None
    if isinstance(counts, dict):
        known = {name: counts.get(name) for name in ("unread", "urgent", "owed", "due")}
    state = {"is_there": is_there and error is None, "time": time.time()}
    known = {name: fact for name, fact in known.items() if name != "trouble"}
    why = {} if error is None else {"trouble": trouble(error)}
    note(places, "status.json", {**known, **state, **why})


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
            file.write(f"{_now()} {' '.join(line.split())[:500]}\n")


def note(places: Places, name: str, facts: Mapping[str, Any]) -> None:
    """Replace one of these files, whole or not at all; where that fails, it is only older.

    Not by `write_private`: what that imports takes 6 ms, and a prompt waits for the hook.
    """
    with suppress(OSError):
        path = places.make_state() / name
        scratch = f"{path}.{os.getpid()}"
        with open(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(json.dumps(facts))
        os.replace(scratch, path)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
