"""Follows the mail of a session and says what may wake it. One follower a session: the MCP server
if it can push, else the waiter.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from busclient._bus import Bus
from busclient._claude.hook import ask
from busclient._claude.sessions import Session, Sessions
from busclient._claude.state import log, note_counts
from busclient._errors import BusError
from busclient._files import write_private
from busclient._places import Places

WAKES = ("urgent", "normal", "off")
_HOLD_S = 20.0  # between two looks at whether Claude still lives; within the lease of 60 s
_WORKS_S = 5.0  # between two looks at whether Claude still works, while mail is held back
_LONGEST_PAUSE_S = 15.0
_AN_HOUR_S = 3600.0
_STARTS_WITHIN_S = 10.0


@dataclass(frozen=True)
class Wake:
    """What wakes a session: the text for the model, and the messages in it."""

    session: Session
    text: str
    seqs: tuple[int, ...]


def wakes(environ: Mapping[str, str]) -> str:
    """Return what may wake a session: BUS_WAKE, or normal."""
    given = environ.get("BUS_WAKE", "normal")
    return given if given in WAKES else "normal"


def awaited(sessions: Sessions, pid: int | None, sleep: Callable[[float], None]) -> Session | None:
    """Return the session, once a hook has registered it; None if none does within 10 seconds."""
    deadline = time.monotonic() + _STARTS_WITHIN_S
    while True:
        session = sessions.of(pid)
        if session is not None or time.monotonic() > deadline:
            return session
        sleep(0.1)


def lock_of(places: Places, session: Session) -> str:
    """Return the file that whoever follows the mail of a session has locked."""
    return str(places.state / f"waiter-{session.pid}.lock")


def pusher_lock_of(places: Places, session: Session) -> str:
    """Return the file that an MCP server which can push has locked while it runs."""
    return str(places.state / f"pusher-{session.pid}.lock")


def tidy(places: Places, session: Session) -> None:
    """Remove what was kept for a session, if its process is gone."""
    if session.lives():
        return
    names = ("waiter-{}.lock", "pusher-{}.lock", "wakes-{}.json", "pushed-{}.json", "tool-{}.mark")
    for name in names:
        with suppress(OSError):
            (places.state / name.format(session.pid)).unlink()


def follow(
    bus: Bus,
    environ: Mapping[str, str],
    places: Places,
    sessions: Sessions,
    session: Session,
    sleep: Callable[[float], None],
    way: str = "rewake",
    is_over: Callable[[], bool] = lambda: False,
) -> Iterator[Wake]:
    """Yield what wakes a session, as it comes, until its process is gone or `is_over`.

    The hub counts what is yielded as shown; `unwoken` takes that back.
    """
    since, failed, limit = 0, 0, _limit(environ)
    is_held_back, senders = False, set[str]()
    while session.lives() and not is_over():
        session = sessions.of(session.pid) or session
        try:
            if len(_wakes(places, session)) >= limit:
                sleep(_HOLD_S)
                continue
            hold_s = _WORKS_S if is_held_back else _HOLD_S
            found = bus._page(
                {"unread_by": session.name, "machine": 1, "since": since, "wait": hold_s}, hold_s
            )[0]
            failed = 0
            # Nothing may count as shown that nobody is left to be shown.
            if is_over() or not (found or is_held_back) or not session.lives():
                continue
            since = found[-1].seq if found else since
            senders = {
                one.proven_machine or "" for one in found if one.priority != "fyi"
            } or senders
            if _have_had_their_share(senders, _wakes(places, session), limit):
                continue
            event = {"hook_event_name": "BusWake"}
            reply = ask(bus._calls, session, event, wake=wakes(environ), way=way)
        except BusError as error:
            failed += 1
            note_counts(places, None, error=error)
            if failed == 1:
                log(places, f"the follower goes on trying: {error.message}")
            sleep(min(2.0**failed / 2, _LONGEST_PAUSE_S))
            continue
        note_counts(places, reply)
        # While it works, only urgent mail comes in between. The end of its turn shows the rest,
        # but not that of a turn which a hook has begun.
        is_held_back = bool(reply.get("working"))
        text = str(reply.get("text") or "")
        wake = Wake(session, text, tuple(reply.get("seqs") or ()))
        if text and not session.lives():
            with suppress(BusError):
                unwoken(bus, wake)
        elif text:
            _note_wake(places, session, senders)
            yield wake


def unwoken(bus: Bus, wake: Wake) -> None:
    """Tell the hub that a session was not woken, so that its hooks show the mail; raises
    BusError.
    """
    event = {"hook_event_name": "BusNotWoken", "seqs": list(wake.seqs)}
    ask(bus._calls, wake.session, event)


def _limit(environ: Mapping[str, str]) -> int:
    """Return how often a session is woken in an hour: BUS_WAKES_AN_HOUR, or 6."""
    given = environ.get("BUS_WAKES_AN_HOUR", "")
    return int(given) if given.isdigit() else 6


def _have_had_their_share(
    senders: Collection[str], woken: Sequence[tuple[float, list[str]]], limit: int
) -> bool:
    """Return whether each of these senders has caused half of the wakes that an hour may have: what
    is left is for others.
    """
    had = Counter(sender for _, by in woken for sender in by)
    return bool(senders) and all(had[sender] >= max(1, limit // 2) for sender in senders)


def _note_wake(places: Places, session: Session, senders: Collection[str]) -> None:
    path = places.state / f"wakes-{session.pid}.json"
    with suppress(OSError):
        row = (time.time(), sorted(senders))
        write_private(path, json.dumps([*_wakes(places, session), row]), durable=False)


def _wakes(places: Places, session: Session) -> list[tuple[float, list[str]]]:
    """Return when the session was woken in the last hour (Unix seconds), and by whom."""
    with suppress(OSError, ValueError, TypeError):
        rows = json.loads((places.state / f"wakes-{session.pid}.json").read_text())
        return [(at, list(by)) for at, by in rows if 0 <= time.time() - at < _AN_HOUR_S]
    return []
