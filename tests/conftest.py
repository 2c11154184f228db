"""Fixtures that speak the domain: a hub without processes, and one with real ones."""

from __future__ import annotations

import base64
import io
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import requests

from bus import create_app
from bus.config import Config
from bus.credentials import Credentials
from bus.hub.hub import Hub
from tests import builders

builders.share()
# No test is timed: a machine that is busy is no defect.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")
pytest_plugins = ["tests.shares"]

ROOT = Path(__file__).parents[1]
USER, PASSWORD = "claude", "correct horse"


def basic(user: str, password: str) -> str:
    """The Authorization header of a credential."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


BASIC = basic(USER, PASSWORD)


def wait_until(condition: Callable[[], Any], within_s: float = 20) -> Any:
    """The first true value of a condition; fails the test when there is none in time."""
    deadline = time.monotonic() + within_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {within_s} s: {condition}"
        time.sleep(0.01)


class Clock:
    """What a hub takes for the time: the real one until a test moves it, or `stopped_at`."""

    def __init__(self, stopped_at: float | None = None) -> None:
        self._stopped_at = stopped_at
        self._start = 0.0

    def __call__(self) -> float:
        return time.time() if self._stopped_at is None else self._stopped_at

    def move(self, seconds: float) -> None:
        """Stop, so many seconds after the moment of the first move."""
        self._start = self._start or time.time()
        self._stopped_at = self._start + seconds


def move(hub: Hub, seconds: float) -> None:
    """Move the clock of a hub: see `Clock.move`."""
    assert isinstance(hub.journal.clock, Clock)
    hub.journal.clock.move(seconds)


class Unsent(io.RawIOBase):
    """A body of which only the size is there; whoever reads it gets the error."""

    def __init__(self, size: int, error: BaseException) -> None:
        self._size, self._at, self._error = size, 0, error

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = self._size if whence == 2 else offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        raise self._error


class Caller:
    """The hub through Flask's test client, with the credential on every call."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.client = app.test_client()

    @property
    def hub(self) -> Hub:
        """The hub without HTTP."""
        hub: Hub = self.app.extensions["bus"]
        return hub

    def call(self, method: str, path: str, **kwargs: Any) -> Any:
        headers = {"Authorization": BASIC, **kwargs.pop("headers", {})}
        return self.client.open(path, method=method, headers=headers, **kwargs)

    def get(self, path: str, **kwargs: Any) -> Any:
        return self.call("GET", path, **kwargs)

    def post(self, path: str, **kwargs: Any) -> Any:
        return self.call("POST", path, **kwargs)

    def say(
        self, body: str = "hello", *, sender: str = "alice", to: Any = "bob", **fields: Any
    ) -> dict[str, Any]:
        """Post a message and give it back."""
        reply = self.post("/post", json={"from": sender, "to": to, "body": body, **fields})
        assert reply.status_code == 201, reply.json
        return reply.json  # type: ignore[no-any-return]

    def bodies(self, query: str) -> list[str]:
        """The bodies of the messages that a query finds."""
        reply = self.get(f"/messages?{query}")
        assert reply.status_code == 200, reply.json
        return [message["body"] for message in reply.json["messages"]]

    def ack(self, message: dict[str, Any], reader: str = "bob") -> dict[str, Any]:
        reply = self.post(f"/ack/{message['id']}", json={"reader": reader})
        assert reply.status_code == 200, reply.json
        return reply.json  # type: ignore[no-any-return]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(
        data_dir=tmp_path / "data",
        fsync="never",
        lock_timeout_s=0.3,
        max_waiting=8,
        keepalive_s=0.2,
    )


@pytest.fixture
def bus(config: Config) -> Iterator[Caller]:
    """A hub in this process, on a real log and index."""
    Credentials(config.credentials_file).add(USER, PASSWORD)
    yield from opened(create_app(config, clock=Clock()))


def opened(app: Any) -> Iterator[Caller]:
    """A caller of this app, which is closed afterwards."""
    yield Caller(app)
    hub = app.extensions["bus"]
    hub.waiting.is_closing = lambda: True
    hub.index.close()
    hub.presence.close()
    hub.live.heartbeats.close()
    hub.chores.leave()
    hub.log.close()


def free_port() -> int:
    """Return a port of loopback that nobody listens on, out of those that the system gives no
    client.

    It is taken a moment later: until then no connection of another test may get it.
    """
    while True:
        port = random.SystemRandom().randrange(20_000, 32_768)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class RunningHub:
    """A real hub: gunicorn with its workers on a free port of loopback."""

    def __init__(self, data_dir: Path, **settings: str) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("BUS_")},
            "BUS_DATA_DIR": str(data_dir),
            "BUS_LISTEN": f"127.0.0.1:{self.port}",
            "BUS_USER": USER,
            "BUS_PASS": PASSWORD,
            **settings,
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.output = data_dir.parent / f"{data_dir.name}-hub.log"

    def start(self) -> RunningHub:
        with open(self.output, "ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bus", "serve"],
                cwd=ROOT,
                env=self.environ,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        wait_until(self.answers)
        return self

    def answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"the hub ended:\n{self.output.read_text()}"
        try:
            return self.get("/health").status_code in (200, 503)
        except requests.ConnectionError:
            return False

    def get(self, path: str, **kwargs: Any) -> requests.Response:
        return requests.get(
            self.url + path, auth=(USER, PASSWORD), timeout=kwargs.pop("timeout", 30), **kwargs
        )

    def post(self, path: str, **kwargs: Any) -> requests.Response:
        return requests.post(
            self.url + path, auth=(USER, PASSWORD), timeout=kwargs.pop("timeout", 30), **kwargs
        )

    def say(
        self, body: str = "hello", *, sender: str = "alice", to: Any = "bob", **fields: Any
    ) -> dict[str, Any]:
        reply = self.post("/post", json={"from": sender, "to": to, "body": body, **fields})
        assert reply.status_code == 201, reply.text
        return reply.json()  # type: ignore[no-any-return]

    def workers(self) -> list[int]:
        """The process ids of the workers."""
        assert self.process is not None
        listing = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.process.pid)],
            capture_output=True,
            text=True,
            check=False,
        )
        return [int(pid) for pid in listing.stdout.split()]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """An offline command on this hub's data folder."""
        return subprocess.run(
            [sys.executable, "-m", "bus", *arguments],
            cwd=ROOT,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(40)
        self.process = None

    def kill(self) -> None:
        """End the master and all its workers as a power cut would: at once."""
        if self.process is not None:
            for pid in [self.process.pid, *self.workers()]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait(20)
            self.process = None


@pytest.fixture
def hub_at(tmp_path: Path) -> Iterator[Callable[..., RunningHub]]:
    """Starts real hubs: `hub_at(data_dir, BUS_WORKERS="1")`; ends them afterwards."""
    started: list[RunningHub] = []

    def start(data_dir: Path | None = None, **settings: str) -> RunningHub:
        hub = RunningHub(data_dir or tmp_path / "data", **settings)
        started.append(hub)
        return hub.start()

    yield start
    for hub in started:
        hub.kill()


@pytest.fixture
def hub(hub_at: Callable[..., RunningHub]) -> RunningHub:
    """A real hub with the settings that `scripts/run` starts it with."""
    return hub_at()
