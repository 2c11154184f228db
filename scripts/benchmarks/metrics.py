"""What `GET /metrics` costs: beside the empty view, with no reader and with many.

`measure()` gives rows of (what, figure, demanded, met); both sides of a ratio are asked in turns,
in this run.
"""

from __future__ import annotations

import base64
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import hubs, load

Row = tuple[str, str, str, bool | None]

TURNS, WARM, READERS = 300, 30, 200
_KEPT_S = 10.5  # a worker counts what waits for readers anew after ten seconds


def measure() -> list[Row]:
    """All rows."""
    with hubs.scratch() as folder, hubs.hub(folder / "data") as hub, hubs.empty_view() as empty:
        ask = _request(folder / "data")
        rows = [_row(hub.url, ask, empty.url, "no reader")]
        for number in range(READERS):
            name = f"reader{number}"
            _must(hub.url, load.post(to=name))
            _must(hub.url, load.request("GET", f"/messages?unread_by={name}"))
        time.sleep(_KEPT_S)
        began = time.perf_counter()
        _must(hub.url, ask)
        counted = f"{(time.perf_counter() - began) * 1e3:.0f} ms when counted"
        return [*rows, _row(hub.url, ask, empty.url, f"{READERS} readers ({counted})")]


def _request(data_dir: Path) -> bytes:
    made = subprocess.run(
        [sys.executable, "-m", "bus", "credential", "add", "bench", "--watcher", "--json"],
        env={**os.environ, "BUS_DATA_DIR": str(data_dir)},
        cwd=hubs.ROOT,
        capture_output=True,
        check=True,
    )
    secret = json.loads(made.stdout)["secret"]
    basic = base64.b64encode(f"bench:{secret}".encode()).decode()
    return load.request("GET", "/metrics", basic=f"Basic {basic}")


def _must(url: str, data: bytes) -> None:
    connection = load.Connection(url)
    connection.call(data)
    connection.close()
    if connection.status not in (200, 201):
        raise AssertionError(f"the hub answered {connection.status}")


def _row(hub: str, ask: bytes, empty: str, what: str) -> Row:
    asked = {"hub": (load.Connection(hub), ask), "empty": (load.Connection(empty), load.post())}
    times: dict[str, list[float]] = {name: [] for name in asked}
    for turn in range(WARM + TURNS):
        for name, (connection, data) in asked.items():
            began = time.perf_counter()
            connection.call(data)
            if turn >= WARM:
                times[name].append(time.perf_counter() - began)
            if connection.status != 200:
                raise AssertionError(f"{name} answered {connection.status}")
    mine, bare = (statistics.median(spent) for spent in times.values())
    return (
        f"16. /metrics, {what}: empty views",
        f"{mine / bare:.2f}  ({mine * 1e3:.2f} ms)",
        "<= 3",
        mine / bare <= 3,
    )
