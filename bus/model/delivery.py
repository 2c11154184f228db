"""What is known of a message's recipients when it is posted, and what its sender is warned of.

No I/O.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NotRequired, TypedDict

from bus.model.agents import STATES
from bus.model.answer import Count, Says, Time

_DAY_S = 86_400
_FULL = 1_000  # so many unread messages, or more


class Standing(TypedDict):
    """How a recipient is doing. `any` has only `readers`, how many have ever asked; a topic has
    only `subscribers`, a role its `holder` and `unread`.
    """

    last_seen: NotRequired[Time | None]
    last_fetch: NotRequired[Time | None]
    unread: NotRequired[Annotated[int, Says(minimum=0, maximum=1000)] | None]
    readers: NotRequired[int]
    subscribers: NotRequired[int]
    holder: NotRequired[str | None]


class Recipient(TypedDict):
    """A name in `to`: whether anybody has it, and whether somebody reads what is sent to it."""

    name: str
    known: Annotated[bool, "it has a credential, has registered, or has done something"]
    state: Annotated[str, Says(enum=list(STATES))]
    last_seen: Time | None
    last_fetch: Time | None
    unread: Annotated[int, Says(minimum=0, maximum=1000)] | None
    oldest_unread_s: Annotated[Count | None, "the age of the oldest unread message"]
    wake: Annotated[str | None, "how it learns of new mail: as it said, or `webhook` if it has one"]


def unknown(name: str, near: Sequence[str]) -> str:
    """Return that nobody has a name, and which known names are like it."""
    return f"{name} is not known" + (f"; did you mean {' or '.join(near)}?" if near else ".")


def warnings(found: Recipient, near: Sequence[str]) -> list[str]:
    """Return what the sender should know in words; `near` are known names like an unknown one."""
    name = found["name"]
    if not found["known"]:
        return [unknown(name, near) if near else f"{name} is not known. Its mail waits for it."]
    told = []
    if found["state"] == "gone" and found["wake"] != "webhook":
        seen = found["last_seen"]
        told.append(f"{name} was last seen {seen}." if seen else f"{name} was never seen.")
    if (found["unread"] or 0) >= _FULL:
        told.append(f"{name} has {_FULL} unread messages or more.")
    oldest_s = found["oldest_unread_s"] or 0
    if oldest_s > _DAY_S:
        days = oldest_s // _DAY_S
        told.append(f"{name} has not read a message for {days} day{'' if days == 1 else 's'}.")
    return told
