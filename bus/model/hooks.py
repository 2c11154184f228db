"""Hooks of Claude Code: which of its events shows which mail. No I/O.

The shapes are Claude Code's own: https://code.claude.com/docs/en/hooks, tried with 2.1.332.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

from bus.errors import BadField
from bus.model.call_kinds import whole as whole_number
from bus.model.caller import TRUSTS, lowest_trust
from bus.model.checks import MAX_SEQ, shown
from bus.model.filter import recipients
from bus.model.inbox_budget import Candidate
from bus.model.kinds import AGENT, ZERO_OR_ONE, choice, whole
from bus.model.records import EVERYBODY
from bus.model.shape import Shape
from bus.model.turns import in_turns

WAKES = ("urgent", "normal", "off")
START, PROMPT, TOOL, STOP = "SessionStart", "UserPromptSubmit", "PostToolUse", "Stop"
# Ours: what the waiter and the MCP server ask before they wake a session, and what they say if
# that could not be done.
WAKE, NOT_WOKEN = "BusWake", "BusNotWoken"
CHANNEL = "channel"  # a way that does not tell whether anything arrives
TURNS = {PROMPT: "working", TOOL: "working", STOP: "idle", "Notification": "awaiting_input"}
BEGAN = whole_number(0, 2**53 - 1)
MOST_NEWS = 100  # messages that one event looks at
TOOL_EVERY_MS = 30_000  # after a tool, a conversation looks for mail once in so long


@dataclass(frozen=True, kw_only=True)
class HookQuery(Shape):
    """The query of POST /hooks/claude-code."""

    name: Annotated[str | None, AGENT, "the session's name; left out: the caller's"] = None
    wake: Annotated[str, choice(WAKES), "what may wake a session that is idle"] = "normal"
    way: Annotated[
        str, choice(("rewake", "socket", CHANNEL)), "of BusWake: how it will be woken"
    ] = "rewake"
    counts: Annotated[int, ZERO_OR_ONE, "1: the answer has `counts`: how much mail waits"] = 0
    within_ms: Annotated[
        int, whole(10, 10_000), "milliseconds after which the answer is `{}`, and nothing was shown"
    ] = 100


class ReachTrusts(NamedTuple):
    """The labels of what may wake a session, and of what one in bypass mode is shown unasked: it
    does what it is told without asking anybody.
    """

    wake: Collection[str] = TRUSTS
    bypass: Collection[str] = TRUSTS


def is_bypass(event: Mapping[str, Any]) -> bool | None:
    """Return whether a session asks nobody before it acts; None if the event does not say so."""
    mode = event.get("permission_mode")
    return mode == "bypassPermissions" if isinstance(mode, str) else None


def conversation_of(event: Mapping[str, Any]) -> str:
    """Return the conversation that an event belongs to; a made-up one is cut."""
    return str(event.get("session_id") or "")[:128]


def began_of(event: Mapping[str, Any]) -> int | None:
    """Return when the hook of an event began (Unix milliseconds), if it says so; raises
    BadField.
    """
    given = event.get("began_ms")
    return None if given is None else int(BEGAN.check(given, "began_ms"))


def seqs_of(event: Mapping[str, Any]) -> list[int]:
    """Return the messages that an event is about, 100 at most; raises BadField."""
    given = event.get("seqs")
    given = [] if given is None else given
    if not isinstance(given, list) or not all(
        isinstance(seq, int) and not isinstance(seq, bool) and 0 < seq < MAX_SEQ for seq in given
    ):
        raise BadField(
            f"`seqs` is {shown(given)}.", hint="A list of messages' seqs: [412].", field="seqs"
        )
    return given[:100]


def labels(text: str) -> frozenset[str]:
    """Return the labels in a setting, with commas between them; raises ValueError."""
    found = frozenset(word.strip() for word in text.split(",") if word.strip())
    if unknown := found - {*TRUSTS}:
        raise ValueError(f"{min(unknown)!r} is none of {', '.join(TRUSTS)}")
    return found or frozenset(TRUSTS)


def reaching(messages: list[Candidate], trusts: Collection[str] | None) -> list[Candidate]:
    """Return those messages that have one of these labels; None: any."""
    if trusts is None:
        return messages
    return [one for one in messages if lowest_trust(one.get("trust")) in trusts]


def may_show(
    event: str,
    message: Mapping[str, Any],
    wake: str = "normal",
    trusts: Collection[str] = TRUSTS,
) -> bool:
    """Return whether an event shows a message that came since the last one.

    At a prompt, all; after a tool, urgent ones; at the end of a turn, all that may take another
    turn; a session that is idle is woken by what `wake` allows, and by broadcasts only if they are
    urgent, of those labels in `trusts`.
    """
    priority = message["priority"]
    if event == PROMPT:
        return True
    if event == WAKE and lowest_trust(message.get("trust")) not in trusts:
        return False
    if event == TOOL or wake == "urgent":
        return bool(priority == "urgent")
    if event == WAKE:
        is_broadcast = EVERYBODY in recipients(message)
        return wake != "off" and priority != "fyi" and (not is_broadcast or priority == "urgent")
    return bool(priority != "fyi")


def urgent_first(messages: Sequence[Candidate]) -> list[Candidate]:
    """Return messages in the order in which they are shown: urgent ones first, and of each kind the
    senders in turns.
    """
    urgent = [message for message in messages if message["priority"] == "urgent"]
    others = [message for message in messages if message["priority"] != "urgent"]
    return in_turns(urgent) + in_turns(others)


def context(event: str, text: str) -> dict[str, Any]:
    """Return the hook's answer that puts a text into the model's context; {} for no text."""
    if not text:
        return {}
    return {"hookSpecificOutput": {"hookEventName": event, "additionalContext": text}}
