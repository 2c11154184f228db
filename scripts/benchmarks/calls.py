"""What a command in a container costs through the bus, beside plain `lxc exec`, on a private LXD.

`measure()` gives rows of (what, figure, demanded, met); both sides of a figure are measured in
turns, in this run.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import requests

from benchmarks.hubs import ROOT, Server
from bus.credentials import Credentials

Row = tuple[str, float, str, bool]

PAIRS, ROUNDS, PARALLEL, EACH = 40, 5, 8, 3
TARGET, NAME = "bench1", "bencher"


def measure() -> list[Row]:
    """All rows; takes about a minute. Raises RuntimeError where there is no LXD, or no root."""
    if shutil.which("lxd") is None or os.geteuid() != 0:
        raise RuntimeError(
            "a private LXD needs root and the packages lxd, lxd-client and busybox-static"
        )
    with _lxd() as environ, _hub(environ) as (call, command):
        plain = lambda: _plain(environ)  # noqa: E731
        alone, through, commanded = _in_turns(plain, call, command)
        ratios = [_parallel(plain, call) for _ in range(ROUNDS)]
    added, share = through - alone, statistics.median(ratios)
    more = commanded - alone
    return [
        (
            f"exec of `true`: ms more than plain lxc exec ({alone:.0f} ms), medians of {PAIRS}",
            added,
            "<= 30",
            added <= 30,
        ),
        (
            "the same: times as long as plain lxc exec",
            through / alone,
            "<= 1.4",
            through <= 1.4 * alone,
        ),
        (
            f"bus exec, the whole command: ms more than plain lxc exec ({alone:.0f} ms)",
            more,
            "<= 120",
            more <= 120,
        ),
        (
            f"{PARALLEL} at once: part of plain lxc exec, median of {ROUNDS} rounds",
            share,
            ">= 0.7",
            share >= 0.7,
        ),
    ]


def _in_turns(*runs: Callable[[], None]) -> list[float]:
    """Return the median of each in ms; they run one after the other, in turns."""
    taken: list[list[float]] = [[] for _ in runs]
    for number in range(PAIRS + 3):
        for times, run in zip(taken, runs, strict=True):
            started = time.perf_counter()
            run()
            if number >= 3:
                times.append((time.perf_counter() - started) * 1000)
    return [statistics.median(times) for times in taken]


def _parallel(plain: Callable[[], None], call: Callable[[], None]) -> float:
    """How many calls a second go through the bus, as a part of how many plain ones do."""
    seconds = []
    for run in (plain, call):
        with ThreadPoolExecutor(PARALLEL) as pool:
            started = time.perf_counter()
            list(pool.map(lambda _, run=run: run(), range(PARALLEL * EACH)))  # type: ignore[misc]
            seconds.append(time.perf_counter() - started)
    return seconds[0] / seconds[1]


def _plain(environ: dict[str, str]) -> None:
    command = ["lxc", "exec", TARGET, "-T", "--", "bash", "-c", "true"]
    subprocess.run(command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, check=True)


@contextmanager
def _lxd() -> Iterator[dict[str, str]]:
    """An LXD of this run's own, with one container; gives the environment that leads to it."""
    folder = Path("/tmp") / f"lxb{secrets.token_hex(3)}"
    script = str(ROOT / "scripts" / "lxd-for-tests")
    folder.mkdir(mode=0o711)
    try:
        subprocess.run(
            [script, "start", str(folder), TARGET],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        yield {**os.environ, "LXD_DIR": str(folder / "lxd"), "LXD_CONF": str(folder / "client")}
    finally:
        subprocess.run(
            [script, "stop", str(folder)],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )


@contextmanager
def _hub(environ: dict[str, str]) -> Iterator[tuple[Callable[[], None], Callable[[], None]]]:
    """A hub and the service beside it.

    Yields two calls of `true`: by a caller that has a connection, and by the `bus` command.
    """
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        data.mkdir(mode=0o700)
        secret = secrets.token_urlsafe(32)
        credentials = Credentials(data / "credentials")
        credentials.add("admin", secret, "admin")
        credentials.add(NAME, secret, "member")
        lxd = {name: environ[name] for name in ("LXD_DIR", "LXD_CONF")}
        hub = Server([sys.executable, "-m", "bus", "serve"], data, lxd)
        service = Server([sys.executable, "-m", "bus", "exec-service"], data, lxd)
        try:
            admin, caller = requests.Session(), requests.Session()
            admin.auth, caller.auth = ("admin", secret), (NAME, secret)
            caller.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=PARALLEL))
            _until_ready(admin, hub.url)
            grant = {"source": NAME, "target": TARGET, "allow": True}
            admin.post(f"{hub.url}/api/permit", json=grant, timeout=30).raise_for_status()
            body = json.dumps({"target": TARGET, "command": "true"}).encode()

            def call() -> None:
                reply = caller.post(
                    f"{hub.url}/api/exec",
                    data=body,
                    headers={"Content-Type": "application/json"},
                    timeout=60,
                )
                if reply.status_code != 200 or reply.json()["exitCode"] != 0:
                    raise RuntimeError(reply.text)

            client = {"PATH": os.environ["PATH"], "HOME": folder, "PYTHONPATH": str(ROOT)}
            client |= {"BUS_URL": hub.url, "BUS_USER": NAME, "BUS_PASS": secret}
            exec_true = [sys.executable, "-m", "busclient", "exec", TARGET, "--", "true"]

            def command() -> None:
                subprocess.run(
                    exec_true, env=client, stdin=subprocess.DEVNULL, capture_output=True, check=True
                )

            yield call, command
        finally:
            for server in (service, hub):
                server.process.terminate()
                server.process.wait(30)


def _until_ready(admin: requests.Session, url: str) -> None:
    for _ in range(400):
        try:
            if admin.get(f"{url}/api/containers", timeout=5).status_code == 200:
                return
        except requests.ConnectionError:
            pass
        time.sleep(0.05)
    raise TimeoutError("the hub and its service did not start")
