"""Which events somebody asks for: GET /api/activity. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, NotRequired, TypedDict

from bus.model import checks
from bus.model.answer import Count, From, Time
from bus.model.calls import ACTIONS, CONTAINER
from bus.model.checks import MAX_SEQ
from bus.model.filter import MAX_LIMIT
from bus.model.kinds import AGENT, NAME_SCHEMA, choice, number, whole
from bus.model.shape import Kind, Shape

TYPES = ("message", *ACTIONS, "permit", CONTAINER, "credential")
_DAY_H = 24
_MIN_HOURS, _MAX_HOURS = 0.01, 8784
_BETWEEN = f"{_MIN_HOURS} to {_MAX_HOURS}."
_HOURS = number(_MIN_HOURS, _MAX_HOURS, _BETWEEN).saying(default=_DAY_H)


@dataclass(frozen=True, kw_only=True)
class ActivityQuery(Shape):
    """Events of the last `hours`; None is no condition.

    `since` and `before` are seqs, both exclusive.
    """

    hours: Annotated[float | None, _HOURS] = None
    sender: Annotated[str | None, AGENT] = None
    type: Annotated[str | None, choice(TYPES)] = None
    target: Annotated[str | None, Kind(checks.name, NAME_SCHEMA)] = None
    since: Annotated[int | None, whole(0, MAX_SEQ - 1)] = None
    before: Annotated[int | None, whole(1, MAX_SEQ)] = None
    limit: Annotated[int, whole(1, MAX_LIMIT)] = 100

    def since_ms(self, now_s: float) -> int:
        """Return the time (Unix, milliseconds) from which events are asked for: a day ago, if
        nothing else is said.
        """
        if self.hours is None and self.since is not None:
            return 0  # who follows by `since` was perhaps away for longer than a day
        hours = _DAY_H if self.hours is None else self.hours
        return int((now_s - hours * 3600) * 1000)


class Event(From):
    """Something that happened. Whoever may see it has more fields, which depend on its `type`."""

    seq: int
    id: str
    time: Time
    type: str
    target: NotRequired[str | list[str] | None]
    result: NotRequired[str]
    duration_ms: NotRequired[int]
    body: NotRequired[str]
    verified: NotRequired[bool]


class Feed(TypedDict):
    """Events, oldest first; `next` is the seq to go on from."""

    ok: bool
    events: list[Event]
    has_more: bool
    next: Count


class Machine(TypedDict):
    """A name that the hub knows, and whether it is there."""

    name: str
    kind: str
    driver: str | None
    state: str
    online: bool | None
    last_seen: Time | None


class Machines(TypedDict):
    """All that are known; `unavailable` has the drivers that do not answer, with the reason."""

    ok: bool
    machines: list[Machine]
    has_more: NotRequired[bool]
    unavailable: dict[str, str]


class Container(TypedDict):
    """A container that commands can run in."""

    name: str
    driver: str
    state: str
    addresses: list[str]
    snapshots: Any


class Containers(TypedDict):
    """All containers; `unavailable` as in `Machines`."""

    ok: bool
    containers: list[Container]
    unavailable: dict[str, str]
