"""Roles: `to:"role:deployer"` reaches whoever has the role now. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, TypedDict

from bus.errors import BadField
from bus.model.answer import Count, Time
from bus.model.checks import shown
from bus.model.groups import ROLE, ROLE_PREFIX
from bus.model.kinds import Format
from bus.model.shape import Json

ROLE_SCHEMA: Json = {"type": "string", "pattern": f"^{ROLE.pattern}$"}


def role(value: str, field: str) -> str:
    """Return the name of a role; `role:` may stand before it."""
    name = value.removeprefix(ROLE_PREFIX)
    if ROLE.fullmatch(name) is None:
        raise BadField(
            f"`{field}` is {shown(value)}.",
            hint="1 to 64 letters, digits, hyphens or underscores.",
            field=field,
        )
    return name


@dataclass(frozen=True, kw_only=True)
class RolesQuery(Format):
    """GET /roles."""


class Role(TypedDict):
    """A role that somebody has claimed."""

    role: str
    holder: str | None
    since: Annotated[Time | None, "when it was given to its holder, or fell vacant"]
    candidates: Annotated[list[str], "in the order of their claims, the holder too"]
    unread: Count | None


class Roles(TypedDict):
    """All roles, in their order."""

    ok: Literal[True]
    roles: list[Role]


class OneRole(TypedDict):
    """One role."""

    ok: Literal[True]
    role: Role
