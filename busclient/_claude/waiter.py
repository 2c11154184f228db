"""The waiter: a hook with `asyncRewake` that waits for mail and, by exit code 2, wakes a session
that is idle. It is gone with its session.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping

from busclient._bus import Bus
from busclient._claude import follower
from busclient._claude.sessions import Session, Sessions, claude_process
from busclient._claude.state import log
from busclient._places import Places


def run(
    environ: Mapping[str, str] = os.environ,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Return the text that wakes the session; empty if it is not to be woken. Never raises.

    A run of `claude -p` waits for its hooks, so there it returns at once.
    """
    if environ.get("CLAUDE_CODE_SESSION_ATTENDED") == "0" or follower.wakes(environ) == "off":
        return ""
    places = Places.of_user(environ)
    try:
        return _waited(environ, places, sleep)
    except Exception as error:
        log(places, f"the waiter failed: {error!r}")
        return ""


def _waited(environ: Mapping[str, str], places: Places, sleep: Callable[[float], None]) -> str:
    from filelock import FileLock, Timeout  # noqa: PLC0415

    sessions = Sessions(places)
    session = follower.awaited(sessions, claude_process(environ, sessions), sleep)
    if session is None:
        return ""
    try:
        # One waiter a session: each end of a turn starts another one.
        with FileLock(follower.lock_of(places, session), timeout=0):
            return _first(environ, places, sessions, session, sleep)
    except Timeout:
        return ""
    finally:
        follower.tidy(places, session)


def _first(
    environ: Mapping[str, str],
    places: Places,
    sessions: Sessions,
    session: Session,
    sleep: Callable[[float], None],
) -> str:
    """Return the text of the first wake; empty once the session is gone, or its MCP server pushes
    what comes.
    """

    def is_pushed() -> bool:
        return _is_locked(follower.pusher_lock_of(places, session))

    with Bus.from_env(light=True) as bus:
        wakes = follower.follow(bus, environ, places, sessions, session, sleep, "rewake", is_pushed)
        for wake in wakes:
            return wake.text
    return ""


def _is_locked(path: str) -> bool:
    from filelock import FileLock, Timeout  # noqa: PLC0415

    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True
