"""Webhooks of a hub with real workers: one of them sends, and a restart goes on where it was."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from bus.credentials import Credentials
from bus.model.caller import MEMBER
from tests.conftest import RunningHub, wait_until
from tests.notify.webhooks.conftest import Receiver, bodies, say

pytestmark = pytest.mark.slow
AUTH = ("web1", "a secret of the tests")


@pytest.fixture
def hub(hub_at: Callable[..., RunningHub], tmp_path: Path) -> RunningHub:
    folder = tmp_path / "data"
    folder.mkdir()
    Credentials(folder / "credentials").add(*AUTH, MEMBER)
    return hub_at(folder, BUS_WEBHOOKS_PRIVATE="1")


def add(hub: RunningHub, url: str) -> str:
    reply = requests.post(f"{hub.url}/webhooks", json={"url": url}, auth=AUTH, timeout=30)
    assert reply.status_code == 201, reply.text
    return str(reply.json()["webhook"]["id"])


def listed(hub: RunningHub) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = requests.get(f"{hub.url}/webhooks", auth=AUTH, timeout=30).json()[
        "webhooks"
    ]
    return found


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_restart_in_the_middle_of_retries_goes_on(
    hub: RunningHub, receiver: Receiver, how: str
) -> None:
    add(hub, receiver.url)
    hub.say("one", to="web1")
    wait_until(lambda: bodies(receiver) == ["one"])
    wait_until(lambda: listed(hub)[0]["cursor"] > 1)
    receiver.answer = say(500)
    for body in ("two", "three", "four"):
        hub.say(body, to="web1")
    wait_until(lambda: listed(hub)[0]["failures"])
    getattr(hub, how)()
    receiver.answer = say(200)
    before = len(receiver.got)
    hub.start()
    wait_until(lambda: len(receiver.got) >= before + 3)
    assert bodies(receiver)[before:] == ["two", "three", "four"]


def test_a_worker_that_dies_leaves_the_lead_to_another(hub: RunningHub, receiver: Receiver) -> None:
    add(hub, receiver.url)
    for number in range(3):
        hub.say(str(number), to="web1")
        wait_until(lambda: str(number) in bodies(receiver))  # noqa: B023
        os.kill(hub.workers()[0], signal.SIGKILL)
    hub.say("last", to="web1")
    wait_until(lambda: "last" in bodies(receiver))
    once = list(dict.fromkeys(bodies(receiver)))
    assert once == ["0", "1", "2", "last"]


def test_a_receiver_that_hangs_delays_neither_others_nor_a_stop(
    hub: RunningHub, receivers: Callable[[], Receiver]
) -> None:
    slow, quick = receivers(), receivers()
    slow.answer = slow.hang
    add(hub, slow.url)
    add(hub, quick.url)
    for body in ("one", "two"):
        hub.say(body, to="web1")
    wait_until(lambda: slow.got and bodies(quick) == ["one", "two"])
    began = time.monotonic()
    hub.stop()
    assert time.monotonic() - began < 8


def test_a_stop_notes_what_was_sent(hub: RunningHub, receiver: Receiver) -> None:
    add(hub, receiver.url)
    for body in ("one", "two", "three"):
        hub.say(body, to="web1")
        wait_until(lambda: body in bodies(receiver))  # noqa: B023
    hub.stop()
    hub.start()
    hub.say("four", to="web1")
    wait_until(lambda: "four" in bodies(receiver))
    assert bodies(receiver) == ["one", "two", "three", "four"]
