"""The hub as a process: how it starts and stops."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from http.client import HTTPResponse
from typing import Any

import pytest
import requests

from tests.conftest import PASSWORD, USER, RunningHub

pytestmark = pytest.mark.slow


def test_a_stop_does_not_wait_for_idle_connections(hub: RunningHub) -> None:
    with requests.Session() as session:
        session.auth = (USER, PASSWORD)
        assert session.get(f"{hub.url}/health").ok
        began = time.monotonic()
        hub.stop()
    assert time.monotonic() - began < 15, "it waited for graceful_timeout"


def test_a_stop_lets_polls_and_streams_go(hub: RunningHub) -> None:
    with hub.get("/stream?to=bob", stream=True) as stream:
        chunks = stream.iter_content(None)
        assert next(chunks) == b": alive\n\n"
        began = time.monotonic()
        hub.stop()
        assert all(chunk.startswith(b":") for chunk in chunks)
    assert time.monotonic() - began < 15


def test_a_connection_whose_next_request_is_there_does_not_keep_the_worker(
    hub_at: Callable[..., RunningHub],
) -> None:
    hub = hub_at(BUS_WORKERS="1", BUS_FSYNC="never")  # a slow sync lets others go on
    posts = _post("hello") * 600
    with (
        socket.create_connection(("127.0.0.1", hub.port), 30) as greedy,
        requests.Session() as other,
    ):
        other.auth = (USER, PASSWORD)
        assert other.get(f"{hub.url}/health").ok  # it has its connection
        sending = threading.Thread(target=greedy.sendall, args=(posts,))
        sending.start()
        assert (
            greedy.recv(1, socket.MSG_PEEK) == b"H"
        )  # the first answer has come, so the worker is at it
        mine = other.post(
            f"{hub.url}/post", json={"from": "carol", "to": "dave", "body": "hello"}
        ).json()["seq"]
        while sending.is_alive():
            greedy.recv(65_536)
    assert mine < 500, "it was served when the other had no more requests"


def test_a_post_goes_before_the_reads_that_arrived_with_it(
    hub_at: Callable[..., RunningHub],
) -> None:
    hub = hub_at(BUS_WORKERS="1", BUS_FSYNC="never")
    (worker,) = hub.workers()
    post, read = _post("hello"), _request("GET", "/messages?limit=1&order=desc")
    with ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", hub.port), 30))
            for _ in range(9)
        ]
        poster, readers = clients[0], clients[1:]
        for client in clients:
            client.sendall(post if client is poster else read)
            _answer(client)
        for order in (clients, clients[::-1]):
            os.kill(worker, signal.SIGSTOP)
            for client in order:
                client.sendall(post if client is poster else read)
            os.kill(worker, signal.SIGCONT)
            seq = _answer(poster)["seq"]
            assert [_answer(reader)["messages"][0]["seq"] for reader in readers] == [seq] * len(
                readers
            )


def _answer(client: socket.socket) -> Any:
    answer = HTTPResponse(client)
    answer.begin()
    return json.loads(answer.read())


def _post(body: str) -> bytes:
    return _request(
        "POST", "/post", json.dumps({"from": "alice", "to": "bob", "body": body}).encode()
    )


def _request(method: str, path: str, data: bytes = b"") -> bytes:
    login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: hub\r\nAuthorization: Basic {login}\r\nContent-Type:"
        " application/json\r\n"
    )
    return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data
