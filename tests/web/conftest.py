"""What the tests of the HTTP contract share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bus import create_app
from bus.config import Config
from bus.credentials import Credentials
from bus.hub.hub import Hub
from tests.conftest import PASSWORD, USER, Caller, Clock, move, opened
from tests.fleet import SECRET, As, Fleet, a_fleet


def refusal(reply: Any, status: int, code: str) -> dict[str, Any]:
    """The body of an error answer, once its status, code and shape are right."""
    assert (reply.status_code, reply.json and reply.json.get("error")) == (status, code), (
        reply.get_data()[:500]
    )
    assert reply.mimetype == "application/json"
    body: dict[str, Any] = reply.json
    assert body["ok"] is False
    assert body["docs"] == f"/docs#{code}"
    assert body["message"]
    assert body["hint"]
    return body


def last_seq(bus: Caller) -> int:
    """The seq of the last record in the log."""
    return int(bus.hub.log.position().seq)


@pytest.fixture
def nothing_stored(bus: Caller) -> Iterator[None]:
    """The test must leave the log as it is."""
    log = bus.hub.log
    before = log.position()
    yield
    # That somebody was turned away is on record; what they sent is not.
    stored = [record for _, record in log.read(before) if record["kind"] != "refused"]
    assert not stored, "a refused request was stored"


@pytest.fixture
def later(bus: Caller) -> Callable[[float], None]:
    """Moves the hub's clock: `later(60)` is a minute from now."""
    return partial(move, bus.hub)


@pytest.fixture
def reopened(bus: Caller, config: Config) -> Iterator[Caller]:
    """A second hub on the same data folder: what the first one knew only by heart is not there."""
    yield from opened(create_app(config))


def new_hub(folder: Path) -> Iterator[Caller]:
    """A hub that several tests share, where each leaves it as it was."""
    config = Config(data_dir=folder / "data", fsync="never", keepalive_s=0.2)
    Credentials(config.credentials_file).add(USER, PASSWORD)
    yield from opened(create_app(config))


class Members:
    """Callers with credentials of their own, on a hub without a runner."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.hub: Hub = app.extensions["bus"]
        self.admin, self.web1, self.db1 = As(app, "admin"), As(app, "web1"), As(app, "db1")
        self.shared = As(app, USER, PASSWORD)

    def records(self, *kinds: str) -> list[dict[str, Any]]:
        """The records of these kinds in the log."""
        return [record for _, record in self.hub.log.read() if record["kind"] in kinds]

    def later(self, seconds: float) -> None:
        """Move the clock: `later(60)` is a minute from now."""
        move(self.hub, seconds)


def open_members(config: Config) -> Iterator[Members]:
    app = create_app(config, clock=Clock())
    credentials = app.extensions["credentials"]
    if not credentials.users():
        credentials.add(USER, PASSWORD)
        for name, role in (("admin", "admin"), ("web1", "member"), ("db1", "member")):
            credentials.add(name, SECRET, role)
    for _ in opened(app):
        yield Members(app)


@pytest.fixture
def members(config: Config) -> Iterator[Members]:
    """A hub with two machines and an admin."""
    yield from open_members(config)


@pytest.fixture
def restarted(members: Members, config: Config) -> Iterator[Members]:
    """Another worker, or the hub after a restart, on the same data folder."""
    yield from open_members(config)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A hub with machines, and the service that runs their commands."""
    with a_fleet(tmp_path) as made:
        yield made
