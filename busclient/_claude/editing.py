"""Before Claude writes a file: whether another works on it.

What a hook adds to the context comes only after the tool has run. So the warning is a refusal, once
for a file and a lease in each session: the second try passes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from busclient._claude.state import note, read
from busclient._harmless import one_line
from busclient._places import Places
from busclient._repository import Repository, find

TOOLS = ("Edit", "Write", "MultiEdit", "NotebookEdit")
_PATH = "/leases/check"
_WITHIN_S = 1.0
_NOTED, _MOST_NOTED = "warned.json", 200


def answer(event: Mapping[str, Any], environ: Mapping[str, str], places: Places) -> str:
    """Return the refusal of a tool as hook JSON; empty if the file may be written. Raises
    BusError.
    """
    path = _file_of(event)
    repository = None if path is None else find(path.parent)
    if path is None or repository is None:
        return ""
    known = repository.path_of(path)
    if known is None:
        return ""
    lease = _held(environ, places, repository, known)
    if lease is None or not _is_new(places, event, environ, known, lease):
        return ""
    decision = {
        "hookEventName": "PreToolUse",
        "permissionDecision": "deny",
        "permissionDecisionReason": _reason(known, lease),
    }
    return json.dumps({"hookSpecificOutput": decision})


def _file_of(event: Mapping[str, Any]) -> Path | None:
    given = event.get("tool_input")
    if event.get("tool_name") not in TOOLS or not isinstance(given, dict):
        return None
    text = given.get("file_path") or given.get("notebook_path")
    if not isinstance(text, str) or not text or "\0" in text:
        return None
    return Path(str(event.get("cwd") or os.getcwd()), text)


def _held(
    environ: Mapping[str, str], places: Places, repository: Repository, path: str
) -> dict[str, Any] | None:
    """Return the lease of another on a path; None if there is none."""
    from busclient._claude.sessions import Sessions, claude_process  # noqa: PLC0415
    from busclient._http import plain  # noqa: PLC0415
    from busclient._settings import Settings  # noqa: PLC0415

    settings = Settings.find(environ, places)
    sessions = Sessions(places)
    session = sessions.of(claude_process(environ, sessions))
    holder = settings.name if session is None else session.name
    asked = {"holder": holder, "repo": repository.name, "path": [path]}
    if plain.suits(settings):
        reply = plain.post(settings, _PATH, {}, asked, _WITHIN_S)
    else:
        reply = _asked(settings, asked)
    held = reply.get("held")
    found = held[0].get("lease") if isinstance(held, list) and held else None
    return found if isinstance(found, dict) else None


def _asked(settings: Any, asked: Mapping[str, Any]) -> dict[str, Any]:
    import time  # noqa: PLC0415

    from busclient._http.calls import Calls, Patience  # noqa: PLC0415  20 ms

    patience = Patience(connect_s=0.6, read_s=0.9, total_s=_WITHIN_S, attempts=1)
    calls = Calls(settings, None, patience, time.sleep, light=True)
    try:
        return calls.json("POST", _PATH, json=asked)
    finally:
        calls.close()


def _is_new(
    places: Places,
    event: Mapping[str, Any],
    environ: Mapping[str, str],
    path: str,
    lease: Mapping[str, Any],
) -> bool:
    """Return whether this session has not been told of this yet, and note that it is now."""
    who = environ.get("CLAUDE_PID") or event.get("session_id") or ""
    key = f"{who} {lease.get('id')} {path}"
    known = read(places, _NOTED)
    if key in known:
        return False
    known[key] = True
    note(places, _NOTED, dict(list(known.items())[-_MOST_NOTED:]))
    # Where nothing can be noted, the second try would be refused too, and the third.
    return key in read(places, _NOTED)


def _reason(path: str, lease: Mapping[str, Any]) -> str:
    """Return what Claude is told. What another has written is data: one line, and no tag."""
    holder = one_line(str(lease.get("holder")), 140)
    until = one_line(str(lease.get("until")), 40)
    why = one_line(str(lease.get("reason") or ""), 200).replace("<", "&lt;")
    says = f' They say what for: "{why}".' if why else ""
    shown = one_line(path, 300).replace("<", "&lt;")
    return (
        f"Nothing was written: {shown} is leased by {holder} until {until} (file leases of"
        f" claude-bus).{says} Work on something else, or ask: `bus post {holder} TEXT`. If it must"
        " be changed now all the same, do the same again: this is said once for this file."
    )
