"""What becomes of a message after it was posted: retracted, overdue, traced. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, NotRequired, TypedDict

from bus.model.answer import From, Says, Time
from bus.model.filter import MAX_LIMIT
from bus.model.kinds import AGENT, Format, whole
from bus.model.shape import Json, Shape, object_schema

_OWN = "whose message it is; left out: the caller. Required of the shared user"
STEPS = (
    *("queued", "fetched", "sent", "shown", "in_context", "acked"),
    *("overdue", "escalated", "reported", "retracted", "superseded"),
)


@dataclass(frozen=True, kw_only=True)
class Retraction(Shape):
    """POST /messages/<ref>/retract: its sender takes a message back."""

    sender: Annotated[str, AGENT, _OWN]

    @classmethod
    def schema(cls) -> Json:
        """Return what OpenAPI says of it: `from` may be left out by all whose credential has a name
        of its own.
        """
        return {**object_schema(cls), "required": []}


@dataclass(frozen=True, kw_only=True)
class OverdueQuery(Format):
    """GET /overdue: the newest messages that should have been acknowledged by now."""

    sender: Annotated[str | None, AGENT, "only messages of this name"] = None
    reader: Annotated[str | None, AGENT, "only those that this name has not acknowledged"] = None
    limit: Annotated[int, whole(1, MAX_LIMIT), "messages"] = 100


class Late(From):
    """A message that some of its readers should have acknowledged."""

    id: str
    seq: int
    ts: Time
    to: str | list[str]
    ack_by: Time
    unread_by: Annotated[list[str], "at most 64 names"]
    reported: Annotated[Time | None, "when its sender was told"]


class Overdue(TypedDict):
    """Messages that are overdue, newest first."""

    ok: Literal[True]
    overdue: list[Late]


class Retracted(TypedDict):
    """A message that its sender took back."""

    ok: Literal[True]
    id: str
    seq: int
    retracted: Time
    already: Annotated[bool, "it was retracted before"]
    fetched_by: Annotated[list[str], "names that had fetched it, and were told now"]


class Step(TypedDict):
    """Something that happened to a message on its way to one reader."""

    step: Annotated[str, Says(enum=list(STEPS))]
    time: Time
    by: NotRequired[
        Annotated[
            str,
            "of `superseded`: the id of the newer message; of `shown` and `sent`: the way; of"
            " `in_context`: what proved it; of `escalated`: the step and who was told",
        ]
    ]


class Trace(TypedDict):
    """For each reader, what happened to a message, in order."""

    ok: Literal[True]
    id: str
    seq: int
    trace: dict[str, list[Step]]
    has_more: bool
    next: str | None
