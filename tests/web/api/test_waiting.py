"""A request that waits at one process hears of a record by another, whatever becomes of the bell
between them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bus.live import waiting
from bus.live.bell import Bell
from tests.conftest import Caller, wait_until


@contextmanager
def polling(bus: Caller) -> Iterator[list[str]]:
    """A long poll is under way in the block, which must have it answered; gives the bodies that it
    brings, once it has them.
    """
    bodies: list[str] = []
    poll = threading.Thread(target=lambda: bodies.extend(bus.bodies("unread_by=bob&wait=60")))
    poll.start()
    wait_until(lambda: bus.get("/health").json["waiting"] == 1)
    yield bodies
    poll.join(20)
    assert not poll.is_alive(), "it was not woken"


def test_a_poll_is_woken_by_a_post_to_another_process(
    bus: Caller, reopened: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "_LOOK_EVERY_S", 60.0)
    for body in ("first", "second"):
        with polling(bus) as bodies:
            message = reopened.say(body)
        assert bodies == [body]
        bus.ack(message, "bob")


def test_a_poll_is_woken_although_the_poster_was_ended_before_it_rang(
    bus: Caller, reopened: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bell, "ring", lambda self: None)
    with polling(bus) as bodies:
        reopened.say("quiet")
    assert bodies == ["quiet"]


def test_a_poll_is_woken_where_there_can_be_no_bell(
    bus: Caller, reopened: Caller, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(waiting, "_LOOK_EVERY_S", 60.0)

    def no_socket(self: Bell) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Bell, "listening", no_socket)
    with polling(bus) as bodies:
        reopened.say("loud")
    assert bodies == ["loud"]
    assert "Permission denied" in caplog.text
