"""`bus.expectations`: who is to be heard how often, and who is told if it is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from busclient._connection import Connection
from busclient._errors import BadAnswer, Refused

_PAGE = 500


@dataclass(frozen=True)
class Expectation:
    """A name that is to be heard every so often; `sender` expects it, `tell` are told.

    `state` is heard or silent. `heard` is when it was heard last (None: never). `warnings` are
    there only when it was just set.
    """

    id: str
    sender: str
    name: str
    every_s: int
    tell: tuple[str, ...]
    state: str
    since: str
    heard: str | None
    warnings: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, fields: Any, warnings: Sequence[Any] = ()) -> Expectation:
        """Return an expectation of the hub's JSON; raises BadAnswer."""
        try:
            return cls(
                id=str(fields["id"]),
                sender=str(fields["from"]),
                name=str(fields["name"]),
                every_s=int(fields["every_s"]),
                tell=tuple(map(str, fields["tell"])),
                state=str(fields["state"]),
                since=str(fields["since"]),
                heard=fields["heard"],
                warnings=tuple(map(str, warnings)),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BadAnswer(f"The answer holds what is no expectation: {error!r}.") from None


class Expectations:
    """A dead-man's switch: the hub tells when a name falls silent. Every call raises BusError."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._me = connection.settings.name

    def expect(
        self, name: str, *, every_s: float, tell: str | Sequence[str] | None = None
    ) -> Expectation:
        """Be told when a name is not heard for `every_s` seconds (60 to 31 days), and when it is
        back. The same again changes it. `tell`: names and roles (`role:x`); me, if left out.

        Raises TooMany, and UnknownRecipient where nobody has a name in `tell`.
        """
        fields: dict[str, Any] = {"from": self._me, "name": name, "every_s": every_s}
        if tell is not None:
            fields["tell"] = tell if isinstance(tell, str) else list(tell)
        reply = self._connection.post("/expect", fields)
        return Expectation.from_json(reply.get("expectation"), reply.get("warnings") or ())

    def all(self, *, name: str | None = None) -> list[Expectation]:
        """Return those that concern me: that I have set, that tell me, or that are about me."""
        asked: dict[str, Any] = {"limit": _PAGE, **({} if name is None else {"name": name})}
        found: list[Expectation] = []
        while True:
            reply = self._connection.get("/expect", asked)
            if not isinstance(reply.get("expectations"), list):
                raise BadAnswer("The answer holds no expectations.")
            found += map(Expectation.from_json, reply["expectations"])
            if reply.get("next") is None:
                return found
            asked["after"] = str(reply["next"])

    def end(self, which: Expectation | str) -> Expectation:
        """End an expectation of mine, by its id or by the name that is expected; of another's that
        tells me: be told no more. Raises NotFound.
        """
        ref = which.id if isinstance(which, Expectation) else which
        if ref.strip("./") == "" or ref.count("/") > 1:
            raise Refused(f"{ref[:140]!r} is neither an id nor a name.")
        path, calls = f"/expect/{quote(ref)}", self._connection.calls
        asked = {"from": self._me}
        reply = self._connection.call(lambda: calls.json("DELETE", path, params=asked))
        return Expectation.from_json(reply.get("expectation"))
