"""What work costs: a lease check beside a `GET /health`.

`measure()` gives rows of (what, figure, demanded, met); both sides of a ratio are asked in turns,
in this run.
"""

from __future__ import annotations

import json
import statistics
import time

from benchmarks import hubs, load

Row = tuple[str, str, str, bool]

TURNS, WARM, LEASES = 400, 50, 100
_CHECK = "/leases/check?holder=me&repo=github.com/acme/app&path=src/auth/login.py"


def measure() -> list[Row]:
    """All rows."""
    rows = []
    with hubs.scratch() as folder, hubs.hub(folder / "data") as hub:
        for count in (0, 1, 20, LEASES):
            connection = load.Connection(hub.url)
            for number in range(count):
                taken = {
                    "holder": f"box{number}",
                    "repo": "github.com/acme/app",
                    "paths": [f"src/m{number}/**", f"docs/m{number}-*.md"],
                }
                connection.call(load.request("POST", "/leases", json.dumps(taken).encode()))
                if connection.status not in (200, 201):
                    raise AssertionError(f"the hub answered {connection.status}")
            rows.append(_row(hub.url, count))
    return rows


def _row(url: str, count: int) -> Row:
    times: dict[str, list[float]] = {"/health": [], _CHECK: []}
    connection = load.Connection(url)
    for turn in range(WARM + TURNS):
        for path, spent in times.items():
            began = time.perf_counter()
            connection.call(load.request("GET", path))
            if turn >= WARM:
                spent.append(time.perf_counter() - began)
            if connection.status != 200:
                raise AssertionError(f"the hub answered {connection.status} to {path}")
    health, check = (statistics.median(spent) for spent in times.values())
    return (
        f"14. lease check, {count} leases in the repository / health",
        f"{check / health:.2f}  ({check * 1e3:.2f} ms)",
        "<= 1.5",
        check / health <= 1.5,
    )
