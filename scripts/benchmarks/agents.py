"""What agents cost: heartbeats, the report of recipients in the answer to a post, and topics.

`measure(messages)` gives rows of (what, figure, demanded, met).
"""

from __future__ import annotations

import json
import statistics
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks import hubs, load
from benchmarks.queries import medians
from bus import create_hub
from bus.config import Config
from bus.index.building import build
from bus.log.base import Draft
from bus.log.jsonl.engine import JsonlLog
from bus.model.caller import MEMBER, Caller
from bus.model.messages import Draft as Post

Row = tuple[str, str, str, bool]

AGENTS, EVERY_S, BEATS_S = 1_000, 15, 8.0
SUBSCRIBERS, POSTS, UNREAD, FEW = 500, 400, 20, 1_000
_BLOCK = 5_000


def measure(messages: int) -> list[Row]:
    """All rows; takes about a minute, besides filling the log."""
    return [_heartbeats(), _recipients(), *_fan_out(), _unread_of_topic(messages)]


def _heartbeats() -> Row:
    """The share of a core that so many agents take, each with a connection for each heartbeat; and
    what as many requests to an empty view take.
    """
    with hubs.scratch() as folder, hubs.hub(folder / "data") as hub, hubs.empty_view() as empty:
        names = [f"box{number}/alpha" for number in range(AGENTS)]
        for name in names:
            _ask(hub.url, "POST", "/agents", {"name": name, "pid": 1, "host": name})
        beats = [load.request("POST", f"/agents/{name}/heartbeat", b"{}") for name in names]
        share, empty_share = _share(hub, beats), _share(empty, [load.post()])
    what = f"11. {AGENTS} agents, a heartbeat every {EVERY_S} s: % of a core"
    return what, f"{share:.1f}  (an empty view {empty_share:.1f})", "<= 5", share <= 5


def _share(server: hubs.Server, requests: list[bytes]) -> float:
    """The percent of a core that requests take at the rate of the agents, besides doing nothing."""
    before, began = server.cpu_s(), time.perf_counter()
    time.sleep(2)
    idle = (server.cpu_s() - before) / (time.perf_counter() - began)
    before, began, sent = server.cpu_s(), time.perf_counter(), 0
    while (now := time.perf_counter() - began) < BEATS_S:
        if sent < now * AGENTS / EVERY_S:
            connection = load.Connection(server.url)
            connection.call(requests[sent % len(requests)])
            connection.close()
            sent += 1
        else:
            time.sleep(0.001)
    return 100 * ((server.cpu_s() - before) / (time.perf_counter() - began) - idle)


def _recipients() -> Row:
    """What the whole report about recipients takes, beside a post over HTTP."""
    with hubs.scratch() as folder:
        with hubs.hub(folder / "data") as served:
            load.run(served.url, load.post(), 1, 0.5)
            post_s = load.run(served.url, load.post(), 1, 3).median
        hub = create_hub(Config(data_dir=folder / "data"))
        caller, times = Caller("claude", MEMBER), []
        for _ in range(POSTS):
            posted = hub.messages.post(
                caller, Post.read({"from": "claude", "to": "bench-b", "body": "x"})
            )
            began = time.perf_counter()
            hub.messages.delivery(posted.message)
            times.append(time.perf_counter() - began)
        hub.log.close()
    share = 100 * statistics.median(times) / post_s
    figure = f"{share:.1f}  ({statistics.median(times) * 1e6:.0f} us of {post_s * 1e6:.0f} us)"
    return "11. recipients in the answer: % of the median post", figure, "<= 10", share <= 10


def _fan_out() -> list[Row]:
    """A post to a topic, and the read of one subscriber behind it: many subscribers beside one."""
    with ExitStack() as stack:
        folder = stack.enter_context(hubs.scratch())
        one, many = (stack.enter_context(hubs.hub(folder / name)).url for name in ("one", "many"))
        for url, count in ((one, 1), (many, SUBSCRIBERS)):
            for number in range(count):
                _ask(url, "POST", "/topics/bench/subscribe", {"name": f"reader{number}"})
        post = load.post(to="topic:bench")
        first, second = medians(one, many, post)
        read = {}
        for url in (one, many):
            connection, times = load.Connection(url), []
            for _ in range(60):
                connection.call(post)
                began = time.perf_counter()
                connection.call(load.request("GET", "/messages?unread_by=reader0&limit=1"))
                times.append(time.perf_counter() - began)
            read[url] = statistics.median(times)
            connection.close()
    return [
        (
            f"11. post to a topic with {SUBSCRIBERS} subscribers: times that with 1",
            f"{second / first:.2f}  ({second * 1e3:.2f} ms)",
            "<= 1.5",
            second / first <= 1.5,
        ),
        (
            f"11. the read that puts it into {SUBSCRIBERS} mailboxes: ms",
            f"{read[many] * 1e3:.1f}  ({read[one] * 1e3:.1f} with 1 subscriber)",
            "<= 20",
            read[many] <= 0.02,
        ),
    ]


def _unread_of_topic(messages: int) -> Row:
    """Unread mail of a topic where a thousand messages were posted to it, and where many were."""
    with ExitStack() as stack:
        folder = stack.enter_context(hubs.scratch())
        _fill(folder / "few", FEW)
        _fill(folder / "many", messages)
        few, many = (stack.enter_context(hubs.hub(folder / name)).url for name in ("few", "many"))
        data = load.request("GET", "/messages?unread_by=reader&limit=50")
        first, second = medians(few, many, data)
    what = f"11. unread of a topic with {messages} messages: times that with {FEW}"
    figure = f"{second / first:.2f}  ({second * 1e3:.2f} ms)"
    return what, figure, "<= 1.5", second / first <= 1.5


def _fill(folder: Path, messages: int) -> None:
    """A log with so many messages to a topic, of which the subscriber has read all but a few."""
    log = JsonlLog(folder, fsync=False)
    log.append(
        [Draft({"kind": "topic_subscribed", "auth": "claude", "name": "reader", "topic": "bench"})]
    )
    for start in range(0, messages - UNREAD, _BLOCK):
        log.append([_message()] * min(_BLOCK, messages - UNREAD - start))
    log.append([Draft({"kind": "ack", "reader": "reader", "through": log.position().seq})])
    log.append([_message()] * UNREAD)
    build(folder / "index.db", log, lambda done, total: None)
    log.close()


def _message() -> Draft:
    about = {"auth": "claude", "from": "bench", "to": "topic:bench", "body": "x" * 200}
    return Draft({"kind": "message", **about, "tags": [], "priority": "normal"})


def _ask(url: str, method: str, path: str, fields: dict[str, object]) -> None:
    connection = load.Connection(url)
    connection.call(load.request(method, path, json.dumps(fields).encode()))
    if connection.status != 200:
        raise AssertionError(f"{path}: {connection.status} {connection.body!r}")
    connection.close()
