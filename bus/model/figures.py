"""What a hub counts and measures: GET /metrics. No I/O."""

from __future__ import annotations

from typing import Annotated, Literal, TypedDict

from bus.model.answer import Count, Time
from bus.model.health import Health

MOST_READERS, MOST_WEBHOOKS = 100, 100


class CallFigures(TypedDict):
    """How many calls of a type ended with a result."""

    type: str
    result: str
    count: Count


class ReaderFigures(TypedDict):
    """What waits for a reader; `oldest_unread_s` is None where nothing does."""

    name: str
    unread: Annotated[int, "1000 stands for that many and more"]
    oldest_unread_s: int | None
    last_seen: Time | None


class WebhookFigures(TypedDict):
    """How a webhook is doing; `failures` in a row."""

    id: str
    name: str
    state: str
    failures: Count
    dead_letters: Count


class RouteFigures(TypedDict):
    """How many requests to a route were answered with a status."""

    route: str
    status: str
    count: Count


class Timing(TypedDict):
    """How long something took, in seconds; None where nothing was measured.

    `p50_s` and `p99_s` are upper bounds: half of all, or 99 of 100, took no longer. None for p99_s
    too where it is above the largest bound that is counted, 10 s.
    """

    count: Count
    mean_s: float | None
    p50_s: float | None
    p99_s: float | None


class WebFigures(TypedDict):
    """What the web workers counted since the hub started."""

    requests: list[RouteFigures]
    post: Timing
    append: Timing
    sync: Timing


class Counted(TypedDict):
    """`records` counts the log's records by their kind, `calls` those that ended; `readers` has
    those with the most unread first, `readers_left_out` says how many more there are.
    """

    records: dict[str, int]
    calls: list[CallFigures]
    readers: list[ReaderFigures]
    readers_left_out: Count
    webhooks: list[WebhookFigures]
    webhooks_left_out: Count


class HubFigures(Counted):
    """What the hub knows."""

    hub: Health


class Figures(HubFigures):
    """The answer, with what the web workers know."""

    ok: Literal[True]
    web: WebFigures
