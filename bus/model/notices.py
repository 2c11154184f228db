"""Notices: what is told to services outside, such as Telegram, and what came of it. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

from bus.errors import BadField
from bus.model.answer import Count, Says, Time
from bus.model.checks import MAX_SEQ, shown
from bus.model.kinds import TEXT, choice, whole
from bus.model.shape import Kind, Shape

QUEUED, SENDING, SENT, DEAD = "queued", "sending", "sent", "dead"
STATES = (QUEUED, SENDING, SENT, DEAD)
MOST_SHOWN = 200
MOST_TEXT = 4_000  # characters of a notice's text that are kept
TEXT_TAG = "text:"  # a message with the tag text:chas is texted to chas, where that is set up
TRIED_S = 86_400  # so long after it was made, a notice that nobody takes is given up
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 2, 900


class Notice(NamedTuple):
    """One thing to tell: `lane` is the service and the place there, such as a chat, whose notices
    are sent in order.

    `seq` is the record that it is about, 0 for none. `data` is for the service: what it is told
    besides `title` and `text`. `is_unsure`: it may have been sent before.
    """

    id: int
    service: str
    target: str
    kind: str
    seq: int
    title: str
    text: str
    data: dict[str, Any]
    made_ms: int
    tries: int = 0
    is_unsure: bool = False


class NewNotice(NamedTuple):
    """A notice that is not in the queue yet."""

    service: str
    target: str
    kind: str
    title: str
    text: str
    seq: int = 0
    data: dict[str, Any] = {}  # noqa: RUF012 (nobody changes it)


def pause_s(tries: int, luck: float) -> float:
    """Return how many seconds to wait after so many tries: twice as long each time, at most a
    quarter of an hour, less up to a half of it by luck (0 to 1).
    """
    longest = min(_FIRST_PAUSE_S * 2.0 ** min(tries - 1, 16), _LONGEST_PAUSE_S)
    return longest * (1 - luck / 2)


def id_of(text: str) -> int:
    """Return the id of a notice in a path; raises BadField."""
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise BadField(f"`id` is {shown(text)}.", hint="The number of a notice.", field="id")
    return int(text)


_SERVICE = Kind(TEXT.check, {"type": "string"})


@dataclass(frozen=True, kw_only=True)
class NoticesQuery(Shape):
    """GET /notices: in which state, of which service, older than which, and how many."""

    state: Annotated[str | None, choice(STATES)] = None
    service: Annotated[str | None, _SERVICE, "its name in the settings"] = None
    before: Annotated[int | None, whole(1, MAX_SEQ - 1), "only those with a lower id"] = None
    limit: Annotated[int, whole(1, MOST_SHOWN)] = 50


class ShownNotice(TypedDict):
    """A notice as admins see it."""

    id: Count
    service: str
    target: Annotated[str, "where in the service, such as a chat"]
    kind: str
    seq: Annotated[Count, "the record that it is about; 0: none"]
    title: str
    text: str
    state: Annotated[str, Says(enum=list(STATES))]
    made: Time
    sent: Time | None
    tries: Count
    next_try: Annotated[Time | None, "not before; null: at once, or never"]
    error: Annotated[str | None, "why the last try failed"]
    maybe_twice: Annotated[
        bool, "an answer of the service was lost, so it may have been told this twice"
    ]


class ServiceState(TypedDict):
    """How one service is doing."""

    queued: Count
    sent: Annotated[Count, "of those that are still kept"]
    dead: Count
    oldest: Annotated[Time | None, "when the oldest that waits was made"]
    error: Annotated[str | None, "why the service takes nothing now; null: it does"]


class Process(TypedDict):
    """How `python -m bus notify` is."""

    state: Annotated[str, Says(enum=["off", "ready", "away"])]
    cursor: Annotated[Count, "the seq up to which the log was read"]
    behind: Annotated[Count, "records of the log that it has not read yet"]


class Notices(TypedDict):
    """Notices, newest first, and how the services are."""

    ok: Literal[True]
    notices: list[ShownNotice]
    has_more: bool
    services: dict[str, ServiceState]
    process: Process


class OneNotice(TypedDict):
    """One notice."""

    ok: Literal[True]
    notice: ShownNotice
