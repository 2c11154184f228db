"""The stream: it goes on after a break, without gap or repeat."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import pytest

from busclient import Bus, Unreachable
from tests.client.conftest import Served
from tests.client.doors import Door
from tests.conftest import Caller, wait_until

Make = Callable[..., Bus]


class Breaking:
    """An application whose streams break after so many bytes, each after its own number; the last
    number goes on.
    """

    def __init__(self, app: Any, *after: int) -> None:
        self.app, self.after = app, list(after)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        chunks = self.app(environ, start_response)
        if environ["PATH_INFO"] != "/stream":
            return chunks
        return _Cut(chunks, self.after.pop(0) if len(self.after) > 1 else self.after[0])


class _Cut:
    """The first bytes of an answer, one by one, and then a break."""

    def __init__(self, chunks: Any, after: int) -> None:
        self.chunks, self.after = chunks, after

    def __iter__(self) -> Iterator[bytes]:
        yield b""  # the head of the answer comes whole
        for chunk in self.chunks:
            for byte in chunk:
                if self.after == 0:
                    raise ConnectionResetError("cut")
                self.after -= 1
                yield bytes([byte])

    def close(self) -> None:
        self.chunks.close()


@pytest.fixture
def follow(
    bus: Caller, client: Make, door_to: Callable[[Any], Door], pauses: list[float]
) -> Callable[..., Bus]:
    def make(*after: int, sleep: Callable[[float], None] = pauses.append) -> Bus:
        return Bus(
            client("bob").settings, transport=door_to(Breaking(bus.app, *after)), sleep=sleep
        )

    return make


def test_a_stream_that_breaks_everywhere_gives_each_message_once(
    bus: Caller, follow: Callable[..., Bus]
) -> None:
    for number in range(6):
        bus.say(str(number), to="bob")
    size = len(bus.get("/messages/1").data)
    for after in (size + 5, size * 2 - 10, size * 3):
        assert [m.body for m in islice(follow(after).stream(since=0), 6)] == [
            str(number) for number in range(6)
        ]


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
    assert [0.05 * 2**at <= pause <= 0.1 * 2**at for at, pause in enumerate(pauses, 1)] == [
        True
    ] * 4


def test_a_first_connection_that_fails_is_said(follow: Callable[..., Bus]) -> None:
    with pytest.raises(Unreachable):
        next(follow(0).stream(since=1))


def test_messages_come_as_they_are_posted(served: Served, way: str) -> None:
    got: list[str] = []
    with Bus(served.settings) as bob:
        stream = bob.stream(tags=["build"])
        thread = threading.Thread(
            target=lambda: got.extend(m.body for m in islice(stream, 2)), daemon=True
        )
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
