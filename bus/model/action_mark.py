"""What a message says that changes an action: see `bus.model.actions`. No I/O."""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

STATUSES = ("open", "wip", "waiting", "done", "dropped")
CLOSED = ("done", "dropped")
# What others call them.
ALSO = {"pending": "open", "complete": "done", "completed": "done", "cancelled": "dropped"}
UNDONE = tuple(status for status in STATUSES if status not in CLOSED)


class ActionMark(TypedDict):
    """Of a message that changes an action: which one, and what is so now."""

    number: int
    message: Annotated[int, "the seq of the brief that asks for it"]
    at: Annotated[int, "which one of that brief, from 0"]
    set: dict[str, Any]
