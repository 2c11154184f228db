"""What a message says that is a brief: see `bus.model.briefs`. No I/O."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired, TypedDict

from bus.model.answer import Says
from bus.model.todo import PRIORITIES as OF_ACTIONS

PRIORITIES = ("fyi", *OF_ACTIONS)
# What a message's priority is for that of a brief.
AS_MESSAGE = {"fyi": "fyi", "low": "fyi", "high": "normal"}


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
    extra: NotRequired[Annotated[dict[str, Any], "keys that the hub does not know"]]
    actions: NotRequired[list[BriefAction]]
