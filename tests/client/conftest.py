"""What the client's tests share: a client over WSGI with troubles on order, the command, and hubs
behind real sockets.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from werkzeug.serving import WSGIRequestHandler, make_server

import busclient._cli
import busclient._http.calls
from busclient import Bus, Outbox, Patience, Settings
from busclient._places import Places
from tests.client.doors import URL, Door, LightDoor, transport_by
from tests.conftest import PASSWORD, ROOT, USER, Caller, RunningHub


@pytest.fixture(params=["requests", "light"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which transport every Bus of a test has: the test runs over each."""
    defaults = {**(Bus.__init__.__kwdefaults__ or {}), "light": request.param == "light"}
    monkeypatch.setattr(Bus.__init__, "__kwdefaults__", defaults)
    return str(request.param)


@pytest.fixture
def door_to(way: str) -> Callable[[Any], Door | LightDoor]:
    """Makes ways to an application on which trouble can be ordered."""
    return LightDoor if way == "light" else Door


@pytest.fixture
def door(bus: Caller, door_to: Callable[[Any], Door | LightDoor]) -> Door | LightDoor:
    return door_to(bus.app)


@pytest.fixture
def pauses() -> list[float]:
    """The pauses that clients made instead of sleeping, in seconds."""
    return []


@pytest.fixture
def client(door: Door | LightDoor, pauses: list[float]) -> Callable[..., Bus]:
    """Clients of one hub: `client("bob")`; with `outbox=…` one that can wait for the hub."""

    def make(name: str = "alice", user: str = USER, password: str = PASSWORD, **kwargs: Any) -> Bus:
        settings = Settings(url=URL, user=user, password=password, name=name)
        return Bus(settings, transport=door, sleep=pauses.append, **kwargs)

    return make


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "state")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of nobody, and an environment without the settings of whoever runs the tests."""
    folder = tmp_path / "home"
    folder.mkdir()
    for name in list(os.environ):
        if name.startswith(("BUS_", "XDG_", "GIT_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.fixture
def places(home: Path) -> Places:
    return Places.of_user()


@dataclass
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(
    home: Path,
    door: Door | LightDoor,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    pauses: list[float],
) -> Callable[..., Ran]:
    """The `bus` command in this process, as bob, with the hub behind `door`: `cli("post", "alice",
    stdin="hi")`.
    """
    for name, value in {
        "BUS_URL": URL,
        "BUS_USER": USER,
        "BUS_PASS": PASSWORD,
        "BUS_NAME": "bob",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(
        busclient._http.calls,
        "transport_for",
        lambda settings, *, light: transport_by(door, settings),
    )
    monkeypatch.setattr(
        Bus.__init__,
        "__kwdefaults__",
        {**(Bus.__init__.__kwdefaults__ or {}), "sleep": pauses.append},
    )

    def run(*arguments: str, stdin: str | bytes = b"") -> Ran:
        data = stdin if isinstance(stdin, bytes) else stdin.encode()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        code = busclient._cli.run(list(arguments))
        said = capsys.readouterr()
        return Ran(code, said.out, said.err)

    return run


@dataclass
class Served:
    """A hub behind a real socket in this process."""

    url: str
    caller: Caller
    settings: Settings = field(init=False)

    def __post_init__(self) -> None:
        self.settings = Settings(url=self.url, user=USER, password=PASSWORD, name="bob")

    def environ(self, home: Path, **more: str) -> dict[str, str]:
        """The environment of a process that uses this hub."""
        return environ_for(self.url, home, **more)


class _Handler(WSGIRequestHandler):
    # For chunked answers; it closes the connection after each all the same
    protocol_version = "HTTP/1.1"

    def log(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def served(bus: Caller, home: Path) -> Iterator[Served]:
    server = make_server("127.0.0.1", 0, bus.app, threaded=True, request_handler=_Handler)
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
    )
    thread.start()
    yield Served(f"http://127.0.0.1:{server.server_port}", bus)
    server.shutdown()
    thread.join()
    server.server_close()


def environ_for(url: str, home: Path, **more: str) -> dict[str, str]:
    """The environment of a process of bob's that uses the hub at `url`."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHONPATH": str(ROOT),
        "BUS_URL": url,
        "BUS_USER": USER,
        "BUS_PASS": PASSWORD,
        "BUS_NAME": "bob",
        **more,
    }


def command(
    environ: dict[str, str], *arguments: str, **kwargs: Any
) -> subprocess.CompletedProcess[str]:
    """Run `bus` as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "busclient", *arguments], env=environ, capture_output=True,
        check=False, text=True, timeout=60,
        cwd="/", stdin=kwargs.pop("stdin", subprocess.DEVNULL) if "input" not in kwargs else None,
        **kwargs,
    )  # fmt: skip


def client_of(hub: RunningHub, name: str = "bob", **kwargs: Any) -> Bus:
    """A client of a real hub."""
    return Bus(Settings(url=hub.url, user=USER, password=PASSWORD, name=name), **kwargs)


QUICK = Patience(connect_s=1, read_s=1, total_s=2, attempts=1)
