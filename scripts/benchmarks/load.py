"""A small closed-loop HTTP load: so many clients, each sending its next request when it has its
answer.

Raw sockets and one thread, so that the load costs little beside the server it is on the same two
cores with. Loopback only, bounded in time, and it ends nothing that it did not start.
"""

from __future__ import annotations

import base64
import json
import select
import socket
import time
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlsplit

USER, PASSWORD = "claude", "bench-" + "x" * 37
BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


@dataclass
class Result:
    """What a load saw: answers a second, and the seconds that each took, sorted."""

    rate: float = 0.0
    times: list[float] = field(default_factory=list)
    errors: int = 0

    def quantile(self, part: float) -> float:
        """The time in seconds that this part of the answers took at most."""
        return self.times[min(len(self.times) - 1, int(part * len(self.times)))]

    @property
    def median(self) -> float:
        return self.quantile(0.5)


def request(
    method: str,
    path: str,
    body: bytes = b"",
    content_type: str = "application/json",
    basic: str = BASIC,
) -> bytes:
    """The bytes of a request with the bench's credential, or another one's `basic`."""
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {basic}\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def post(body: str = "x" * 200, sender: str = "bench-a", to: str = "bench-b") -> bytes:
    """A post of one message with a 200-byte body."""
    return request("POST", "/post", json.dumps({"from": sender, "to": to, "body": body}).encode())


def run(url: str, data: bytes, clients: int, seconds: float) -> Result:
    """Keep so many clients busy with one request for a time."""
    return together(url, [(data, clients)], seconds)[0]


def together(url: str, groups: list[tuple[bytes, int]], seconds: float) -> list[Result]:
    """The same with several requests at once, each by so many clients; a result for each group."""
    results = [Result() for _ in groups]
    clients = [
        _Client(Connection(url), data, result)
        for (data, count), result in zip(groups, results, strict=True)
        for _ in range(count)
    ]
    began = time.perf_counter()
    for client in clients:
        client.connection.send(client.data)
    now = _answer(clients, began + seconds)
    for result in results:
        result.rate = len(result.times) / (now - began)
        result.times.sort()
    for client in clients:
        client.connection.close()
    return results


def _answer(clients: list[_Client], end: float) -> float:
    """Send the next request on each answer until the end; gives when that was."""
    poll = select.epoll() if hasattr(select, "epoll") else None
    by_fd = {client.connection.sock.fileno(): client for client in clients}
    for fd in by_fd if poll is not None else ():
        poll.register(fd, select.EPOLLIN)
    while (now := time.perf_counter()) < end:
        ready = (
            [fd for fd, _ in poll.poll(1)]
            if poll is not None
            else select.select(list(by_fd), [], [], 1)[0]
        )
        for fd in ready:
            by_fd[fd].go_on()
    return now


class _Client(NamedTuple):
    """A connection that sends one request again and again, and where its times go."""

    connection: Connection
    data: bytes
    result: Result

    def go_on(self) -> None:
        """Take what has come; when it is the answer, send the next request."""
        if self.connection.receive():
            self.result.times.append(time.perf_counter() - self.connection.sent)
            self.result.errors += self.connection.status >= 300
            self.connection.send(self.data)


class Connection:
    """One kept-alive connection with at most one request under way."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.sock = socket.create_connection((parts.hostname or "", parts.port or 80))
        if (
            self.sock.getsockname() == self.sock.getpeername()
        ):  # nobody listens yet, and the system gave it that very port
            self.sock.close()
            raise ConnectionRefusedError("the connection led to itself")
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent, self.status = 0.0, 0
        self._got = b""

    def send(self, data: bytes) -> None:
        self.sent = time.perf_counter()
        self.sock.sendall(data)

    def receive(self) -> bool:
        """Take what has come; gives True when the answer is whole."""
        chunk = self.sock.recv(1 << 16)
        if not chunk:
            raise ConnectionError("the hub closed the connection")
        self._got += chunk
        head, separator, body = self._got.partition(b"\r\n\r\n")
        if not separator:
            return False
        at = head.find(b"Content-Length: ") + 16
        length = int(head[at : (head + b"\r").find(b"\r", at)])
        if len(body) < length:
            return False
        self.status, self.body, self._got = int(head[9:12]), body, b""
        return True

    def call(self, data: bytes) -> bytes:
        """One request and its answer's body."""
        self.send(data)
        while not self.receive():
            pass
        return self.body

    def close(self) -> None:
        self.sock.close()
