"""Trouble on the way: what is tried again, what it says, and that nothing is doubled."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import busclient._http.calls
from busclient import BadAnswer, Bus, Patience, Settings, Unauthorized, Unavailable, Unreachable
from tests.client.conftest import QUICK
from tests.client.doors import URL, Door
from tests.conftest import PASSWORD, USER, Caller

Make = Callable[..., Bus]
pytestmark = pytest.mark.usefixtures("way")


@pytest.mark.parametrize("trouble", ["away", "lost", 429, 502, 503, 504])
def test_a_post_is_tried_again_and_never_doubled(
    client: Make, door: Door, bus: Caller, trouble: Any
) -> None:
    door.troubles.extend([trouble, trouble])
    posted = client().post("once", to="bob")
    assert posted.message is not None
    assert len(door.calls) == 3
    assert bus.bodies("to=bob") == ["once"]
    assert posted.replayed is (trouble != "away")


def test_pauses_grow_between_attempts(client: Make, door: Door, pauses: list[float]) -> None:
    door.troubles.extend([502] * 9)
    with pytest.raises(Unavailable):
        client().messages()
    assert len(door.calls) == 4
    assert [0.1 * 2**at <= pause <= 0.2 * 2**at for at, pause in enumerate(pauses)] == [True] * 3


def test_a_hub_that_stays_away_is_unreachable_and_says_why(client: Make, door: Door) -> None:
    door.troubles.extend(["away"] * 4)
    with pytest.raises(Unreachable, match="the connection was refused") as caught:
        client().messages()
    assert "doctor" in caught.value.hint


def test_a_hub_that_asks_for_a_long_pause_is_not_waited_for(
    client: Make, door: Door, pauses: list[float]
) -> None:
    door.troubles.append(
        (503, {"Retry-After": "30"}, b'{"ok":false,"error":"storage_failed","message":"read-only"}')
    )
    with pytest.raises(Unavailable) as caught:
        client().post("x")
    assert (caught.value.code, caught.value.retry_after_s) == ("storage_failed", 30)
    assert pauses == []


def test_a_wrong_password_is_said_once(bus: Caller, door: Door) -> None:
    with pytest.raises(Unauthorized) as caught:
        Bus(Settings(url=URL, user=USER, password="wrong", name="bob"), transport=door).messages()
    assert "BUS_PASS" in caught.value.hint
    assert len(door.calls) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"<html>Log in to the hotel's Wi-Fi</html>",
        b"",
        b"[]",
        b"null",
        b'{"messages":7}',
        b'{"messages":[{"seq":1}]}',
    ],
)
def test_an_answer_that_is_not_the_hubs_is_told(client: Make, door: Door, body: bytes) -> None:
    door.troubles.extend([body] * 4)
    with pytest.raises(BadAnswer):
        client().messages()


@pytest.mark.parametrize("status", [301, 404, 500])
def test_a_proxy_in_trouble_is_not_taken_for_the_hub(client: Make, door: Door, status: int) -> None:
    door.troubles.extend([status] * 4)
    with pytest.raises(BadAnswer):
        client().messages()


@pytest.fixture
def stub() -> Iterator[Callable[[Callable[[socket.socket], None]], str]]:
    """A server that does with each connection what it is told: `stub(handle)` gives its URL."""
    listeners: list[socket.socket] = []

    def serve(handle: Callable[[socket.socket], None]) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def accept() -> None:
            while True:
                try:
                    connection = listener.accept()[0]
                except OSError:
                    return
                threading.Thread(target=_handled, args=(connection, handle), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield serve
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _handled(connection: socket.socket, handle: Callable[[socket.socket], None]) -> None:
    with connection:
        try:
            connection.recv(65536)
            handle(connection)
        except OSError:
            pass


def at(url: str, patience: Patience = QUICK) -> Bus:
    return Bus(Settings(url=url, user=USER, password=PASSWORD, name="bob"), patience=patience)


def drip(head: bytes) -> Callable[[socket.socket], None]:
    """Send these bytes, then one every 50 ms for ever."""

    def handle(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(b"x")
            time.sleep(0.05)

    return handle


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n{"]
)
def test_a_hub_that_drips_is_given_up_when_the_time_is_over(
    stub: Callable[..., str], head: bytes
) -> None:
    started = time.monotonic()
    with (
        pytest.raises(Unreachable, match="the time is over"),
        at(stub(drip(head)), Patience(total_s=0.4, attempts=1)) as bus,
    ):
        bus.messages()
    assert time.monotonic() - started < 2


def test_a_silent_hub_is_given_up(stub: Callable[..., str]) -> None:
    silence = threading.Event()
    with (
        pytest.raises(Unreachable, match="the time is over"),
        at(stub(lambda _: bool(silence.wait(5)) and None), Patience(read_s=0.2, attempts=1)) as bus,
    ):
        bus.messages()
    silence.set()


@pytest.mark.slow
@pytest.mark.parametrize(("wait_s", "count"), [(0.0, 1), (1.0, 0)])
def test_who_waits_for_a_silent_hub_is_told_once_unless_the_wait_is_meant_to_last(
    stub: Callable[..., str], monkeypatch: pytest.MonkeyPatch, wait_s: float, count: int
) -> None:
    monkeypatch.setattr(busclient._http.calls, "_SLOW_S", 0.05)
    said: list[str] = []
    is_said = threading.Event()

    def tell(text: str) -> None:
        said.append(text)
        is_said.set()

    def answer(connection: socket.socket) -> None:
        is_said.wait(5 if count else 0.5)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")

    url = stub(answer)
    with at(url, Patience(attempts=1)) as bus:
        bus.tell_when_slow(tell)
        for _ in range(2):
            assert bus._calls.json("GET", "/x", wait_s=wait_s) == {}
    assert said == [f"{url} has not answered for 0.05 s; still waiting (Ctrl-C stops)"] * count


@pytest.mark.parametrize(
    "answer",
    [b"SSH-2.0-OpenSSH_9.2\r\n", b"\x15\x03\x01\x00\x02\x02", b"HTTP/1.1 twohundred\r\n\r\n"],
)
def test_another_protocol_is_told_from_a_hub(stub: Callable[..., str], answer: bytes) -> None:
    with pytest.raises(Unreachable), at(stub(lambda connection: connection.sendall(answer))) as bus:
        bus.messages()


def test_a_connection_that_breaks_off_is_told(stub: Callable[..., str]) -> None:
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"
    with (
        pytest.raises(Unreachable, match="broke off"),
        at(stub(lambda connection: connection.sendall(half))) as bus,
    ):
        bus.messages()


def test_an_unknown_host_is_told() -> None:
    with (
        pytest.raises(Unreachable, match="cannot be resolved"),
        at("http://no-such-host.invalid") as bus,
    ):
        bus.messages()


def test_an_endless_answer_is_not_held_in_memory(
    stub: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("busclient._http.calls._MAX_ANSWER", 100_000)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n"

    def flood(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(b"x" * 65536)

    with pytest.raises(BadAnswer, match="longer than"), at(stub(flood)) as bus:
        bus.messages()


def test_no_proxy_stands_between_a_machine_and_itself(
    served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with Bus(served.settings) as bus:
        assert bus.health()["ok"]
