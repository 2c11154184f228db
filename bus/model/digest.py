"""The digest: what is unread summed up, and what is to be done. GET and POST /digest. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, NotRequired, TypedDict

from bus.model.actions import Action, about
from bus.model.answer import Count, Says, Time
from bus.model.brief_mark import without_title
from bus.model.harmless import body_lines, harmless, sender
from bus.model.inbox_lines import preview
from bus.model.kinds import AGENT, CALLER_OR_SESSION, ONE_OR_FLAG, Format, whole
from bus.model.messages import PRIORITIES, Message
from bus.model.shape import Shape

DEFAULT_BUDGET, MIN_BUDGET, MAX_BUDGET = 6_000, 500, 100_000
PREVIEW = 240  # characters of a text
_URGENCY = ("urgent", "high", "normal", "low", "fyi")


@dataclass(frozen=True, kw_only=True)
class DigestQuery(Format):
    """GET /digest."""

    reader: Annotated[str | None, AGENT, CALLER_OR_SESSION] = None
    budget: Annotated[int, whole(MIN_BUDGET, MAX_BUDGET), "characters of it as text"] = (
        DEFAULT_BUDGET
    )


@dataclass(frozen=True, kw_only=True)
class DigestAck(Shape):
    """POST /digest."""

    reader: Annotated[str, AGENT, CALLER_OR_SESSION]
    ack: Annotated[int, ONE_OR_FLAG, "1: what it shows is acknowledged"] = 0


class DigestItem(TypedDict):
    """An unread message in few words."""

    seq: int
    id: str
    ts: Time
    sender: Annotated[str, "with a mark where no credential of that name has sent it"]
    trust: NotRequired[Annotated[str, "what it may be taken for"]]
    priority: Annotated[str, Says(enum=list(_URGENCY))]
    title: NotRequired[Annotated[str, "of a brief"]]
    text: Annotated[str, "its first lines, without the title"]


class Digest(TypedDict):
    """What a reader has not acknowledged, the urgent first, and what it has to do."""

    ok: Literal[True]
    reader: str
    unread: Annotated[Count, "messages, counted up to 10,000"]
    is_exact: Annotated[bool, "whether those are all"]
    by_sender: Annotated[dict[str, int], "of the 500 who have sent most"]
    by_priority: dict[str, int]
    messages: list[DigestItem]
    more: Annotated[Count, "messages that did not fit"]
    actions: Annotated[list[Action], "not closed, of this reader; what is due first"]
    acked: NotRequired[list[int]]


def urgency(message: Message) -> str:
    """Return how urgent a message is: a brief says it more exactly."""
    if "brief" in message:
        return message["brief"].get("priority", message["priority"])
    return message["priority"]


def in_order(messages: Sequence[Message]) -> list[Message]:
    """Return messages, the urgent ones first, and of those the oldest."""
    return sorted(messages, key=lambda one: (_URGENCY.index(urgency(one)), one["seq"]))


def by_due(actions: Sequence[Action]) -> list[Action]:
    """Return actions: what is due first, then what is urgent."""
    return sorted(
        actions,
        key=lambda one: (one.get("due", "9"), _URGENCY.index(one["priority"]), one["number"]),
    )


def item(message: Message) -> DigestItem:
    """Return a message in few words."""
    found: DigestItem = {
        "seq": message["seq"],
        "id": message["id"],
        "ts": message["ts"],
        "sender": sender(message),
        "priority": urgency(message),
        "text": preview(without_title(message), PREVIEW),
    }
    if "trust" in message:
        found["trust"] = message["trust"]
    if "brief" in message:
        found["title"] = message["brief"]["title"]
    return found


def item_lines(one: DigestItem) -> str:
    """Return the lines of a message in a digest."""
    mark = "" if one["priority"] == "normal" else f" {one['priority'].upper()}"
    title = f": {' '.join(body_lines(one['title']))}" if "title" in one else ""
    text = f"  {one['text']}\n" if one["text"] else ""
    return f"{one['seq']}{mark} {harmless(one['sender'])}{title}\n{text}"


def action_line(one: Action) -> str:
    """Return the line of an action in a digest."""
    line = f"action {one['number']} {about(one)}: {one['title']}"
    return " ".join(harmless(line).split()) + "\n"


def text(found: Digest) -> str:
    """Return a digest as a person reads it."""
    exact = "" if found["is_exact"] else " or more"
    lines = [f"{found['reader']}: {found['unread']}{exact} unread"]
    if found["unread"]:
        senders = [f"{name} {count}" for name, count in found["by_sender"].items()]
        urgent = [
            f"{found['by_priority'][name]} {name}"
            for name in PRIORITIES[::-1]
            if name in found["by_priority"]
        ]
        lines.append(f"{', '.join(urgent)}; from {', '.join(senders[:8])}")
    head = "".join(f"{harmless(line)}\n" for line in lines)
    body = "".join(map(item_lines, found["messages"]))
    more = f"-- {found['more']} more\n" if found["more"] else ""
    return head + body + more + "".join(map(action_line, found["actions"]))
