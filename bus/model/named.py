"""Requests that are about one of the caller's own names: a subscription, a claim. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from bus.model.kinds import AGENT
from bus.model.shape import Json, Shape, object_schema

_NAME = "whose it is; left out: the caller's. Required of the shared user"


@dataclass(frozen=True, kw_only=True)
class Named(Shape):
    """The body of such a request."""

    name: Annotated[str, AGENT, _NAME]

    @classmethod
    def schema(cls) -> Json:
        """Return what OpenAPI says of it: `name` may be left out by all whose credential has a name
        of its own.
        """
        return {**object_schema(cls), "required": []}
