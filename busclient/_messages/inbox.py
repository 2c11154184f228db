"""What the hub chose for a reader with little room."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from busclient._errors import BadAnswer
from busclient._harmless import one_line, signed
from busclient._messages.message import Message


@dataclass(frozen=True, repr=False)
class Stub:
    """A message of which only the beginning is shown.

    `size` is the length of its whole body in characters.
    """

    seq: int
    id: str
    ts: str
    sender: str
    priority: str
    preview: str
    size: int
    verified: bool = False

    def __repr__(self) -> str:
        return (
            f"<Stub {self.seq} from {signed(self.sender, self.verified)}:"
            f" {one_line(ascii(self.preview), 200)}>"
        )


@dataclass(frozen=True)
class Inbox:
    """The most urgent unread messages in full, then stubs, both in the hub's order; `more` counts
    the rest.

    `unread` counts all (at most 1000: then `unread_is_exact` is False). With `has_more`, ask again
    with `cursor`.
    """

    messages: tuple[Message, ...]
    stubs: tuple[Stub, ...]
    unread: int
    unread_is_exact: bool
    more: int
    has_more: bool
    cursor: str | None
    raw: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Inbox:
        """Return an inbox of the hub's JSON; raises BadAnswer."""
        try:
            return cls(
                messages=tuple(Message.from_json(item) for item in fields["messages"]),
                stubs=tuple(_stub(item) for item in fields["stubs"]),
                unread=int(fields["unread"]),
                unread_is_exact=bool(fields["unread_is_exact"]),
                more=int(fields["more"]),
                has_more=bool(fields["has_more"]),
                cursor=fields["cursor"],
                raw=fields,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BadAnswer(f"The answer is not an inbox: {error!r}.") from None


def _stub(fields: Mapping[str, Any]) -> Stub:
    return Stub(
        int(fields["seq"]), str(fields["id"]), str(fields["ts"]), str(fields["from"]),
        str(fields["priority"]), str(fields["preview"]), int(fields["size"]),
        fields.get("verified") is True,
    )  # fmt: skip
