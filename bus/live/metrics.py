"""What the web workers count as they go: requests, and how long appends and syncs take.

The counters are those of prometheus-client. Where PROMETHEUS_MULTIPROC_DIR is set, each process
keeps its own in a file of that folder and `families` adds them up; `bus/server/metrics_folder.py`
sets it. Losing them costs nothing but a step in a graph.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Histogram, values
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.samples import Sample

from bus.model.figures import RouteFigures, Timing, WebFigures

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
logger = logging.getLogger("bus.live.metrics")

# A sync takes 0.2 ms on a good disk and 20 on a slow one; a post may wait seconds for its locks.
# Each class costs every answer of /metrics its share.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10)


class Metrics:
    """The counters of one hub in one process."""

    def __init__(self) -> None:
        self._is_shared = FOLDER in os.environ
        if self._is_shared:
            # It chose when it was imported, which the master does before it sets the folder.
            values.ValueClass = values.MultiProcessValue()  # type: ignore[no-untyped-call]
        self._own = CollectorRegistry()
        own = None if self._is_shared else self._own
        self._requests = Counter(
            "claude_bus_requests",
            "Requests that were answered, by route and HTTP status.",
            ("route", "status"),
            registry=own,
        )
        self._posts, self._appends, self._syncs = (
            Histogram(f"claude_bus_{name}_seconds", what, buckets=_SECONDS, registry=own)
            for name, what in (
                ("post", "How long a POST /post took until its answer began."),
                ("append", "How long it took to append a block of records and make it durable."),
                ("sync", "How long a sync of the log took."),
            )
        )

    def answered(self, route: str, status: str, seconds: float) -> None:
        """A request to a route was answered: its status, such as "200", and how long it took."""
        with _uncounted():
            self._requests.labels(route, status).inc()
            if route == "/post":
                self._posts.observe(seconds)

    def appended(self, seconds: float) -> None:
        """A block was appended."""
        with _uncounted():
            self._appends.observe(seconds)

    def synced(self, seconds: float) -> None:
        """The log was synced."""
        with _uncounted():
            self._syncs.observe(seconds)

    def families(self) -> Iterator[Metric]:
        """Yield the counters of all processes."""
        registry = self._own
        if self._is_shared:
            registry = CollectorRegistry()
            if os.path.isdir(os.environ[FOLDER]):  # else somebody took it away
                MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        yield from registry.collect()

    def summary(self) -> WebFigures:
        """Return the counters in the form of an answer."""
        found = {family.name: family.samples for family in self.families()}
        requests: list[RouteFigures] = [
            {
                "route": sample.labels["route"],
                "status": sample.labels["status"],
                "count": int(sample.value),
            }
            for sample in found.get("claude_bus_requests", ())
            if sample.name.endswith("_total")
        ]
        requests.sort(key=lambda one: (one["route"], one["status"]))
        post, append, sync = (
            _timing(found.get(f"claude_bus_{name}_seconds", ()))
            for name in ("post", "append", "sync")
        )
        return {"requests": requests, "post": post, "append": append, "sync": sync}


@contextmanager
def _uncounted() -> Iterator[None]:
    """Log a fault in the files of the counters: no request may fail for it."""
    try:
        yield
    except (OSError, ValueError) as error:
        logger.warning("something was not counted: %s", error)


def _timing(samples: Iterable[Sample]) -> Timing:
    upto: dict[float, float] = {}
    total = seconds = 0.0
    for sample in samples:
        if sample.name.endswith("_bucket"):
            upto[float(sample.labels["le"])] = sample.value
        elif sample.name.endswith("_sum"):
            seconds = sample.value
    total = upto.get(math.inf, 0.0)
    return {
        "count": int(total),
        "mean_s": round(seconds / total, 6) if total else None,
        "p50_s": _within(upto, total / 2),
        "p99_s": _within(upto, total * 0.99),
    }


def _within(upto: Mapping[float, float], wanted: float) -> float | None:
    """Return the lowest bound below which so many lie; None where there are none, or only above
    all bounds.
    """
    return next(
        (
            bound
            for bound, count in sorted(upto.items())
            if 0 < wanted <= count and bound < math.inf
        ),
        None,
    )
