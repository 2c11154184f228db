"""What the hub counts and measures, for Prometheus and for people."""

from __future__ import annotations

from collections.abc import Iterator

from flask import Blueprint, Response, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from bus.hub.hub import Hub
from bus.live.metrics import Metrics
from bus.model.caller import WATCHERS
from bus.model.figures import HubFigures
from bus.model.health import Health
from bus.model.kinds import Format
from bus.version import __version__
from bus.web.http import parameters
from bus.web.http.auth import may_call
from bus.web.http.replies import Reply, json_reply


def blueprint(hub: Hub, metrics: Metrics) -> Blueprint:
    """The route of metrics."""
    routes = Blueprint("metrics", __name__)

    @routes.get("/metrics")
    @may_call(WATCHERS)
    def exposition() -> Response:
        if _wants_json(parameters.query(Format).format):
            return json_reply({"ok": True, **_of_hub(hub), "web": metrics.summary()})
        registry = CollectorRegistry()
        registry.register(_Collected(_of_hub(hub), metrics))
        return Reply(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)

    return routes


def _wants_json(format: str | None) -> bool:
    if format is not None:
        return format == "json"
    return "application/json" in request.environ.get("HTTP_ACCEPT", "")


def _of_hub(hub: Hub) -> HubFigures:
    health: Health = {**hub.health(), "version": __version__}
    return {"hub": health, **hub.figures.counted()}


class _Collected(Collector):
    """The figures as metrics. Every name begins with claude_bus_."""

    def __init__(self, figures: HubFigures, metrics: Metrics) -> None:
        self._figures, self._metrics = figures, metrics

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics.families()
        yield from self._of_log()
        yield from self._of_readers()
        yield from self._of_webhooks()

    def _of_log(self) -> Iterator[Metric]:
        health, figures = self._figures["hub"], self._figures
        build = GaugeMetricFamily("claude_bus_info", "The hub's version.", labels=["version"])
        build.add_metric([__version__], 1)
        yield build
        for name, what, value in (
            ("up", "Whether messages can be saved.", int(health["ok"])),
            ("last_seq", "The seq of the last record.", health["last_seq"]),
            ("index_lag_records", "Records that the index lacks.", health["index_lag"]),
            ("waiting", "Long polls and streams that wait.", health["waiting"]),
            ("damaged_lines", "Lines of the log that cannot be read.", health["damaged_lines"]),
        ):
            yield GaugeMetricFamily(f"claude_bus_{name}", what, value=value)
        records = CounterMetricFamily(
            "claude_bus_records", "Records of the log, by kind.", labels=["kind"]
        )
        for kind, count in sorted(figures["records"].items()):
            records.add_metric([kind], count)
        yield records
        calls = CounterMetricFamily(
            "claude_bus_calls", "Calls that ended, by type and result.", labels=["type", "result"]
        )
        for call in figures["calls"]:
            calls.add_metric([call["type"], call["result"]], call["count"])
        yield calls

    def _of_readers(self) -> Iterator[Metric]:
        unread = GaugeMetricFamily(
            "claude_bus_unread_messages", "Unread messages of a reader.", labels=["reader"]
        )
        oldest = GaugeMetricFamily(
            "claude_bus_oldest_unread_seconds",
            "How long a reader's oldest unread message has waited.",
            labels=["reader"],
        )
        for one in self._figures["readers"]:
            unread.add_metric([one["name"]], one["unread"])
            oldest.add_metric([one["name"]], one["oldest_unread_s"] or 0)
        yield unread
        yield oldest
        yield GaugeMetricFamily(
            "claude_bus_readers_left_out",
            "Readers that are not listed, each with no more unread than any that is.",
            value=self._figures["readers_left_out"],
        )

    def _of_webhooks(self) -> Iterator[Metric]:
        labels = ["webhook", "name"]
        failures = GaugeMetricFamily(
            "claude_bus_webhook_failures", "Failures of a webhook in a row.", labels=labels
        )
        dead = GaugeMetricFamily(
            "claude_bus_webhook_dead_letters", "Messages that a webhook gave up.", labels=labels
        )
        for one in self._figures["webhooks"]:
            failures.add_metric([one["id"], one["name"]], one["failures"])
            dead.add_metric([one["id"], one["name"]], one["dead_letters"])
        yield failures
        yield dead
