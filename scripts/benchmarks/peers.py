"""What a hundred clients of claude-peers cost, each of which polls every second."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from benchmarks import hubs, load

CLIENTS, SECONDS = 100, 8
Measured = tuple[str, float, str, bool | None]


def measure() -> list[Measured]:
    """Processor of the listener in % of a core: on a quiet hub, and while ten messages a second go
    to them.
    """
    port = hubs.free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {"BUS_PEERS_COMPAT": "1", "BUS_PEERS_LISTEN": f"127.0.0.1:{port}"}
    with hubs.scratch() as folder, hubs.hub(folder / "data", **settings) as hub:
        ids = _registered(url)
        connections = [load.Connection(url) for _ in ids]
        quiet = _load(hub, connections, ids, messages=0)
        busy = _load(hub, connections, ids, messages=10)
        for connection in connections:
            connection.close()
    what = f"{CLIENTS} peers that poll every second, % of a core"
    return [
        (f"10. {what}", quiet, "<= 10", quiet <= 10),
        ("10. the same, while 10 messages a second go to them", busy, "<= 10", busy <= 10),
    ]


def _registered(url: str) -> list[str]:
    ids = []
    deadline = time.monotonic() + 30
    while len(ids) < CLIENTS:
        said = {"pid": 1 + len(ids), "cwd": f"/srv/{len(ids)}", "git_root": None, "tty": None}
        try:
            connection = load.Connection(url)
            ids.append(json.loads(connection.call(_call("/register", said)))["id"])
            connection.close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
    return ids


def _load(
    hub: hubs.Server, connections: list[load.Connection], ids: list[str], messages: int
) -> float:
    """Let each peer poll every second, spread over the second; so many of them get a message in
    it.
    """
    polls = [_call("/poll-messages", {"id": id}) for id in ids]
    sends = [_call("/send-message", {"from_id": id, "to_id": id2, "text": "x" * 200})
             for id, id2 in zip(ids, ids[1:] + ids[:1], strict=True)]  # fmt: skip
    for connection, poll in zip(connections, polls, strict=True):
        _good(connection, poll)
    before, began = _cpu_s(hub), time.perf_counter()
    for turn in range(SECONDS * CLIENTS):
        due = began + turn / CLIENTS
        time.sleep(max(0.0, due - time.perf_counter()))
        who = turn % CLIENTS
        if messages and who % (CLIENTS // messages) == 0:
            _good(connections[who], sends[who])
        _good(connections[who], polls[who])
    return (_cpu_s(hub) - before) / (time.perf_counter() - began) * 100


def _good(connection: load.Connection, call: bytes) -> None:
    answer = json.loads(connection.call(call))
    if connection.status != 200 or answer.get("ok") is False:
        raise AssertionError(f"{connection.status}: {answer}")


def _call(path: str, fields: dict[str, object]) -> bytes:
    """The bytes of a request as their clients send it: without a credential."""
    body = json.dumps(fields).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _cpu_s(hub: hubs.Server) -> float:
    """Processor seconds that the listener has used, with what starts it again (Linux)."""
    wanted = f"--beside\0{hub.process.pid}\0"
    ticks = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (folder / "cmdline").read_text():
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                ticks += int(fields[11]) + int(fields[12])
        except OSError:
            continue
    return ticks / os.sysconf("SC_CLK_TCK")
