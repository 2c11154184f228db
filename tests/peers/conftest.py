"""A listener for peers in this process, over real sockets, beside a hub's app; and raw HTTP."""

from __future__ import annotations

import http.client
import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from bus import create_peers
from bus.config import Config
from bus.model.peers import machine_of
from bus.peers import listener as listening_part
from bus.peers.desk import Desk
from bus.peers.listener import Listener
from bus.peers.proof import Visitor
from tests.conftest import free_port
from tests.web.conftest import Members, open_members

HERE = machine_of(os.uname().nodename)
AWAY = Visitor("192.0.2.7")


class Peers:
    """Calls of their protocol, each with a connection of its own."""

    def __init__(self, port: int) -> None:
        self.port = port

    def send(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, Any]:
        """One request; the status and the JSON of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(
                method, path, body, {name.replace("_", "-"): said for name, said in headers.items()}
            )
            reply = connection.getresponse()
            return reply.status, json.loads(reply.read())
        finally:
            connection.close()

    def ask(self, path: str, token: str | None = None, **fields: Any) -> tuple[int, Any]:
        """POST fields as JSON."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return self.send("POST", path, json.dumps(fields).encode(), **headers)

    def good(self, path: str, token: str | None = None, **fields: Any) -> Any:
        """The same, where it must be answered with 200."""
        status, answer = self.ask(path, token, **fields)
        assert status == 200, answer
        return answer

    def register(self, cwd: str = "/srv/app", **fields: Any) -> tuple[str, str]:
        """The id and the token of a new peer."""
        said = {"pid": os.getpid(), "cwd": cwd, "git_root": None, "tty": None, "summary": ""}
        answer = self.good("/register", **{**said, **fields})
        return answer["id"], answer["token"]

    def poll(self, id: str, **fields: Any) -> list[dict[str, Any]]:
        """The messages that a peer is given."""
        messages: list[dict[str, Any]] = self.good("/poll-messages", id=id, **fields)["messages"]
        return messages

    def texts(self, id: str) -> list[str]:
        return [message["text"] for message in self.poll(id)]


Open = Callable[..., tuple[Peers, Desk]]


def serving(config: Config) -> tuple[Listener, threading.Thread]:
    """A listener that serves in a thread."""
    listener = create_peers(config, ("127.0.0.1", free_port()))
    thread = threading.Thread(target=listener.serve)
    thread.start()
    return listener, thread


def close(listener: Listener, thread: threading.Thread) -> None:
    listener.stop_soon()
    thread.join(20)
    hub = listener.desk._hub
    hub.index.close()
    hub.presence.close()
    hub.live.heartbeats.close()
    hub.log.close()


@pytest.fixture
def listening(config: Config, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Opens listeners on the hub's data folder: `listening(peers_tokenless=False)`."""
    monkeypatch.setattr(listening_part, "_LOOK_EVERY_S", 0.02)
    opened = []

    def start(**settings: Any) -> tuple[Peers, Desk]:
        opened.append(serving(replace(config, **settings)))
        listener = opened[-1][0]
        return Peers(listener.server_port), listener.desk

    yield start
    for one in opened:
        close(*one)


@pytest.fixture
def members(config: Config) -> Iterator[Members]:
    """The hub, with two machines and an admin; its clock is the real one."""
    yield from open_members(config)


@pytest.fixture
def peers(members: Members, listening: Open) -> Peers:
    """Peers of that hub."""
    return listening()[0]


def from_away(desk: Desk, path: str, visitor: Visitor = AWAY, **fields: Any) -> tuple[int, Any]:
    """A call from another machine."""
    answer = desk.answer(visitor, path, json.dumps(fields).encode())
    answer.settle(True)
    return answer.status, answer.body
