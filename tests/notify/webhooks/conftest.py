"""What the tests of webhooks share: a hub that may send to loopback, and a receiver."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import pytest

from bus.config import Config
from bus.notify.webhooks.sender import WebhookSender
from tests.conftest import wait_until
from tests.web.conftest import Members, open_members

Say = Callable[[Any], None]


class Got(NamedTuple):
    """A request that a receiver got."""

    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """An HTTP server of a test; `answer` says what becomes of each request (200, unless set)."""

    def __init__(self) -> None:
        self.got: list[Got] = []
        self.answer: Callable[[Any], None] = say(200)
        self.let_go = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append(Got(self.path, dict(self.headers), body))
                receiver.answer(self)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}/hook"

    def hang(self, request: Any) -> None:
        """Say nothing until the test is over."""
        self.let_go.wait()

    def close(self) -> None:
        self.let_go.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def say(status: int, **headers: str) -> Say:
    """An answer with this status."""

    def answer(request: Any) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


def bodies(receiver: Receiver) -> list[str]:
    """The bodies of the messages that a receiver got."""
    return [json.loads(got.body)["body"] for got in receiver.got]


@pytest.fixture
def receivers() -> Iterator[Callable[[], Receiver]]:
    """Makes receivers."""
    made: list[Receiver] = []

    def make() -> Receiver:
        made.append(Receiver())
        return made[-1]

    yield make
    for receiver in made:
        receiver.let_go.set()
        receiver.close()


@pytest.fixture
def receiver(receivers: Callable[[], Receiver]) -> Receiver:
    return receivers()


@pytest.fixture
def config(config: Config) -> Config:
    return Config(data_dir=config.data_dir, fsync="never", webhooks_private=True)


class Hooks:
    """A hub with two machines and an admin, and its webhooks."""

    def __init__(self, members: Members) -> None:
        self.members, self.hub = members, members.hub
        self._moved = 0.0

    def add(self, url: str, name: str | None = None, caller: Any = None) -> dict[str, Any]:
        fields = {"url": url} if name is None else {"url": url, "name": name}
        reply = (caller or self.members.web1).post("/webhooks", json=fields)
        assert reply.status_code == 201, reply.json
        return {**reply.json["webhook"], "secret": reply.json["secret"]}

    def only(self) -> dict[str, Any]:
        """The only webhook, as an admin sees it."""
        (found,) = self.members.admin.get("/webhooks").json["webhooks"]
        return found  # type: ignore[no-any-return]

    def say(self, body: str, to: Any = "web1") -> dict[str, Any]:
        reply = self.members.db1.post("/post", json={"to": to, "body": body})
        assert reply.status_code == 201, reply.json
        return reply.json  # type: ignore[no-any-return]

    def until(self, condition: Callable[[], Any]) -> Any:
        """Let the leader do its work until a condition holds."""
        return wait_until(lambda: self.hub.chores.do() and condition())

    def settle(self) -> None:
        """Let the leader do its work until nothing is under way."""
        self.hub.chores.do()
        wait_until(lambda: not self.sender._running)

    @property
    def sender(self) -> WebhookSender:
        sender: WebhookSender = self.members.app.extensions["webhooks"]
        return sender

    def later(self, seconds: float) -> None:
        """Move the clock on, and let the leader do what is due then."""
        self._moved += seconds
        self.members.later(self._moved)
        self.settle()

    def bodies(self, receiver: Receiver) -> list[str]:
        """The bodies of the messages that a receiver got."""
        return bodies(receiver)

    def mail(self, name: str) -> list[dict[str, Any]]:
        """What is to a name, from the hub itself."""
        reply = self.members.admin.get(f"/messages?to={name}&from=bus")
        return reply.json["messages"]  # type: ignore[no-any-return]


@pytest.fixture
def hooks(config: Config) -> Iterator[Hooks]:
    for members in open_members(config):
        yield Hooks(members)


@pytest.fixture
def again(config: Config) -> Callable[[], Iterator[Hooks]]:
    """Opens the hub anew on the same data folder."""

    def reopen() -> Iterator[Hooks]:
        for members in open_members(config):
            yield Hooks(members)

    return reopen
