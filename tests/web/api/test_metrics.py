"""GET /metrics: what is counted, in both forms, and who may ask."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from prometheus_client import values
from prometheus_client.parser import text_string_to_metric_families

from bus.live.metrics import Metrics
from bus.model.caller import WATCHER
from tests.conftest import ROOT, RunningHub, wait_until
from tests.fleet import SECRET, As, Fleet
from tests.web.conftest import Members, refusal

MONITORING = ROOT / "docs" / "monitoring"


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """The samples of an answer by their name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(text: str, name: str, /, **labels: str) -> float | None:
    """One sample."""
    return samples(text).get((name, tuple(sorted(labels.items()))))


@pytest.fixture
def watcher(members: Members) -> As:
    """A credential that may look at figures."""
    members.app.extensions["credentials"].add("prometheus", SECRET, WATCHER)
    return As(members.app, "prometheus")


def metrics(members: Members) -> str:
    """What Prometheus gets."""
    reply = members.admin.get("/metrics")
    assert reply.status_code == 200
    assert reply.content_type.startswith("text/plain; version=")
    return str(reply.get_data(as_text=True))


def test_posts_and_acks_are_counted_from_the_log_and_requests_by_route_and_status(
    members: Members,
) -> None:
    first = members.web1.post("/post", json={"to": "db1", "body": "one"}).json
    members.web1.post("/post", json={"to": "db1", "body": "two"})
    members.web1.post("/post", json={"to": "db1", "bodi": "three"})
    members.db1.post(f"/ack/{first['seq']}", json={})
    members.db1.get(f"/messages/{first['seq']}")
    members.db1.get("/nowhere/at/all")
    text = metrics(members)
    assert value(text, "claude_bus_records_total", kind="message") == 2
    assert value(text, "claude_bus_records_total", kind="ack") == 1
    requests = "claude_bus_requests_total"
    assert value(text, requests, route="/post", status="201") == 2
    assert value(text, requests, route="/post", status="400") == 1
    assert value(text, requests, route="/messages/<ref>", status="200") == 1
    assert value(text, requests, route="none", status="404") == 1
    assert value(text, "claude_bus_post_seconds_count") == 3
    assert value(text, "claude_bus_append_seconds_count") == 3
    assert value(text, "claude_bus_last_seq") == members.hub.log.position().seq
    assert value(text, "claude_bus_up") == 1


def test_no_path_that_somebody_typed_becomes_a_label(members: Members) -> None:
    for number in range(5):
        members.web1.get(f"/typed-{number}")
    assert "typed" not in metrics(members)


def test_what_waits_for_each_reader_and_for_how_long(members: Members) -> None:
    members.web1.post("/post", json={"to": "db1", "body": "one"})
    members.later(3600)
    text = metrics(members)
    assert value(text, "claude_bus_unread_messages", reader="db1") == 1
    assert 3600 <= (value(text, "claude_bus_oldest_unread_seconds", reader="db1") or 0) < 3700
    assert value(text, "claude_bus_unread_messages", reader="web1") == 0


def test_the_readers_with_the_most_unread_are_listed_and_the_rest_is_counted(
    members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.hub.figures.MOST_READERS", 1)
    for name, count in (("web1", 1), ("db1", 2)):
        for number in range(count):
            members.admin.post("/post", json={"to": name, "body": str(number)})
    figures = members.admin.get("/metrics?format=json").json
    assert [(one["name"], one["unread"]) for one in figures["readers"]] == [("db1", 2)]
    assert figures["readers_left_out"] == len(members.hub.agents.members()) - 1


def test_the_same_as_json(members: Members) -> None:
    members.web1.post("/post", json={"to": "db1", "body": "one"})
    by_query = members.admin.get("/metrics?format=json").json
    by_header = members.admin.get("/metrics", headers={"Accept": "application/json"}).json
    assert by_query.keys() == by_header.keys()
    assert by_query["records"]["message"] == 1
    assert by_query["hub"]["last_seq"] == members.hub.log.position().seq
    assert {"route": "/post", "status": "201", "count": 1} in by_query["web"]["requests"]
    post = by_query["web"]["post"]
    assert post["count"] == 1
    assert 0 < post["mean_s"] <= post["p99_s"]
    assert by_query["web"]["sync"]["p50_s"] is None or by_query["web"]["sync"]["count"]


def test_how_calls_ended_is_counted(fleet: Fleet) -> None:
    fleet.permit("web1", "box")
    assert fleet.web1.exec("true").status_code == 200
    assert fleet.web1.exec("exit 3").status_code == 200
    assert fleet.db1.exec("true").status_code == 403
    calls = fleet.admin.get("/metrics?format=json").json["calls"]
    assert {"type": "exec", "result": "ok", "count": 2} in calls
    assert {"type": "exec", "result": "denied", "count": 1} in calls


def test_each_webhook_is_shown_with_its_failures(members: Members) -> None:
    added = members.db1.post("/webhooks", json={"url": "https://hooks.example.org/x"})
    assert added.status_code == 201, added.json
    (shown,) = members.admin.get("/metrics?format=json").json["webhooks"]
    assert (shown["name"], shown["state"], shown["failures"]) == ("db1", "active", 0)
    assert (
        value(metrics(members), "claude_bus_webhook_failures", webhook=shown["id"], name="db1") == 0
    )


def test_a_watcher_may_ask_for_figures_and_for_nothing_else(members: Members, watcher: As) -> None:
    assert watcher.get("/metrics").status_code == 200
    for method, path in (
        *(("GET", "/messages"), ("GET", "/health"), ("GET", "/agents"), ("GET", "/stream")),
        *(("GET", "/api/me"), ("GET", "/api/activity"), ("POST", "/post"), ("POST", "/ack")),
    ):
        refusal(
            watcher.call(method, path, **({"json": {}} if method == "POST" else {})),
            403,
            "not_allowed",
        )


def test_members_and_the_shared_user_may_not_ask(members: Members) -> None:
    refusal(members.web1.get("/metrics"), 403, "not_allowed")
    refusal(members.shared.get("/metrics"), 403, "not_allowed")


def test_a_watcher_is_no_reader_and_nobody_else_gets_its_name(
    members: Members, watcher: As
) -> None:
    assert "prometheus" not in {
        one["name"] for one in watcher.get("/metrics?format=json").json["readers"]
    }
    posted = members.shared.post("/post", json={"from": "prometheus", "to": "db1", "body": "x"})
    refusal(posted, 403, "not_your_name")


def test_the_counts_are_the_same_after_the_index_is_rebuilt(members: Members) -> None:
    members.web1.post("/post", json={"to": "db1", "body": "one"})
    before = members.admin.get("/metrics?format=json").json["records"]
    members.hub.index.rebuild()
    assert members.admin.get("/metrics?format=json").json["records"] == before


def _queries(found: Any) -> list[str]:
    if isinstance(found, dict):
        own = [found["expr"]] if isinstance(found.get("expr"), str) else []
        return own + [query for value in found.values() for query in _queries(value)]
    return (
        [query for value in found for query in _queries(value)] if isinstance(found, list) else []
    )


@pytest.mark.parametrize("name", ["claude-bus-alerts.yml", "claude-bus-dashboard.json"])
def test_alerts_and_dashboard_ask_for_metrics_that_there_are(members: Members, name: str) -> None:
    import re

    members.web1.post("/post", json={"to": "db1", "body": "one"})
    text = metrics(members)
    families = re.findall(r"^# TYPE (\S+) (\w+)$", text, re.MULTILINE)
    known = {name for name, _ in families}
    known |= {f"{name}_bucket" for name, kind in families if kind == "histogram"}
    loaded = (MONITORING / name).read_text()
    found = json.loads(loaded) if name.endswith("json") else yaml.safe_load(loaded)
    asked = {word for query in _queries(found) for word in re.findall(r"claude_bus_\w+", query)}
    assert asked
    assert asked <= known


def folder_of(hub: RunningHub) -> tuple[Path, Path]:
    """The note that says where a hub's counters are, and that place."""
    (note,) = (hub.data_dir / "run").glob("metrics-folder-*")
    return note, Path(note.read_text().strip())


def test_no_request_fails_because_it_cannot_be_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    monkeypatch.setattr(values, "ValueClass", values.ValueClass)
    counting = Metrics()
    shutil.rmtree(tmp_path)
    counting.answered("/post", "201", 0.1)
    counting.appended(0.1)
    counting.synced(0.1)
    assert list(counting.families()) == []


@pytest.mark.slow
def test_two_workers_count_together_and_a_stop_leaves_nothing(
    hub_at: Callable[..., RunningHub],
) -> None:
    hub = hub_at(BUS_WORKERS="2")
    made = json.loads(hub.run("credential", "add", "prometheus", "--watcher", "--json").stdout)
    for number in range(20):  # connections of their own, so that both workers have some
        with requests.Session():
            hub.say(f"message {number}")
    reply = requests.get(f"{hub.url}/metrics", auth=("prometheus", made["secret"]), timeout=20)
    assert value(reply.text, "claude_bus_requests_total", route="/post", status="201") == 20
    assert value(reply.text, "claude_bus_post_seconds_count") == 20
    assert (value(reply.text, "claude_bus_sync_seconds_count") or 0) > 0
    note, folder = folder_of(hub)
    assert len(list(folder.glob("counter_*.db"))) == 2
    hub.stop()
    assert not folder.exists()
    assert not note.exists()


@pytest.mark.slow
def test_a_hub_that_was_killed_leaves_no_counters_behind_for_long(
    hub_at: Callable[..., RunningHub],
) -> None:
    hub = hub_at(BUS_WORKERS="1")
    note, old = folder_of(hub)
    hub.kill()
    assert old.exists()
    hub_at(hub.data_dir, BUS_WORKERS="1")
    assert not old.exists()
    assert not note.exists()


@pytest.mark.slow
def test_a_second_hub_on_the_same_data_leaves_the_counters_of_the_first(
    hub_at: Callable[..., RunningHub],
) -> None:
    hub = hub_at(BUS_WORKERS="1")
    note, folder = folder_of(hub)
    hub_at(hub.data_dir, BUS_WORKERS="1").stop()
    assert note.exists()
    assert folder.exists()
    assert hub.get("/health").status_code == 200


@pytest.mark.slow
def test_a_worker_starts_though_the_counters_were_taken_away(
    hub_at: Callable[..., RunningHub],
) -> None:
    """As systemd-logind does in /dev/shm when a user logs out."""
    hub = hub_at(BUS_WORKERS="1")
    made = json.loads(hub.run("credential", "add", "prometheus", "--watcher", "--json").stdout)
    _, folder = folder_of(hub)
    shutil.rmtree(folder)
    watcher = ("prometheus", made["secret"])
    assert requests.get(f"{hub.url}/metrics", auth=watcher, timeout=20).status_code == 200
    (worker,) = hub.workers()
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: hub.workers() not in ([], [worker]))
    hub.say("counted")
    reply = requests.get(f"{hub.url}/metrics", auth=watcher, timeout=20)
    assert value(reply.text, "claude_bus_requests_total", route="/post", status="201") == 1
