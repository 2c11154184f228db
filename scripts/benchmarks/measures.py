"""What is measured, one function a line of docs/benchmarks.md.

Each gives rows: what, figure, bound, whether it is met.
"""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks import agents as roster
from benchmarks import availability as attacks
from benchmarks import (
    calls,
    claude_code,
    client,
    fairness,
    hubs,
    load,
    logs,
    peers,
    queries,
)
from benchmarks import files as transfers
from benchmarks import metrics as figures
from benchmarks import work as work_costs
from bus.index.building import build
from bus.log.jsonl.engine import JsonlLog

SLICES = 5
UNREAD = "/messages?unread_by={}&limit=50"


class Row(NamedTuple):
    """A line of the table; `met` is None where nothing is demanded."""

    what: str
    figure: str
    bound: str
    met: bool | None


def at_least(what: str, value: float, bound: float, note: str = "") -> Row:
    return Row(what, f"{value:.2f}{note}", f">= {bound:g}", value >= bound)


def at_most(what: str, value: float, bound: float, note: str = "") -> Row:
    return Row(what, f"{value:.2f}{note}", f"<= {bound:g}", value <= bound)


def posts(messages: int) -> list[Row]:
    """Single posts by 16 clients and by one, beside an empty view; in turns, so that noise meets
    all alike.
    """
    many, one, gain, rates = [], [], [], []
    with hubs.scratch() as folder, hubs.hub(folder / "data") as hub, hubs.empty_view() as empty:
        for _ in range(SLICES):
            views = load.run(empty.url, load.post(), 16, 2)
            sixteen = load.run(hub.url, load.post(), 16, 2)
            view = load.run(empty.url, load.post(), 1, 1)
            alone = load.run(hub.url, load.post(), 1, 1)
            many.append(sixteen.rate / views.rate)
            one.append(alone.median / view.median)
            gain.append(sixteen.rate / alone.rate)
            rates.append((sixteen.rate, views.rate, alone.rate, alone.median * 1e3))
    post, view_rate, lone, ms = (statistics.median(column) for column in zip(*rates, strict=True))
    return [
        at_least(
            "1. posts by 16 clients / empty view",
            statistics.median(many),
            0.7,
            f"  ({post:.0f}/s of {view_rate:.0f}/s)",
        ),
        at_most(
            "1. a lone post: empty views", statistics.median(one), 2.4, f"  (median {ms:.2f} ms)"
        ),
        at_least(
            "1. posts by 16 clients / by 1", statistics.median(gain), 2, f"  ({lone:.0f}/s by 1)"
        ),
    ]


def burst(messages: int) -> list[Row]:
    """10,000 messages as NDJSON in blocks of 1,000, beside a plain loop and beside single posts."""
    blocks = [
        [f"{block:03}{number:04}" + "x" * 193 for number in range(1_000)] for block in range(10)
    ]
    requests = [
        load.request(
            "POST",
            "/post",
            "\n".join(
                json.dumps({"from": "a", "to": "b", "body": body}) for body in block
            ).encode(),
            "application/x-ndjson",
        )
        for block in blocks
    ]
    to_plain, to_single, rates = [], [], []
    with hubs.scratch() as folder, hubs.hub(folder / "data") as hub:
        connection = load.Connection(hub.url)
        for turn in range(SLICES):
            began = time.perf_counter()
            for data in requests:
                connection.call(data)
            rates.append(10_000 / (time.perf_counter() - began))
            to_plain.append(rates[-1] / logs.plain_burst(folder / f"plain-{turn}", blocks))
            to_single.append(rates[-1] / load.run(hub.url, load.post(), 16, 1).rate)
    note = f"  ({statistics.median(rates):.0f} messages/s)"
    return [
        at_least("2. NDJSON burst / plain loop", statistics.median(to_plain), 0.25, note),
        at_least("2. NDJSON burst / single posts by 16", statistics.median(to_single), 10),
    ]


def polls(messages: int) -> list[Row]:
    """An unread poll with 20 unread, in a small and in a large log; and for a reader that skipped
    its oldest message.
    """
    with hubs.scratch() as folder:
        logs.fill(folder / "small", 1_000)
        logs.fill(folder / "large", messages)
        with hubs.hub(folder / "small") as small, hubs.hub(folder / "large") as large:
            plain = _paired(small.url, large.url, "reader", 20)
            skipped = _paired(small.url, large.url, "slow", 21)
    return [
        at_most(
            f"3. unread poll, {messages} messages / 1000",
            plain[0],
            1.3,
            f"  ({plain[1] * 1e3:.2f} ms)",
        ),
        at_most(
            "3. the same, oldest never acked, later ones were",
            skipped[0],
            1.3,
            f"  ({skipped[1] * 1e3:.2f} ms)",
        ),
    ]


def waits(messages: int) -> list[Row]:
    """From a post to the answer of a long poll and to a stream's event; and what 200 who
    wait cost.
    """
    rows = []
    with hubs.scratch() as folder, hubs.hub(folder / "data", BUS_MAX_WAITING="210") as hub:
        rows.append(
            at_most("4. post to long-poll answer, p99 ms", _poll_latency(hub.url) * 1e3, 30)
        )
        events = [_stream_latency(hub.url) for _ in range(SLICES)]
        rows.append(
            at_most(
                "4. post to stream event, p99 ms",
                statistics.median(p99 for _, p99 in events) * 1e3,
                30,
            )
        )
        worst = max(p99 / median for median, p99 in events)
        rows.append(at_most(f"4. post to stream event, p99 / median, worst of {SLICES}", worst, 6))
        alone, crowded = [], []
        for _ in range(3):
            alone.append(load.run(hub.url, load.post(), 4, 2).quantile(0.99))
            held = _hold(hub.url, 200)
            crowded.append(load.run(hub.url, load.post(), 4, 2).quantile(0.99))
            for connection in held:
                connection.close()
            _wait_for_room(hub.url)
        rows.append(
            at_most(
                "4. post p99 with 200 waiting / with none",
                statistics.median(crowded) / statistics.median(alone),
                2,
            )
        )
        held = _hold(hub.url, 200)
        before = hub.cpu_s()
        time.sleep(5)
        rows.append(
            at_most(
                "4. processor of an idle hub with 200 waiting, % of a core",
                (hub.cpu_s() - before) / 5 * 100,
                3,
            )
        )
        held += _hold(hub.url, 10, besides=200)
        began = time.perf_counter()
        extra = load.Connection(hub.url)
        extra.call(load.request("GET", "/messages?unread_by=nobody&wait=50"))
        rows.append(
            Row(
                "4. one more than the cap",
                f"{extra.status} in {(time.perf_counter() - began) * 1e3:.1f} ms",
                "503",
                extra.status == 503,
            )
        )
        for connection in held:
            connection.close()
    return rows


def starts(messages: int) -> list[Row]:
    """The start with a large log and a good index, the rebuild of the index, and what a worker then
    holds.
    """
    with hubs.scratch() as folder:
        data = folder / "data"
        logs.fill(data, messages)
        with hubs.hub(data):
            pass  # credentials and presence are made, as on any start but the first
        server = hubs.Server([hubs.sys.executable, "-m", "bus", "serve"], data, {})
        first = server.wait(load.request("GET", UNREAD.format("reader")))
        for _ in range(50):
            load.run(server.url, load.request("GET", UNREAD.format("reader")), 4, 0.05)
        memory = server.resident_mb()
        server.stop()
        rebuilt, plain = [], []
        for turn in range(3):
            rebuilt.append(_rebuild(data, folder / f"rebuilt-{turn}.db"))
            plain.append(logs.plain_rebuild(data, folder / f"plain-{turn}.db"))
    ratio = statistics.median(ours / theirs for ours, theirs in zip(rebuilt, plain, strict=True))
    return [
        at_most(f"5. first answer with {messages} messages, s", first, 1),
        at_least(
            "5. index rebuild / plain loop",
            ratio,
            0.25,
            f"  ({statistics.median(rebuilt):.0f} records/s)",
        ),
        at_most("5. resident memory of a worker, MB", memory, 120),
    ]


def _paired(small: str, large: str, reader: str, unread: int) -> tuple[float, float]:
    """The ratio of the medians of a poll at two hubs, asked in turns; and the second in seconds."""
    times: dict[str, list[float]] = {small: [], large: []}
    connections = {url: load.Connection(url) for url in times}
    for turn in range(600):
        for url, connection in connections.items():
            began = time.perf_counter()
            answer = connection.call(load.request("GET", UNREAD.format(reader)))
            if turn >= 50:
                times[url].append(time.perf_counter() - began)
            elif json.loads(answer)["count"] != unread:
                raise AssertionError(
                    f"{reader} has {json.loads(answer)['count']} unread, not {unread}"
                )
    return statistics.median(times[large]) / statistics.median(times[small]), statistics.median(
        times[large]
    )


def _poll_latency(url: str, times: int = 300) -> float:
    found = []
    poster, poller = load.Connection(url), load.Connection(url)
    poster.call(load.request("GET", "/health"))
    since = 0
    for turn in range(times):
        if turn % 10 == 0:  # another connection lands at another worker by and by
            poller.close()
            poller = load.Connection(url)
            since = json.loads(poller.call(load.request("GET", "/messages?limit=1")))["next"]
        poller.send(load.request("GET", f"/messages?to=bench-b&since={since}&wait=20"))
        time.sleep(0.01)
        began = time.perf_counter()
        poster.send(load.post())
        while not poller.receive():
            pass
        found.append(time.perf_counter() - began)
        while not poster.receive():
            pass
        since = json.loads(poller.body)["next"]
    found.sort()
    return found[int(0.99 * len(found))]


def _stream_latency(url: str, times: int = 300) -> tuple[float, float]:
    """The median and the p99 in seconds."""
    found: list[float] = []
    poster = load.Connection(url)
    for _ in range(6):
        stream = load.Connection(url)
        stream.sock.sendall(load.request("GET", "/stream?to=bench-b&format=ndjson"))
        _read_until(stream, b"\r\n\r\n")
        for _ in range(times // 6):
            time.sleep(0.01)
            began = time.perf_counter()
            poster.send(load.post())
            _read_until(stream, b'"priority"')
            found.append(time.perf_counter() - began)
            while not poster.receive():
                pass
        stream.close()
    found.sort()
    return statistics.median(found), found[int(0.99 * len(found))]


def _read_until(connection: load.Connection, mark: bytes) -> None:
    got = b""
    while mark not in got:
        chunk = connection.sock.recv(65536)
        if not chunk:
            raise ConnectionError("the stream ended")
        got += chunk


def _hold(url: str, count: int, besides: int = 0) -> list[load.Connection]:
    """So many clients that wait for messages which never come, besides those that wait already."""
    held = []
    for number in range(count):
        connection = load.Connection(url)
        connection.send(load.request("GET", f"/messages?unread_by=waiter-{number}&wait=60"))
        held.append(connection)
    _wait_for(url, lambda waiting: waiting >= besides + count)
    return held


def _wait_for_room(url: str) -> None:
    _wait_for(url, lambda waiting: waiting == 0)


def _wait_for(url: str, enough: object) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        connection = load.Connection(url)
        waiting = json.loads(connection.call(load.request("GET", "/health")))["waiting"]
        connection.close()
        if enough(waiting):  # type: ignore[operator]
            return
        time.sleep(0.05)
    raise TimeoutError("the number of those who wait did not come about")


def _rebuild(data: Path, target: Path) -> float:
    log = JsonlLog(data, fsync=False)
    began = time.perf_counter()
    count = build(target, log, lambda done, total: None).seq
    rate = count / (time.perf_counter() - began)
    log.close()
    return rate


def fair(messages: int) -> list[Row]:
    """Whether clients that ask at the same time are served alike, and what `/health` costs."""
    return [
        Row(f"6. {what}", figure, bound, met) for what, figure, bound, met in fairness.measure()
    ]


def machines(messages: int) -> list[Row]:
    """What a machine pays for reading its mail: the poll at session start, `bus inbox`, `bus
    drain`.
    """
    return [Row(what, f"{figure:.2f}", bound, met) for what, figure, bound, met in client.measure()]


def commands(messages: int) -> list[Row]:
    """What a command in a container costs beside plain `lxc exec`; needs LXD and root."""
    try:
        return [
            Row(what, f"{figure:.2f}", bound, met) for what, figure, bound, met in calls.measure()
        ]
    except RuntimeError as error:
        return [Row("commands in a container", f"not measured: {error}", "", None)]


def availability(messages: int) -> list[Row]:
    """What a hostile member costs another one: the victim's median and p99 under each attack, in
    calm ones.
    """
    return [Row(what, figure, bound, met) for what, figure, bound, met in attacks.measure()]


def questions(messages: int) -> list[Row]:
    """What polls, searches and broadcasts cost beside what a hostile member has left there."""
    return [Row(what, figure, bound, met) for what, figure, bound, met in queries.measure(messages)]


def agents(messages: int) -> list[Row]:
    """What heartbeats, the report of recipients and topics cost."""
    return [Row(what, figure, bound, met) for what, figure, bound, met in roster.measure(messages)]


def others(messages: int) -> list[Row]:
    """What clients of claude-peers cost."""
    return [Row(what, f"{figure:.2f}", bound, met) for what, figure, bound, met in peers.measure()]


def sessions(messages: int) -> list[Row]:
    """What a session of Claude Code pays for the bus."""
    return [Row(what, figure, bound, met) for what, figure, bound, met in claude_code.measure()]


def files(messages: int) -> list[Row]:
    """Large files up and down, beside a plain nginx."""
    return [Row(what, figure, bound, met) for what, figure, bound, met in transfers.measure()]


def work(messages: int) -> list[Row]:
    """What briefs, actions, asks and leases cost."""
    return [Row(what, figure, bound, met) for what, figure, bound, met in work_costs.measure()]


def metrics(messages: int) -> list[Row]:
    """What Prometheus costs each time that it asks."""
    return [Row(what, figure, bound, met) for what, figure, bound, met in figures.measure()]


MEASURES = {
    "posts": posts,
    "burst": burst,
    "polls": polls,
    "waits": waits,
    "fairness": fair,
    "starts": starts,
    "machines": machines,
    "commands": commands,
    "availability": availability,
    "questions": questions,
    "agents": agents,
    "peers": others,
    "work": work,
    "files": files,
    "metrics": metrics,
    "claude-code": sessions,
}
