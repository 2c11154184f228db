"""A reader's stars: messages that it wants to find again. POST /star/<ref>. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, NotRequired, TypedDict

from bus.model.kinds import AGENT, KEY, flag
from bus.model.shape import Json, Shape, object_schema

_READER = "whose star; left out: the caller's. Required of the shared user"


@dataclass(frozen=True, kw_only=True)
class Star(Shape):
    """POST /star/<ref>."""

    reader: Annotated[str, AGENT, _READER]
    starred: Annotated[
        bool | None, flag("true or false."), "left out: the other of what it is now"
    ] = None
    client_id: Annotated[str | None, KEY] = None

    @classmethod
    def schema(cls) -> Json:
        """Return what OpenAPI says of it: `reader` may be left out by all whose credential has a
        name of its own.
        """
        return {**object_schema(cls), "required": []}


class Starred(TypedDict):
    """Whether a reader has starred a message now."""

    ok: Literal[True]
    id: str
    seq: int
    reader: str
    starred: bool
    replayed: NotRequired[Annotated[bool, "nothing was changed: it was so, or the key was used"]]
