"""Agents at a real hub with two workers: leases, presence, and what the hub does by itself."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.conftest import RunningHub, wait_until

pytestmark = pytest.mark.slow


def register(hub: RunningHub, **fields: Any) -> Any:
    return hub.post("/agents", json=fields)


def reports(hub: RunningHub) -> list[int]:
    """The seqs of the messages that alice was told are overdue."""
    found = hub.get("/messages?unread_by=alice&tag=overdue").json()["messages"]
    return [message["data"]["overdue"]["seq"] for message in found]


def test_what_is_overdue_is_reported_by_whichever_worker_is_left(hub: RunningHub) -> None:
    first = hub.say(ack_by=1)["seq"]
    wait_until(lambda: reports(hub) == [first])
    for pid in hub.workers():  # one of them leads
        os.kill(pid, signal.SIGKILL)
        sent = hub.say(ack_by=1)["seq"]
        wait_until(lambda sent=sent: sent in reports(hub))
    assert len(reports(hub)) == len(set(reports(hub))) == 3


def test_a_hundred_agents_give_signs_of_life_at_two_workers(hub: RunningHub) -> None:
    with ThreadPoolExecutor(16) as pool:
        taken = list(
            pool.map(lambda pid: register(hub, name=f"box{pid}/alpha", pid=pid), range(1, 101))
        )
        assert {reply.status_code for reply in taken} == {200}
        for _ in range(3):
            beats = list(
                pool.map(
                    lambda reply: hub.post(
                        f"/agents/{reply.json()['name']}/heartbeat",
                        json={"lease": reply.json()["lease"], "turn": "working"},
                    ),
                    taken,
                )
            )
            assert {beat.status_code for beat in beats} == {200}
    found = hub.get("/agents?limit=1000").json()["agents"]
    assert len([agent for agent in found if agent["state"] == "live"]) == 100
    assert {agent["turn"] for agent in found} == {"working"}


def test_of_many_processes_that_race_for_a_callsign_each_gets_another(hub: RunningHub) -> None:
    with ThreadPoolExecutor(16) as pool:
        taken = list(pool.map(lambda pid: register(hub, name="box", pid=pid), range(1, 17)))
    assert len({reply.json()["name"] for reply in taken}) == 16


def test_leases_roles_and_topics_outlive_a_restart(
    hub_at: Callable[..., RunningHub], hub: RunningHub
) -> None:
    lease = register(hub, name="box/alpha", pid=7).json()["lease"]
    hub.post("/roles/deployer/claim", json={"name": "box/alpha"})
    hub.post("/topics/build.*/subscribe", json={"name": "box/alpha"})
    hub.say("one", to="role:deployer")
    hub.stop()
    hub = hub_at(hub.data_dir)
    held = register(hub, name="box/alpha", pid=8)
    assert (held.status_code, held.json()["holder"]["lease"]) == (409, lease)
    hub.say("two", to="topic:build.linux")
    found = hub.get("/messages?unread_by=box/alpha").json()["messages"]
    assert [m["body"] for m in found if m["from"] != "bus"] == ["one", "two"]
