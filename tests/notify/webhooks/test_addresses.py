"""Requests go only to addresses of the open internet, whatever a name or an answer says, and end in
time.
"""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from bus.model.addresses import is_public
from bus.model.webhooks import Outcome
from bus.notify.webhooks.addresses import Network
from bus.notify.webhooks.posting import Posts
from tests.notify.webhooks.conftest import Hooks, Receiver, say

PUBLIC = "93.184.215.14"


def leads_to(*addresses: str) -> Callable[[str, int], list[tuple[Any, ...]]]:
    """A look-up that gives these addresses, one at each call; the last one for ever."""
    left = list(addresses)

    def resolve(host: str, port: int) -> list[tuple[Any, ...]]:
        address = left.pop(0) if len(left) > 1 else left[0]
        return socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)

    return resolve


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1"),
        *("169.254.169.254", "100.64.0.1", "100.100.100.200", "224.0.0.1", "255.255.255.255"),
        *("192.0.0.192", "198.18.0.1", "240.0.0.1", "168.63.129.16", "192.0.2.1"),
        *("::", "::1", "fe80::1", "fe80::1%1", "fc00::1", "fd00:ec2::254", "ff02::1", "fec0::1"),
        *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:93.184.215.14", "::127.0.0.1"),
        *("64:ff9b::7f00:1", "64:ff9b:1::a00:1", "2002:7f00:1::", "2001:0:1::1", "2001:db8::1"),
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", [PUBLIC, "1.1.1.1", "2606:4700:4700::1111"])
def test_addresses_that_are_public(address: str) -> None:
    assert is_public(ip_address(address))


def send(url: str, network: Network | None = None, whole_s: float = 15) -> Outcome:
    network = network or Network()
    return Posts(network, time.time, whole_s).send(url, {"webhook-id": "1"}, b"{}")


@pytest.mark.parametrize(
    "host",
    ["localhost", "127.0.0.1", "127.1", "0x7f.1", "2130706433", "0", "[::1]", "[::ffff:127.0.0.1]"],
)
def test_no_way_of_writing_loopback_leads_there(receiver: Receiver, host: str) -> None:
    assert send(f"http://{host}:{receiver.port}/").error is not None
    assert receiver.got == []


def test_one_private_address_among_public_ones_is_enough_to_refuse(receiver: Receiver) -> None:
    def both(host: str, port: int) -> list[tuple[Any, ...]]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in (PUBLIC, "127.0.0.1")
        ]

    found = send(f"http://rebind.test:{receiver.port}/", Network(resolve=both))
    assert found == Outcome(None, "its host does not lead to the open internet")


def test_the_address_that_was_checked_is_the_one_that_is_connected_to(
    monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    """The name leads to loopback at the second look-up: nobody looks a second time."""
    network = Network(resolve=leads_to(PUBLIC, "127.0.0.1"))
    went: list[Any] = []

    def connect(self: socket.socket, address: Any) -> None:
        went.append(address)
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(socket.socket, "connect", connect)
    url = f"http://rebind.test:{receiver.port}/"
    assert send(url, network).error == "Connection refused"
    assert went == [(PUBLIC, receiver.port)]
    assert send(url, network).error == "its host does not lead to the open internet"
    assert len(went) == 1


def test_a_name_that_turns_private_later_gets_no_mail(hooks: Hooks, receiver: Receiver) -> None:
    hooks.sender.network.resolve = leads_to("127.0.0.1")
    hooks.add(f"http://rebind.test:{receiver.port}/x")
    hooks.say("one")
    hooks.until(lambda: receiver.got)
    hooks.settle()
    hooks.sender.network.private = False
    hooks.say("two")
    hooks.settle()
    assert hooks.bodies(receiver) == ["one"]
    assert receiver.got[0].headers["Host"] == f"rebind.test:{receiver.port}"
    assert hooks.only()["answers"][0]["error"] == "its host does not lead to the open internet"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(
    receiver: Receiver, receivers: Callable[[], Receiver], status: int
) -> None:
    other = receivers()
    receiver.answer = say(status, Location=other.url)
    found = send(receiver.url, Network(private=True))
    assert found.error == f"status {status}: redirects are not followed"
    receiver.answer = say(status, Location="http://169.254.169.254/latest/meta-data/")
    assert not send(receiver.url, Network(private=True)).is_delivered
    assert other.got == []


class Raw:
    """A server that says what it is told to, and goes on until the connection ends."""

    def __init__(self, parts: Callable[[], Iterator[bytes]]) -> None:
        self._door = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._door.getsockname()[1]}/"
        self._parts = parts
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        self.sent = 0

    def _serve(self) -> None:
        connection, _ = self._door.accept()
        with connection, suppress(OSError):
            connection.recv(65_536)
            for part in self._parts():
                connection.sendall(part)
                self.sent += len(part)

    def close(self) -> None:
        self._door.close()
        self._thread.join(10)
        assert not self._thread.is_alive()


def endless(*first: bytes, part: bytes) -> Callable[[], Iterator[bytes]]:
    def parts() -> Iterator[bytes]:
        yield from first
        while True:
            yield part

    return parts


HOSTILE = {
    "a head without end": endless(b"HTTP/1.1 200 OK\r\n", part=b"x: " + b"y" * 8_000 + b"\r\n"),
    "a line without end": endless(part=b"y" * 8_000),
    "interim answers without end": endless(part=b"HTTP/1.1 100 Continue\r\n\r\n"),
    "no HTTP": lambda: iter([b"SSH-2.0-OpenSSH_9.6\r\n\r\n"]),
    "nothing": lambda: iter([]),
    "half a head": lambda: iter([b"HTTP/1.1 200 OK\r\nContent-"]),
    "a status that is none": lambda: iter([b"HTTP/1.1 2000 OK\r\n\r\n"]),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_answer_is_a_failure_and_has_an_end(what: str) -> None:
    server = Raw(HOSTILE[what])
    found = send(server.url, Network(private=True))
    server.close()
    assert (found.status, found.is_delivered) == (None, False)
    assert found.error
    assert server.sent < 16 << 20


def test_of_a_body_without_end_little_is_read() -> None:
    server = Raw(endless(b"HTTP/1.1 200 OK\r\n\r\n", part=b"z" * 65_536))
    assert send(server.url, Network(private=True)).is_delivered
    server.close()
    assert server.sent < 16 << 20


def test_who_never_answers_is_let_go_in_time(receiver: Receiver) -> None:
    receiver.answer = receiver.hang
    found = send(receiver.url, Network(private=True), whole_s=0.2)
    assert found == Outcome(None, "it took too long")


def test_who_answers_byte_by_byte_is_let_go_in_time() -> None:
    """Each byte comes in time, and all of them never do."""
    stop = threading.Event()

    def drip() -> Iterator[bytes]:
        while not stop.wait(0.01):
            yield b"x"

    server = Raw(drip)
    found = send(server.url, Network(private=True), whole_s=0.3)
    stop.set()
    server.close()
    assert found == Outcome(None, "it took too long")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder: Path = tmp_path_factory.mktemp("tls")
    key, file = str(folder / "key.pem"), str(folder / "cert.pem")
    try:
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"),
                *("ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", file),
                *(
                    "-days",
                    "2",
                    "-subj",
                    "/CN=good.test",
                    "-addext",
                    "subjectAltName=DNS:good.test",
                ),
            ],
            check=True,
            capture_output=True,
        )
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    return key, file


@pytest.mark.parametrize(("host", "is_good"), [("good.test", True), ("evil.test", False)])
def test_tls_proves_the_name_and_not_the_address(
    receiver: Receiver, certificate: tuple[str, str], host: str, is_good: bool
) -> None:
    key, file = certificate
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file, key)
    receiver._server.socket = server.wrap_socket(receiver._server.socket, server_side=True)
    network = Network(
        private=True,
        resolve=leads_to("127.0.0.1"),
        tls=ssl.create_default_context(cafile=file),
    )
    found = send(f"https://{host}:{receiver.port}/x", network)
    assert found.is_delivered is is_good
    assert [got.headers["Host"] for got in receiver.got] == [f"{host}:{receiver.port}"] * is_good
