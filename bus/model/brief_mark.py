"""What a message says that is a brief: see `bus.model.briefs`. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, NotRequired, TypedDict

from bus.model.answer import Says
from bus.model.harmless import harmless, quoted
from bus.model.todo import PRIORITIES as OF_ACTIONS

PRIORITIES = ("fyi", *OF_ACTIONS)
# What a message's priority is for that of a brief.
AS_MESSAGE = {"fyi": "fyi", "low": "fyi", "high": "normal"}
_CLAIMED, _LONGEST_CLAIM = ("claimed_from", "claimed_date"), 40


class BriefAction(TypedDict):
    """Something that a brief asks to be done, as it was posted."""

    title: str
    assignee: NotRequired[str]
    priority: Annotated[str, Says(enum=list(OF_ACTIONS))]
    due: NotRequired[str]


class BriefMark(TypedDict):
    """Of a message that is a brief: its front matter, but for what every message has."""

    title: str
    date: NotRequired[str]
    cc: NotRequired[list[str]]
    action: NotRequired[str | list[str]]
    priority: NotRequired[Annotated[str, Says(enum=list(PRIORITIES))]]
    due: NotRequired[str]
    signature: NotRequired[
        Annotated[str, "what stands below the text: its author's line; empty if it wants none"]
    ]
    extra: NotRequired[Annotated[dict[str, Any], "keys that the hub does not know"]]
    actions: NotRequired[list[BriefAction]]


def signed_lines(message: Mapping[str, Any]) -> list[str]:
    """Return what stands below the text of a message: the signature of a brief, harmless."""
    signature = message.get("brief", {}).get("signature")
    return [harmless(signature)] if signature else []


def claims(message: Mapping[str, Any]) -> list[str]:
    """Return what a brief that was imported says of who wrote it, for its first line."""
    extra = message.get("brief", {}).get("extra", {})
    found = [str(extra[name])[:_LONGEST_CLAIM] for name in _CLAIMED if extra.get(name)]
    return [f"claimed from {' '.join(map(quoted, found))}"] if found else []
