"""What work costs: a lease check, and a check-up and a digest of a large log, beside a
`GET /health`.

`measure()` gives rows of (what, figure, demanded, met); both sides of a ratio are asked in turns,
in this run.
"""

from __future__ import annotations

import json
import random
import statistics
import time
from pathlib import Path

from benchmarks import hubs, load
from bus.index.building import build
from bus.log.base import Draft
from bus.log.jsonl.engine import JsonlLog

Row = tuple[str, str, str, bool]

TURNS, WARM, LEASES = 400, 50, 100
MESSAGES, ACTIONS, READERS, DAYS = 100_000, 10_000, 100, 30
LOOKS, REST_S = 15, 0.25
_CHECK = "/leases/check?holder=me&repo=github.com/acme/app&path=src/auth/login.py"


def measure() -> list[Row]:
    """All rows."""
    return [*_leases(), *_looks()]


def _leases() -> list[Row]:
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


def _looks() -> list[Row]:
    """Check-ups and digests of a month's mail: much of it is unread, all actions are open."""
    rows = []
    with hubs.scratch() as folder:
        _fill(folder / "data")
        with hubs.hub(folder / "data") as hub:
            connection = load.Connection(hub.url)
            for what, path in (
                ("check-up", "/checkup"),
                ("digest", f"/digest?reader=db{READERS - 1}"),
            ):
                times: dict[str, list[float]] = {"/health": [], path: []}
                for _ in range(LOOKS):
                    # A long question rests as long as it took before the next.
                    time.sleep(REST_S)
                    for asked, spent in times.items():
                        began = time.perf_counter()
                        connection.call(load.request("GET", asked))
                        spent.append(time.perf_counter() - began)
                        if connection.status != 200:
                            raise AssertionError(f"the hub answered {connection.status}")
                health, look = (statistics.median(spent) for spent in times.values())
                rows.append(
                    (
                        f"14. {what}, {MESSAGES} messages and {ACTIONS} actions, ms",
                        f"{look * 1e3:.1f}  ({look / health:.0f} times a health)",
                        "<= 100",
                        look <= 0.1,
                    )
                )
    return rows


def _fill(folder: Path) -> None:
    """A log of so many messages to so many readers, of whom half have acknowledged most."""
    random.seed(13)
    start_s = time.time() - DAYS * 86_400
    now_s = [start_s]
    log = JsonlLog(folder, fsync=False, clock=lambda: now_s[0])
    blocks = 100
    for block in range(blocks):
        now_s[0] = start_s + DAYS * 86_400 * block / blocks
        first = block * MESSAGES // blocks
        log.append([_message(first + number) for number in range(MESSAGES // blocks)])
    now_s[0] = time.time()
    last = log.position().seq
    acks = [
        {"kind": "ack", "auth": "claude", "reader": f"db{number}", "through": last - number * 100}
        for number in range(READERS // 2)
    ]
    log.append([Draft(ack) for ack in acks])
    build(folder / "index.db", log, lambda done, total: None)
    log.close()


def _message(number: int) -> Draft:
    to = "any" if random.random() < 0.1 else f"db{random.randrange(READERS)}"
    message = {
        **{"kind": "message", "auth": "claude", "from": f"web{number % 20}", "to": to, "tags": []},
        **{"body": "something to read " * 10, "priority": random.choice(("fyi", "normal"))},
    }
    if number % (MESSAGES // ACTIONS) == 0:
        asked = {"title": f"task {number}", "priority": random.choice(("low", "normal", "urgent"))}
        asked |= {} if to == "any" else {"assignee": to}
        asked |= {"due": "2026-01-02"} if number % 3 == 0 else {}
        message["brief"] = {"title": f"task {number}", "actions": [asked]}
    return Draft(message)
