"""What a hub with real workers does by itself: once each, whoever leads, and after kill -9."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from bus.config import Config
from tests.conftest import RunningHub, wait_until
from tests.web.conftest import open_members

pytestmark = pytest.mark.slow


def tagged(hub: RunningHub, *tags: str) -> list[str]:
    """The tags and the recipients of what the hub itself said, in order."""
    mail = hub.get("/messages?from=bus&since=0").json()["messages"]
    return [f"{tag} {message['to']}" for message in mail for tag in message["tags"] if tag in tags]


def test_each_step_of_the_ladder_is_taken_once(
    hub_at: Callable[..., RunningHub], tmp_path: Path
) -> None:
    ladder = {"BUS_ESCALATE": "wake:0 sender:2s human:4s", "BUS_ESCALATE_TO": "carol"}
    hub = hub_at(tmp_path / "data", BUS_WORKERS="2", **ladder)
    wait_until(lambda: (hub.data_dir / "bus.jsonl").read_text().count("escalation_set") == 1)
    seq = hub.say("hello", ack_by=1)["seq"]
    steps = ("wake", "overdue", "human")
    wait_until(lambda: tagged(hub, *steps) == ["wake bob"])
    hub.kill()
    hub.start()
    wait_until(lambda: tagged(hub, *steps) == ["wake bob", "overdue alice"])
    os.kill(hub.workers()[0], signal.SIGKILL)
    # Posted with the shared user's credential, so nobody proved who it is from.
    wait_until(lambda: "human: nobody (unproven)" in hub.get(f"/messages/{seq}/trace").text)
    # Until another one is late, the chores have had rounds in which nothing may follow.
    hub.say("hello", sender="dave", to="erin", ack_by=1)
    wait_until(lambda: "wake erin" in tagged(hub, *steps))
    assert tagged(hub, *steps) == ["wake bob", "overdue alice", "wake erin"]
    log = [json.loads(line) for line in (hub.data_dir / "bus.jsonl").read_text().splitlines()]
    taken = [one["step"] for one in log if one["kind"] == "escalated" and one["message"] == seq]
    assert taken == ["wake", "sender", "human"]


def test_a_silence_and_its_end_are_told_once(
    hub_at: Callable[..., RunningHub], tmp_path: Path
) -> None:
    config = Config(data_dir=tmp_path / "data", fsync="never")
    for before in open_members(config):
        # A hub ran here for the last minute, as far as anybody can tell.
        for seconds in range(-56, 1, 4):
            before.later(seconds)
            if seconds == -56:
                terms = {"from": "alice", "name": "bob", "every_s": 60}
                assert before.shared.post("/expect", json=terms).status_code == 201
            before.hub.chores.do()
        assert before.records("silence_begun") == []
    hub = hub_at(config.data_dir, BUS_WORKERS="2")
    wait_until(lambda: tagged(hub, "silent") == ["silent alice"])
    hub.kill()
    hub.start()
    os.kill(hub.workers()[0], signal.SIGKILL)
    hub.say("I am here", sender="bob", to="any")
    wait_until(lambda: tagged(hub, "back") == ["back alice"])
    hub.stop()
    hub.start()
    # Until something else is told, the chores have had rounds in which nothing may follow.
    hub.say("hello", sender="dave", to="erin", ack_by=1)
    wait_until(lambda: tagged(hub, "overdue") == ["overdue dave"])
    assert tagged(hub, "silent", "back") == ["silent alice", "back alice"]
