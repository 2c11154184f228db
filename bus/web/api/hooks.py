"""POST /hooks/claude-code: takes an event of Claude Code as its hooks send it, and answers what a
hook says. So a machine with nothing but Claude Code sees its mail.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, g

from bus.errors import BadField, Busy, NoSuchAgent, Rebuilding, TooCostly
from bus.hub.hub import Hub
from bus.index.agents import Row
from bus.model import hooks
from bus.model.agents import AgentsQuery
from bus.model.caller import EVERYONE, SHARED, Taken
from bus.model.strict_json import load_object
from bus.model.tracking import OverdueQuery
from bus.system import hurry
from bus.web.http import parameters
from bus.web.http.auth import may_call
from bus.web.http.body import read_body
from bus.web.http.replies import json_reply
from bus.web.http.speaking import spoken_name

_TOLD = 10  # names and messages in the line about oneself
_OF_ONE, _NAME = 3, 40  # names of another's credential; characters of a name
_TO_ANSWER_MS = 10  # of the time for an answer, for all that is not our work
_WAYS = {hooks.PROMPT: "prompt", hooks.TOOL: "tool", hooks.STOP: "stop"}


def blueprint(hub: Hub, taken: Taken) -> Blueprint:
    """The route of hooks."""
    routes = Blueprint("hooks", __name__)

    @routes.post("/hooks/claude-code")
    @may_call(EVERYONE)
    def claude_code() -> Response:
        asked = parameters.query(hooks.HookQuery)
        name = spoken_name(asked.name, taken)
        hub.credentials.use_name(g.caller, name)
        event = load_object(read_body())
        if event.get("agent_id"):  # of a subagent: it has no mail
            return json_reply({})
        kind, began_ms = _kind(event), hooks.began_of(event)
        if kind in (hooks.WAKE, hooks.NOT_WOKEN):  # no session waits for it
            return json_reply(_counted(hub, name, kind, event, asked))
        try:
            with hurry.within((asked.within_ms - _TO_ANSWER_MS) / 1000):
                _tell_turn(hub, name, kind, began_ms)
                return json_reply(_counted(hub, name, kind, event, asked))
        except (hurry.TooLate, TooCostly, Busy, Rebuilding):
            return json_reply({})

    return routes


def _kind(event: Mapping[str, Any]) -> str:
    """Return the name of an event; raises BadField."""
    kind = event.get("hook_event_name")
    if isinstance(kind, str):
        return kind
    raise BadField(
        "`hook_event_name` is missing.",
        hint="Send what Claude Code gives to a hook.",
        field="hook_event_name",
    )


def _counted(
    hub: Hub, name: str, kind: str, event: Mapping[str, Any], asked: hooks.HookQuery
) -> dict[str, Any]:
    """Return the answer, with the counts if they are asked for. They come first: behind what marks
    messages as shown, nothing may take long.
    """
    counts = {"counts": _counts(hub, name)} if asked.counts else {}
    return {**_answer(hub, name, kind, event, asked), **counts}


def _answer(
    hub: Hub, name: str, kind: str, event: Mapping[str, Any], asked: hooks.HookQuery
) -> dict[str, Any]:
    conversation = hooks.conversation_of(event)
    trusts = hub.contexts.reaching(g.caller, name, hooks.is_bypass(event))
    if kind == hooks.START:
        whoami = _whoami(hub, name)
        text = hub.contexts.start(g.caller.name, name, conversation, trusts)
        return hooks.context(kind, "\n".join(filter(None, (whoami, text))))
    if kind == hooks.NOT_WOKEN:
        hub.contexts.not_woken(name, conversation, hooks.seqs_of(event))
        return {}
    if kind == hooks.WAKE:
        wake = _while_working(hub, name, asked.wake)
        text, seqs = hub.contexts.news(
            g.caller.name,
            name,
            conversation,
            kind,
            wake=wake,
            way=asked.way,
            trusts=trusts,
        )
        return {"text": text, "seqs": seqs, "working": wake != asked.wake}
    if kind == hooks.STOP and event.get("stop_hook_active") is True:
        return {}
    if kind in _WAYS:
        text, _ = hub.contexts.news(
            g.caller.name,
            name,
            conversation,
            kind,
            wake="normal",
            way=_WAYS[kind],
            trusts=trusts,
        )
        return hooks.context(kind, text)
    return {}


def _counts(hub: Hub, name: str) -> dict[str, int]:
    """Return how much mail waits for a name, and how many answers and actions, if any do."""
    return {**hub.inbox.counts(name, "/" in name), **hub.owing.counts(name)}


def _whoami(hub: Hub, name: str) -> str:
    """Return who a session is, who else is there, and what it owes; nothing of a machine, which
    has no session of its own.
    """
    if "/" not in name:
        return ""
    there = hub.agents.around(AgentsQuery(state="live", limit=_TOLD + 1), name, _OF_ONE)
    others = [_named(other, row) for other, row in there.shown.items() if other != name]
    line = f"You are {name} on claude-bus."
    if others:
        count = sum(there.more.values()) + len(others[_TOLD:])
        more = f" and {count} more" if count else ""
        line += f" Live: {', '.join(others[:_TOLD])}{more}."
    late = hub.tracking.overdue(OverdueQuery(reader=name, limit=_TOLD), hub.privacy.view(g.caller))
    if late:
        seqs = ", ".join(str(message["seq"]) for message in late)
        line += f" Past their deadline and not acknowledged by you: {seqs}."
    return line


def _named(name: str, row: Row | None) -> str:
    """Return how another session is called in a line."""
    cut = name if len(name) <= _NAME else f"{name[: _NAME - 1]}…"
    return f"{cut} (unverified)" if row is not None and row.trust == SHARED else cut


def _while_working(hub: Hub, name: str, wake: str) -> str:
    """Return what may reach a session now: while it works, what is urgent; the end of its turn
    shows the rest.
    """
    try:
        is_working = hub.agents.one(name).get("turn") == "working"
    except NoSuchAgent:
        is_working = False
    return "urgent" if is_working and wake == "normal" else wake


def _tell_turn(hub: Hub, name: str, kind: str, began_ms: int | None) -> None:
    """Say in the roster what a session does now, if it is in there."""
    turn = hooks.TURNS.get(kind)
    if turn is not None and "/" in name:
        hub.agents.tell_turn(name, turn, began_ms)
