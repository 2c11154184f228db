"""The stream: it goes on after a break, without gap or repeat."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import pytest
import requests

from busclient import Bus, Unreachable
from tests.client.conftest import Door, Served
from tests.conftest import Caller, wait_until

Make = Callable[..., Bus]


class Breaking(Door):
    """A way to the hub whose streams break after so many bytes, each after its own number; the last number goes on."""

    def __init__(self, app: Any, *after: int) -> None:
        super().__init__(app)
        self.after = list(after)

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        reply = super().send(request, *args, **kwargs)
        if request.path_url.startswith("/stream"):
            reply.raw = _Cut(reply.raw, self.after.pop(0) if len(self.after) > 1 else self.after[0])
        return reply


class _Cut:
    chunked = False

    def __init__(self, raw: Any, after: int) -> None:
        self.raw, self.left = raw, after

    def stream(self, amount: int, decode_content: bool | None = None) -> Iterator[bytes]:
        for byte in self.raw.stream(amount, decode_content=decode_content):
            if self.left == 0:
                self.raw.close()
                raise requests.packages.urllib3.exceptions.ProtocolError("cut")  # type: ignore[attr-defined]
            self.left -= 1
            yield byte

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)


@pytest.fixture
def follow(bus: Caller, client: Make, pauses: list[float]) -> Callable[..., Bus]:
    def make(*after: int, sleep: Callable[[float], None] = pauses.append) -> Bus:
        return Bus(client("bob").settings, transport=Breaking(bus.app, *after), sleep=sleep)

    return make


def test_a_stream_that_breaks_everywhere_gives_each_message_once(bus: Caller, follow: Callable[..., Bus]) -> None:
    for number in range(6):
        bus.say(str(number), to="bob")
    size = len(bus.get("/messages/1").data)
    for after in (size + 5, size * 2 - 10, size * 3):
        assert [m.body for m in islice(follow(after).stream(since=0), 6)] == [str(number) for number in range(6)]


def test_pauses_between_connections_grow_while_nothing_comes(
    bus: Caller, follow: Callable[..., Bus], pauses: list[float]
) -> None:
    bus.say("1", to="bob")

    def stop(pause: float) -> None:
        pauses.append(pause)
        if len(pauses) == 4:
            raise KeyboardInterrupt

    stream = follow(len(bus.get("/messages/1").data) + 2, 0, sleep=stop).stream(since=0)
    assert next(stream).body == "1"
    with pytest.raises(KeyboardInterrupt):
        next(stream)
    assert [0.05 * 2**at <= pause <= 0.1 * 2**at for at, pause in enumerate(pauses, 1)] == [True] * 4


def test_a_first_connection_that_fails_is_said(follow: Callable[..., Bus]) -> None:
    with pytest.raises(Unreachable):
        next(follow(0).stream(since=1))


def test_messages_come_as_they_are_posted(served: Served) -> None:
    got: list[str] = []
    with Bus(served.settings) as bob:
        stream = bob.stream(tags=["build"])
        thread = threading.Thread(target=lambda: got.extend(m.body for m in islice(stream, 2)), daemon=True)
        thread.start()
        wait_until(lambda: served.caller.get("/health").json["waiting"])
        served.caller.say("passed over", to="bob")
        served.caller.say("first", to="any", tags=["build"])
        served.caller.say("second", to="carol", tags=["build", "x"])
        thread.join(10)
    assert got == ["first", "second"]


def test_any_of_several_tags_is_followed(bus: Caller, client: Make) -> None:
    for tag in ("a", "b", "c"):
        bus.say(tag, tags=[tag])
    assert [m.body for m in islice(client("bob").stream(since=0, tags=["a", "c"]), 2)] == ["a", "c"]


def test_unread_mail_is_streamed_from_the_oldest(bus: Caller, client: Make) -> None:
    bus.ack(bus.say("done"))
    bus.say("1")
    bus.say("2")
    assert [m.body for m in islice(client("bob").stream(unread_by="bob"), 2)] == ["1", "2"]
