"""A reader acknowledges messages, and a sender asks how far one has come: POST /ack and GET
/messages/<ref>/receipts. No I/O.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from bus.errors import BadField, MissingField
from bus.model import checks
from bus.model.answer import Time
from bus.model.filter import MAX_LIMIT
from bus.model.kinds import AGENT, ONE_OR_FLAG, REFERENCE, Format, whole
from bus.model.shape import Json, Kind, Shape, object_schema

MAX_IDS = 1_000


def _refs(value: Any, field: str) -> list[str | int]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_IDS:
        raise BadField(
            "`ids` is not a list, or is empty or too long.",
            hint=f"1 to {MAX_IDS} ids or seqs.",
            field=field,
        )
    return [checks.reference(item, field) for item in value]


_IDS = Kind(_refs, {"type": "array", "items": REFERENCE.schema, "minItems": 1, "maxItems": MAX_IDS})


def _one(value: Any, field: str) -> int:
    if isinstance(value, bool) or value not in (1, "1"):
        raise BadField(
            f"`{field}` is {checks.shown(value)}.", hint="1, or leave it out.", field=field
        )
    return 1


_ONE = Kind(_one, {"enum": [1]})
_MACHINE = "1, of a session: what is its machine's is done for the machine"
_READER = "who acknowledges; left out: the caller. Required of the shared user"


@dataclass(frozen=True, kw_only=True)
class Ack(Shape):
    """POST /ack/<ref>: one message."""

    reader: Annotated[str, AGENT, _READER]
    machine: Annotated[int | None, ONE_OR_FLAG, _MACHINE] = None

    @classmethod
    def schema(cls) -> Json:
        """Return what OpenAPI says of it: `reader` may be left out by all whose credential has a
        name of its own.
        """
        return {**object_schema(cls), "required": []}


@dataclass(frozen=True, kw_only=True)
class AckMany(Ack):
    """POST /ack: several messages, or every one up to `through`, or what was shown."""

    ids: Annotated[list[str | int] | None, _IDS] = None
    through: Annotated[str | int | None, REFERENCE] = None
    shown: Annotated[
        int | None, _ONE, "1: the unread ones that the reader was given, 1,000 at most"
    ] = None

    def __post_init__(self) -> None:
        if sum(which is not None for which in (self.ids, self.through, self.shown)) != 1:
            raise MissingField(
                "Give one of `ids`, `through` and `shown`.",
                hint='"ids":[…], or "through": the last one, or "shown":1.',
                field="ids",
            )

    @classmethod
    def schema(cls) -> Json:
        either = [{"required": [which]} for which in ("ids", "through", "shown")]
        return {**super().schema(), "oneOf": either}


@dataclass(frozen=True, kw_only=True)
class ReceiptsQuery(Format):
    """GET /messages/<ref>/receipts: `limit` names behind `after`; None is from the first one."""

    after: Annotated[
        str | None, AGENT, "only the names behind this one: `next` of the answer before"
    ] = None
    limit: Annotated[int, whole(1, MAX_LIMIT), "names"] = MAX_LIMIT


class Acked(TypedDict):
    """The seqs that an ack settled, and those that were settled before."""

    ok: Literal[True]
    id: NotRequired[str]
    reader: str
    acked: list[int]
    already: list[int]


class Receipt(TypedDict):
    """When a message was saved for a name, fetched by it and acknowledged; None: not yet."""

    queued: Time
    fetched: Time | None
    acked: Time | None


class Receipts(TypedDict):
    """How far a message has come with some names; `more` counts the others, up to 1000."""

    id: str
    seq: int
    receipts: dict[str, Receipt]
    has_more: bool
    more: int
    next: str | None
