"""The status line: from the small file that hooks and waiter keep fresh, never from the network."""

from __future__ import annotations

import subprocess
import time

from busclient._claude.state import read
from busclient._places import Places

_OLD_S = 900.0


def line(places: Places) -> str:
    """Return how much mail waits and how the hub is: `✉ 3 (1 urgent) · hub ok`, `hub away` or
    `hub refuses: <code>`, and how many answers are owed and actions due, if any.
    """
    known = read(places, "status.json")
    if not known:
        return "✉ –"
    unread, urgent = known.get("unread"), known.get("urgent")
    shown = f"✉ {unread}" if isinstance(unread, int) else "✉ –"
    if urgent:
        shown += f" ({urgent} urgent)"
    if owed := known.get("owed"):
        shown += f" · {owed} to answer"
    if due := known.get("due"):
        shown += f" · {due} due"
    is_old = time.time() - float(known.get("time") or 0) > _OLD_S
    state = "ok" if known.get("is_there") else known.get("trouble") or "away"
    return shown + (" · not asked lately" if is_old else f" · hub {state}")


def beside(command: str, sent: str) -> str:
    """Return what another status line prints for the same input; empty if it fails."""
    try:
        done = subprocess.run(  # noqa: S602  it is the user's own setting
            command, shell=True, input=sent, capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.rstrip("\n")
