"""Whether clients that ask at the same time are served alike: medians and slowest answers in closed
loops.

`measure()` gives rows of (what, figure, bound, met); servers are measured in turns, and each figure
is the median of the turns. A fair median is about clients / throughput, so each fair figure has its
throughput beside it.
"""

from __future__ import annotations

import statistics
from typing import NamedTuple

from benchmarks import hubs, load

CLIENTS, TURNS, SECONDS = 16, 5, 2.0
MESSAGES = "/messages?limit=20"
# GET /messages by 16 clients made 0.60 of the empty view before connections were served in turns;
# 0.9 of that is asked.
_LEAST_READS = 0.54

Row = tuple[str, str, str, bool]


class _Turn(NamedTuple):
    """What one turn gave, all as ratios."""

    spread: float  # p99 / median of the reads
    reads: float  # reads / empty views
    health: float  # empty views / health
    beside: float  # p99 of posts by one beside the readers / alone
    ms: float  # median of the reads


def measure() -> list[Row]:
    """All rows; takes about a minute."""
    with hubs.scratch() as folder, hubs.hub(folder / "data") as hub, hubs.empty_view() as empty:
        load.run(hub.url, load.post(), 4, 0.5)
        turns = [_turn(hub.url, empty.url) for _ in range(TURNS)]
    middle = _Turn(*map(statistics.median, zip(*turns, strict=True)))
    return [
        _at_most(
            "GET /messages by 16, p99 / median", middle.spread, 4, f"  (median {middle.ms:.1f} ms)"
        ),
        _at_least("GET /messages by 16 / empty view", middle.reads, _LEAST_READS),
        _at_most("/health by 16: empty views", middle.health, 2),
        _at_most("posts by 1, p99 beside 16 readers / alone", middle.beside, 4),
    ]


def _turn(hub: str, empty: str) -> _Turn:
    get, post = load.request("GET", MESSAGES), load.post()
    views = load.run(empty, post, CLIENTS, SECONDS)
    reads = load.run(hub, get, CLIENTS, SECONDS)
    health = load.run(hub, load.request("GET", "/health"), CLIENTS, SECONDS)
    alone = load.run(hub, post, 1, SECONDS)
    beside = load.together(hub, [(post, 1), (get, CLIENTS)], SECONDS)[0]
    return _Turn(
        reads.quantile(0.99) / reads.median,
        reads.rate / views.rate,
        views.rate / health.rate,
        beside.quantile(0.99) / alone.quantile(0.99),
        reads.median * 1e3,
    )


def _at_most(what: str, value: float, bound: float, note: str = "") -> Row:
    return what, f"{value:.2f}{note}", f"<= {bound:g}", value <= bound


def _at_least(what: str, value: float, bound: float, note: str = "") -> Row:
    return what, f"{value:.2f}{note}", f">= {bound:g}", value >= bound
