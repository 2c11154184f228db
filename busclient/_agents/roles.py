"""`bus.roles`: who has which role, and claims."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from busclient._connection import Connection
from busclient._errors import BadAnswer, Refused


@dataclass(frozen=True)
class Role:
    """A role: its holder (None: nobody has it), the candidates in order, and its unread mail."""

    role: str
    holder: str | None
    since: str | None
    candidates: tuple[str, ...]
    unread: int

    @classmethod
    def from_json(cls, fields: Any) -> Role:
        """Return a role of the hub's JSON; raises BadAnswer."""
        try:
            return cls(
                str(fields["role"]),
                fields["holder"],
                fields["since"],
                tuple(fields["candidates"]),
                int(fields["unread"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BadAnswer(f"The answer holds what is not a role: {error!r}.") from None


class Roles:
    """Roles and my claims to them. Every call raises BusError.

    A post to a role is `bus.post(text, to="role:deployer")`.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def all(self) -> list[Role]:
        """Return all roles, in their order."""
        found = self._connection.get("/roles").get("roles")
        if not isinstance(found, list):
            raise BadAnswer("The answer holds no roles.")
        return [Role.from_json(fields) for fields in found]

    def claim(self, role: str) -> Role:
        """Become the holder of a role, or a candidate behind those who claimed it before me."""
        return self._change(role, "claim")

    def release(self, role: str) -> Role:
        """End my claim; the next candidate inherits the unread mail. Raises NotFound."""
        return self._change(role, "release")

    def _change(self, role: str, what: str) -> Role:
        name = role.removeprefix("role:")
        if "/" in name or not name:
            raise Refused(f"{role[:80]!r} is not a role.", hint="Letters, digits, - and _.")
        fields = {"name": self._connection.settings.name}
        reply = self._connection.post(f"/roles/{quote(name, safe='')}/{what}", fields)
        return Role.from_json(reply.get("role"))
