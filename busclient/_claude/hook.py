"""A hook of Claude Code: forwards its event to the hub, which says what the model is shown.

A hook is never in the way: it ends with 0 within 2 seconds, and says nothing to the model if the
hub is away. What went wrong is in `hooks.log` of the state folder.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from busclient._claude.state import PUSHED, in_words, log, note, note_counts, note_ran
from busclient._errors import BusError, LeaseLost, NotFound
from busclient._places import Places
from busclient._processes import began_ms

if TYPE_CHECKING:
    from busclient._bus import Bus
    from busclient._claude.sessions import Session, Sessions
    from busclient._http.calls import Calls, Patience

_KNOWN = (
    "SessionStart",
    "PreToolUse",
    "UserPromptSubmit",
    "PostToolUse",
    "Stop",
    "SessionEnd",
    "Notification",
)
# Only what the hub needs: neither prompts nor the results of tools.
_SENT = (
    "hook_event_name",
    "source",
    "permission_mode",
    "stop_hook_active",
    "seqs",
    "began_ms",
)
_TOOL_EVERY_S = 31.0  # the hub answers every 30 s
_PATH = "/hooks/claude-code"
_WITHIN_S = 1.4
# Less than that: what is answered when nobody listens any more would count as shown and be lost.
_WITHIN_MS = 1_000


def run(text: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return what the hook prints for an event of Claude Code: hook JSON, or nothing. Never
    raises.
    """
    places = Places.of_user(environ)
    try:
        event = json.loads(text)
        kind = event.get("hook_event_name") if isinstance(event, dict) else None
        if kind not in _KNOWN:
            return ""
        if kind == "PreToolUse":  # a subagent's too
            return _before_a_tool(event, environ, places)
        if event.get("agent_id"):
            return ""
        if kind == "PostToolUse" and not _is_time(places, environ):
            return ""
        note_ran(places, kind)
        event["began_ms"] = began_ms()
        if kind == "UserPromptSubmit":
            _note_pushed(places, environ, str(event.get("prompt") or ""))
        return _answer(kind, event, environ, places)
    except BusError as error:
        note_counts(places, None, error=error)
        log(places, f"{in_words(error)}: {error.message}")
    except Exception as error:
        log(places, f"the hook failed: {error!r}")
    return ""


def _before_a_tool(event: Mapping[str, Any], environ: Mapping[str, str], places: Places) -> str:
    from busclient._claude import editing  # noqa: PLC0415

    note_ran(places, "PreToolUse")
    return editing.answer(event, environ, places)


def _answer(kind: str, event: Mapping[str, Any], environ: Mapping[str, str], places: Places) -> str:
    # Half of a hook's time goes into loading these; after most tools there is nothing to ask.
    from busclient._claude.sessions import Sessions, claude_process  # noqa: PLC0415

    sessions = Sessions(places)
    pid = claude_process(environ, sessions)
    session = sessions.of(pid)
    if kind == "SessionEnd" or session is None or kind == "SessionStart":
        session = _changed(kind, event, sessions, session, pid)
        if session is None:
            return ""
    if kind == "SessionStart":
        _export(environ, session.name)
        event = _with_mode(event, environ, session.pid)
    reply = _asked(environ, places, session, event)
    note_counts(places, reply)
    hook = reply.get("hookSpecificOutput")
    return json.dumps({"hookSpecificOutput": hook}) if hook else ""


def _asked(
    environ: Mapping[str, str], places: Places, session: Session, event: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the hub's answer, by the way that loads fastest; raises BusError."""
    from busclient._http import plain  # noqa: PLC0415
    from busclient._settings import Settings  # noqa: PLC0415

    settings = Settings.find(environ, places)
    if plain.suits(settings):
        params, sent = _request(session, event)
        params["within_ms"] = _WITHIN_MS
        return plain.post(settings, _PATH, params, sent, _WITHIN_S)
    from busclient._http.calls import Calls  # noqa: PLC0415  20 ms

    calls = Calls(settings, None, _patience(), time.sleep, light=True)
    try:
        return ask(calls, session, event, within_ms=_WITHIN_MS)
    finally:
        calls.close()


def ask(
    calls: Calls, session: Session, event: Mapping[str, Any], **more: str | int
) -> dict[str, Any]:
    """Return the hub's answer to an event of a session; raises BusError."""
    params, sent = _request(session, event)
    return calls.json("POST", _PATH, params={**params, **more}, json=sent)


def _request(session: Session, event: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the parameters and the fields of a request."""
    sent = {name: event[name] for name in _SENT if name in event}
    sent["session_id"] = session.conversation
    return {"name": session.name, "counts": 1}, sent


def _changed(
    kind: str,
    event: Mapping[str, Any],
    sessions: Sessions,
    session: Session | None,
    pid: int | None,
) -> Session | None:
    """Register a session, or let it leave; return it if it is there then."""
    from busclient._bus import Bus  # noqa: PLC0415  50 ms, which most hooks do without

    with Bus.from_env(light=True, patience=_patience()) as bus:
        if kind == "SessionEnd":
            _end(bus, sessions, session, event)
            return None
        return registered(bus, sessions, pid, event)


def registered(bus: Bus, sessions: Sessions, pid: int | None, event: Mapping[str, Any]) -> Session:
    """Return the session with its name: the one that it has, else a callsign of this machine.

    Whoever comes first registers: a hook, or the MCP server.
    """
    from busclient._claude import better_summary  # noqa: PLC0415

    with sessions.registering():
        session = _registered(bus, sessions, sessions.of(pid), pid, event)
    better_summary.begin(session.name, pid, str(event.get("cwd") or os.getcwd()))
    return session


def _registered(
    bus: Bus,
    sessions: Sessions,
    session: Session | None,
    pid: int | None,
    event: Mapping[str, Any],
) -> Session:
    from busclient._claude import better_summary, folder  # noqa: PLC0415
    from busclient._claude.sessions import Session, moved  # noqa: PLC0415
    from busclient._processes import born_of  # noqa: PLC0415

    conversation = str(event.get("session_id") or "")[:128]
    facts = {
        "agent_type": "claude-code",
        "session_id": conversation or None,
        "wake": "rewake",
        **folder.facts(str(event.get("cwd") or os.getcwd())),
    }
    if session is not None:
        # A better summary stays until there is another one.
        kept = {"summary"} if better_summary.is_wanted(os.environ) else set()
        again = {name: fact for name, fact in facts.items() if name not in kept}
        with suppress(LeaseLost, NotFound):
            bus.agents.register(session.name, lease=session.lease, pid=session.pid, **again)
            sessions.keep(moved(session, conversation))
            return moved(session, conversation)
    # A session that another one has started in its Bash has inherited BUS_SESSION.
    is_inherited = "BUS_SESSION" in bus.settings.sources
    name = bus.name.partition("/")[0] if is_inherited else bus.name
    taken = bus.agents.register(name, pid=pid, **facts)
    began = None if pid is None else born_of(pid)
    made = Session(pid or 0, began or "", taken.name, taken.lease, conversation)
    if began is not None:
        sessions.keep(made)
    return made


def _end(bus: Bus, sessions: Sessions, session: Session | None, event: Mapping[str, Any]) -> None:
    """Leave the roster, unless the process goes on with another conversation."""
    if session is None or event.get("reason") in ("clear", "resume"):
        return
    sessions.forget(session.pid)
    with suppress(LeaseLost, NotFound):
        bus.agents.leave(session.name, lease=session.lease)


def _with_mode(event: Mapping[str, Any], environ: Mapping[str, str], pid: int) -> Mapping[str, Any]:
    """Return the start of a session with its mode, which Claude Code does not tell here. One that
    goes on with another conversation may be in the mode that it was in.
    """
    from busclient._claude.bypass import BYPASS, mode_at_start  # noqa: PLC0415

    if "permission_mode" in event:
        return event
    mode = mode_at_start(pid or None, environ, str(event.get("cwd") or os.getcwd()))
    is_known = mode == BYPASS or event.get("source") == "startup"
    return {**event, "permission_mode": mode} if is_known else event


def _export(environ: Mapping[str, str], name: str) -> None:
    """Let the commands that Claude runs in Bash speak as this session."""
    path = environ.get("CLAUDE_ENV_FILE")
    if path:
        from busclient._settings import quoted  # noqa: PLC0415

        with open(path, "a", encoding="utf-8") as file:
            file.write(f"export BUS_SESSION={quoted(name)}\n")


def _note_pushed(places: Places, environ: Mapping[str, str], prompt: str) -> None:
    """Note that a prompt is what the session's MCP server has pushed: it has arrived."""
    pid = environ.get("CLAUDE_PID", "")
    if PUSHED in prompt[:200] and pid.isdigit():
        note(places, f"pushed-{pid}.json", {"id": prompt.partition(PUSHED)[2][:8]})


def _is_time(places: Places, environ: Mapping[str, str]) -> bool:
    """Return whether a tool's end may look for mail: at most once in 30 seconds a session."""
    pid = environ.get("CLAUDE_PID", "")
    mark = places.state / f"tool-{pid if pid.isdigit() else 0}.mark"
    with suppress(OSError):
        if 0 <= time.time() - mark.stat().st_mtime < _TOOL_EVERY_S:
            return False
    with suppress(OSError):
        places.make_state()
        mark.touch()
    return True


def _patience() -> Patience:
    from busclient._http.calls import Patience  # noqa: PLC0415

    return Patience(connect_s=0.8, read_s=1.2, total_s=_WITHIN_S, attempts=1)
