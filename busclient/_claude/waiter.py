"""The waiter: a hook with `asyncRewake` that waits for mail and, by exit code 2, wakes a session
that is idle. It is gone with its session.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from busclient._bus import Bus
from busclient._claude.hook import ask
from busclient._claude.sessions import Session, Sessions, claude_process
from busclient._claude.state import log, note_counts
from busclient._errors import BusError
from busclient._files import write_private
from busclient._places import Places

WAKES = ("urgent", "normal", "off")
_HOLD_S = 20.0  # between two looks at whether Claude still lives; within the lease of 60 s
_LONGEST_PAUSE_S = 15.0
_AN_HOUR_S = 3600.0
_STARTS_WITHIN_S = 10.0


def run(
    environ: Mapping[str, str] = os.environ,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Return the text that wakes the session; empty if it is not to be woken. Never raises.

    A run of `claude -p` waits for its hooks, so there it returns at once.
    """
    if environ.get("CLAUDE_CODE_SESSION_ATTENDED") == "0" or wakes(environ) == "off":
        return ""
    places = Places.of_user(environ)
    try:
        return _waited(environ, places, sleep)
    except Exception as error:
        log(places, f"the waiter failed: {error!r}")
        return ""


def wakes(environ: Mapping[str, str]) -> str:
    """Return what may wake a session: BUS_WAKE, or normal."""
    given = environ.get("BUS_WAKE", "normal")
    return given if given in WAKES else "normal"


def _waited(environ: Mapping[str, str], places: Places, sleep: Callable[[float], None]) -> str:
    from filelock import FileLock, Timeout  # noqa: PLC0415

    sessions = Sessions(places)
    pid = claude_process(environ, sessions)
    session = _awaited(sessions, pid, sleep)
    if session is None:
        return ""
    try:
        # One waiter a session: each end of a turn starts another one.
        with FileLock(places.state / f"waiter-{session.pid}.lock", timeout=0):
            return _followed(environ, places, sessions, session, sleep)
    except Timeout:
        return ""
    finally:
        if not session.lives():
            for name in (f"waiter-{session.pid}.lock", f"wakes-{session.pid}.json"):
                with suppress(OSError):
                    (places.state / name).unlink()


def _awaited(sessions: Sessions, pid: int | None, sleep: Callable[[float], None]) -> Session | None:
    """Return the session, once the hook that runs beside this one has registered it."""
    deadline = time.monotonic() + _STARTS_WITHIN_S
    while True:
        session = sessions.of(pid)
        if session is not None or time.monotonic() > deadline:
            return session
        sleep(0.1)


def _followed(
    environ: Mapping[str, str],
    places: Places,
    sessions: Sessions,
    session: Session,
    sleep: Callable[[float], None],
) -> str:
    """Return the text for the first message that may wake the session; empty once it is gone."""
    since, failed, limit = 0, 0, _limit(environ)
    with Bus.from_env(light=True) as bus:
        while session.lives():
            session = sessions.of(session.pid) or session
            try:
                if len(_wakes(places, session)) >= limit:
                    sleep(_HOLD_S)
                    continue
                found = bus._page(
                    {"unread_by": session.name, "machine": 1, "since": since, "wait": _HOLD_S},
                    _HOLD_S,
                )[0]
                failed = 0
                if not found:
                    continue
                since = found[-1].seq
                reply = ask(
                    bus._calls, session, {"hook_event_name": "BusWake"}, wake=wakes(environ)
                )
            except BusError as error:
                failed += 1
                note_counts(places, None, is_there=False)
                if failed == 1:
                    log(places, f"the waiter goes on trying: {error.message}")
                sleep(min(2.0**failed / 2, _LONGEST_PAUSE_S))
                continue
            note_counts(places, reply)
            text = str(reply.get("text") or "")
            if text and session.lives():
                _note_wake(places, session)
                return text
    return ""


def _limit(environ: Mapping[str, str]) -> int:
    """Return how often a session is woken in an hour: BUS_WAKES_AN_HOUR, or 6."""
    given = environ.get("BUS_WAKES_AN_HOUR", "")
    return int(given) if given.isdigit() else 6


def _note_wake(places: Places, session: Session) -> None:
    path = places.state / f"wakes-{session.pid}.json"
    with suppress(OSError):
        text = json.dumps([*_wakes(places, session), time.time()])
        write_private(path, text, durable=False)


def _wakes(places: Places, session: Session) -> list[float]:
    """Return when the session was woken in the last hour (Unix seconds)."""
    with suppress(OSError, ValueError, TypeError):
        times = json.loads((places.state / f"wakes-{session.pid}.json").read_text())
        return [one for one in times if 0 <= time.time() - one < _AN_HOUR_S]
    return []
