"""A client whose hub is a stand-in that answers as docs/net.md says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from busclient import Bus, Settings
from tests.client.doors import URL, Door
from tests.client.stubnet import StubNet


@pytest.fixture
def net() -> StubNet:
    return StubNet()


@pytest.fixture
def door(net: StubNet, door_to: Callable[[Any], Door]) -> Door:
    return door_to(net)


@pytest.fixture
def web1(door: Door, pauses: list[float]) -> Bus:
    """A session of the machine web1, with a credential of its own."""
    return Bus(
        Settings(url=URL, user="web1", password="pw", name="web1/alpha"),
        transport=door,
        sleep=pauses.append,
    )
