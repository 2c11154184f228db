"""What a machine pays for reading its mail: the poll at session start, `bus inbox`, `bus drain`;
and for `bus --version`.

`measure()` gives rows of (what, figure, demanded, met); ratios are within this run, on this
machine.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
USER, PASSWORD = "claude", "measured"
BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
UNREAD, PAIRS, DRAINED = 20, 20, 1_000

Row = tuple[str, float, str, bool]


def measure() -> list[Row]:
    """All rows; takes about 15 s."""
    with tempfile.TemporaryDirectory() as folder, _hub(Path(folder)) as port:
        _post(port, "poller", UNREAD)
        curl, poll, inbox = _start_times(port, Path(folder))
        python, version = _version_times()
        raw = statistics.median(_rate(port, "raw", _raw_poll_and_ack) for _ in range(3))
        drained = statistics.median(_rate(port, "drained", _drain) for _ in range(3))
    return [
        (
            f"session-start poll, {UNREAD} unread: times a bare curl ({curl:.1f} ms)",
            poll / curl,
            "<= 1.5",
            poll / curl <= 1.5,
        ),
        (
            f"bus inbox, {UNREAD} unread: ms more than that poll ({poll:.1f} ms)",
            inbox - poll,
            "<= 100",
            inbox - poll <= 100,
        ),
        (
            f"bus --version: times `python3 -c pass` ({python:.1f} ms)",
            version / python,
            "<= 2",
            version / python <= 2,
        ),
        (
            f"drain of {DRAINED}: part of the hub's poll + ack ({raw:.0f}/s)",
            drained / raw,
            ">= 0.5",
            drained / raw >= 0.5,
        ),
    ]


def _start_times(port: int, home: Path) -> tuple[float, float, float]:
    """Medians in ms of a bare curl, the script and `bus inbox`, taken in turns."""
    url = f"http://127.0.0.1:{port}"
    environ = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(ROOT)}
    environ |= {"BUS_URL": url, "BUS_USER": USER, "BUS_PASS": PASSWORD, "BUS_NAME": "poller"}
    commands = (
        [
            "curl",
            "-s",
            "-u",
            f"{USER}:{PASSWORD}",
            f"{url}/inbox?reader=poller&budget=6000&format=text",
        ],
        [str(ROOT / "scripts" / "session-start-poll")],
        [sys.executable, "-m", "busclient", "inbox"],
    )
    times: tuple[list[float], ...] = ([], [], [])
    for number in range(PAIRS + 2):
        for command, taken in zip(commands, times, strict=True):
            started = time.perf_counter()
            done = subprocess.run(
                command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, check=True
            )
            if number >= 2:  # the first two warm the disk cache
                taken.append((time.perf_counter() - started) * 1000)
            assert b"message 0" in done.stdout, done
    curl, poll, inbox = map(statistics.median, times)
    return curl, poll, inbox


def _version_times() -> tuple[float, float]:
    """Medians in ms of a Python that does nothing and of `bus --version`, taken in turns."""
    environ = {"PATH": os.environ["PATH"], "HOME": "/", "PYTHONPATH": str(ROOT)}
    commands = ([sys.executable, "-c", "pass"], [sys.executable, "-m", "busclient", "--version"])
    times: tuple[list[float], ...] = ([], [])
    for number in range(PAIRS + 2):
        for command, taken in zip(commands, times, strict=True):
            started = time.perf_counter()
            subprocess.run(
                command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, check=True
            )
            if number >= 2:
                taken.append((time.perf_counter() - started) * 1000)
    python, version = map(statistics.median, times)
    return python, version


def _rate(port: int, reader: str, work: Callable[[int, str], int]) -> float:
    """Messages a second that a reader gets through, of a new backlog."""
    _post(port, reader, DRAINED)
    started = time.perf_counter()
    assert work(port, reader) == DRAINED
    return DRAINED / (time.perf_counter() - started)


def _raw_poll_and_ack(port: int, reader: str) -> int:
    """The hub's own rate: one kept connection, and nothing between."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    count = 0
    while messages := _call(connection, "GET", f"/messages?unread_by={reader}&limit=200")[
        "messages"
    ]:
        for message in messages:
            _call(
                connection, "POST", f"/ack/{message['id']}", json.dumps({"reader": reader}).encode()
            )
            count += 1
    connection.close()
    return count


def _drain(port: int, reader: str) -> int:
    sys.path.insert(0, str(ROOT))
    from busclient import Bus, Settings  # noqa: PLC0415  the checkout's, whatever is installed

    with Bus(
        Settings(url=f"http://127.0.0.1:{port}", user=USER, password=PASSWORD, name=reader)
    ) as bus:
        return bus.drain(lambda message: message.body).done


def _post(port: int, to: str, count: int) -> None:
    lines = [
        json.dumps({"from": "bench", "to": to, "body": f"message {number} " + "x" * 180})
        for number in range(count)
    ]
    connection = http.client.HTTPConnection("127.0.0.1", port)
    _call(connection, "POST", "/post", "\n".join(lines).encode(), "application/x-ndjson")
    connection.close()


def _call(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes = b"",
    kind: str = "application/json",
) -> dict:
    connection.request(method, path, body, {"Authorization": BASIC, "Content-Type": kind})
    reply = connection.getresponse()
    data = reply.read()
    assert reply.status in (200, 201), data
    return {} if "ndjson" in kind else json.loads(data)


@contextmanager
def _hub(folder: Path) -> Iterator[int]:
    """A hub as `scripts/run` starts it; gives its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("BUS_")}
    environ |= {
        "BUS_DATA_DIR": str(folder / "data"),
        "BUS_LISTEN": f"127.0.0.1:{port}",
        "BUS_USER": USER,
        "BUS_PASS": PASSWORD,
    }
    with open(folder / "hub.log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "bus", "serve"], cwd=ROOT, env=environ, stdout=log, stderr=log
        )
    try:
        while True:
            assert process.poll() is None, (folder / "hub.log").read_text()
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait(60)


if __name__ == "__main__":
    for what, figure, bound, met in measure():
        print(f"{what:70} {figure:8.2f}  {bound:8} {'yes' if met else 'NO'}")
