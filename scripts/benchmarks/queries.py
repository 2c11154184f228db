"""What questions cost that a hostile member can make dear: polls beside expiring broadcasts,
searches, broadcasts to many names.

`measure(messages)` gives rows of (what, figure, demanded, met); both sides of a ratio are asked in
turns, in this run.
"""

from __future__ import annotations

import statistics
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks import hubs, load
from bus.index.building import build
from bus.live.presence import Presence
from bus.log.base import Draft
from bus.log.jsonl.engine import JsonlLog
from bus.model import records

Row = tuple[str, str, str, bool]

NAMES, UNREAD, TURNS, WARM = 20_000, 20, 300, 50
_BLOCK = 5_000
_COMMON = [
    f"{first}{second}{third}" for first in "bdfg" for second in "aeio" for third in ("n", "m")
]


def measure(messages: int) -> list[Row]:
    """All rows."""
    return [*_expiring(messages), _search(messages), _broadcast()]


def _expiring(messages: int) -> list[Row]:
    """Polls and posts at a hub with so many live expiring broadcasts, and at one with none."""
    with ExitStack() as stack:
        folder = stack.enter_context(hubs.scratch())
        _fill(folder / "none", 0)
        _fill(folder / "many", messages)
        none, many = (stack.enter_context(hubs.hub(folder / name)).url for name in ("none", "many"))
        questions = {
            "poll, which has acknowledged them": "/messages?unread_by=done&limit=20",
            "poll, which has not": "/messages?unread_by=new&limit=20",
            "inbox, which has not": "/inbox?reader=new&budget=2000",
        }
        # An inbox of more than fits is looked through for other senders.
        bounds = (1.5, 1.5, 5)
        rows = [
            _row(what, none, many, load.request("GET", path), messages, bound)
            for (what, path), bound in zip(questions.items(), bounds, strict=True)
        ]
        return [
            *rows,
            _row("post to a name that has not", none, many, load.post(to="new"), messages, 1.5),
        ]


def _row(what: str, calm: str, crowded: str, data: bytes, messages: int, bound: float) -> Row:
    first, second = medians(calm, crowded, data)
    figure = f"{second / first:.2f}  ({second * 1e3:.2f} ms)"
    return (
        f"10. {what}: times that without {messages} live expiring",
        figure,
        f"<= {bound:g}",
        second / first <= bound,
    )


def _search(messages: int) -> Row:
    """How long a search goes on that walks over everything and finds nothing."""
    with hubs.scratch() as folder:
        _fill(folder / "data", messages)
        with hubs.hub(folder / "data") as hub:
            connection = load.Connection(hub.url)
            words = "%20".join(_COMMON)
            times = []
            for _ in range(5):
                began = time.perf_counter()
                connection.call(load.request("GET", f"/search?q={words}"))
                times.append(time.perf_counter() - began)
            status = connection.status
    seconds = statistics.median(times)
    return (
        f"10. hostile search of {messages} messages until its answer ({status}), s",
        f"{seconds:.2f}",
        "<= 1.5",
        seconds <= 1.5,
    )


def _broadcast() -> Row:
    """The answer to a broadcast where many names have polled, and where none has."""
    with ExitStack() as stack:
        folder = stack.enter_context(hubs.scratch())
        for name, count in (("none", 0), ("many", NAMES)):
            _fill(folder / name, 0)
            presence = Presence(folder / name / "presence.db")
            for number in range(count):
                presence.note_poll(f"eve/s{number}", (), int(time.time() * 1000))
            presence.close()
        none, many = (stack.enter_context(hubs.hub(folder / name)).url for name in ("none", "many"))
        first, second = medians(none, many, load.post(to="any"))
    return (
        f"10. broadcast: times that without {NAMES} polled names",
        f"{second / first:.2f}",
        "<= 1.5",
        second / first <= 1.5,
    )


def medians(one: str, other: str, data: bytes) -> tuple[float, float]:
    """The medians in seconds of one request at two hubs, asked in turns."""
    times: dict[str, list[float]] = {one: [], other: []}
    connections = {url: load.Connection(url) for url in times}
    for turn in range(WARM + TURNS):
        for url, connection in connections.items():
            began = time.perf_counter()
            connection.call(data)
            if turn >= WARM:
                times[url].append(time.perf_counter() - began)
            if connection.status not in (200, 201):
                raise AssertionError(f"the hub answered {connection.status}")
    return statistics.median(times[one]), statistics.median(times[other])


def _fill(folder: Path, expiring: int) -> None:
    """A log of so many broadcasts that live for a day, which `done` has acknowledged, and a few for
    each reader.
    """
    log = JsonlLog(folder, fsync=False)
    expires = records.utc(time.time() + 86_400)
    for start in range(0, expiring, _BLOCK):
        log.append(
            [
                _message("any", number, expires=expires)
                for number in range(start, min(start + _BLOCK, expiring))
            ]
        )
    if expiring:
        log.append([Draft({"kind": "ack", "reader": "done", "through": log.position().seq})])
    log.append([_message(to, number) for to in ("done", "new") for number in range(UNREAD)])
    build(folder / "index.db", log, lambda done, total: None)
    log.close()


def _message(to: str, number: int, **fields: str) -> Draft:
    words = " ".join(_COMMON[(number + step) % len(_COMMON)] for step in range(0, 30))
    message = {
        "kind": "message",
        "auth": "claude",
        "from": "bench",
        "to": to,
        "body": words,
        "tags": [],
        "priority": "normal",
    }
    return Draft({**message, **fields})
