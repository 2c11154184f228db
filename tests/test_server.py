"""The hub as a process: how it starts and stops."""

from __future__ import annotations

import time

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
