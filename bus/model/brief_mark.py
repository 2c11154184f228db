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
MAX_TITLE = 300
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


def first_line(body: str) -> str:
    """Return the title of a brief that has none: the first line of its text that says something."""
    text, _ = _split(body)
    return (text if len(text) <= MAX_TITLE else text[: MAX_TITLE - 1] + "…") or "(no title)"


def title_apart(message: Mapping[str, Any]) -> str:
    """Return the title of a brief whose text does not begin with it; empty where there is none."""
    title: str = message.get("brief", {}).get("title", "")
    # A title fits twice into what is looked at: blank lines and marks may stand before it.
    return "" if title == first_line(message["body"][: 2 * MAX_TITLE]) else title


def without_title(message: Mapping[str, Any]) -> str:
    """Return the text of a message; of a brief that begins with its whole title, what follows."""
    first, rest = _split(message["body"])
    return rest if first == message.get("brief", {}).get("title") else message["body"]


def _split(body: str) -> tuple[str, str]:
    """Return the first line of a text that says something, without marks, and what follows it."""
    lines = body.splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        text = "".join(char for char in line if ord(char) >= 32 and char != "\x7f")
        text = text.lstrip("#> \t").strip()
        if text:
            return text, "".join(lines[number:])
    return "", ""
