"""The listener as a process beside a hub: it comes with it, comes back, and goes with it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.conftest import ROOT, RunningHub, free_port, wait_until
from tests.peers.conftest import Peers

pytestmark = pytest.mark.slow


def answers(peers: Peers) -> bool:
    with suppress(OSError):
        return peers.send("GET", "/health")[0] == 200
    return False


def listeners(port: int) -> list[int]:
    """The processes that listen at a port: what `lsof -t` gives their kill-broker."""
    listing = subprocess.run(["ss", "-Hltnp", f"sport = :{port}"], capture_output=True, text=True)
    return [int(one.partition(",")[0]) for one in listing.stdout.split("pid=")[1:]]


def test_a_killed_listener_comes_back_and_knows_its_peers(
    hub_at: Callable[..., RunningHub],
) -> None:
    peers = Peers(free_port())
    hub = hub_at(BUS_PEERS_COMPAT="1", CLAUDE_PEERS_PORT=str(peers.port), BUS_WORKERS="1")
    wait_until(lambda: answers(peers))
    id, token = peers.register(agent_name="reviewer")
    for how in (signal.SIGTERM, signal.SIGKILL):
        (pid,) = listeners(peers.port)
        os.kill(pid, how)
        wait_until(lambda: listeners(peers.port) not in ([], [pid]))  # noqa: B023
        wait_until(lambda: answers(peers))
        hub.say("still here?", to=id)
        assert peers.good("/poll-messages", token, id=id)["messages"][0]["text"] == "still here?"
        assert hub.get("/health").status_code == 200
    (pid,) = listeners(peers.port)
    command = [sys.executable, "-m", "busclient", "kill-broker", "--json"]
    told = subprocess.run(command, env=hub.environ, cwd=ROOT, capture_output=True, text=True)
    assert json.loads(told.stdout)["ended"] == [pid], told
    wait_until(lambda: listeners(peers.port) not in ([], [pid]))
    hub.stop()
    wait_until(lambda: not listeners(peers.port))


def test_kill_broker_leaves_what_is_not_the_hubs() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        command = [sys.executable, "-m", "busclient", "kill-broker"]
        environ = {**os.environ, "CLAUDE_PEERS_PORT": port}
        told = subprocess.run(command, env=environ, cwd=ROOT, capture_output=True, text=True)
        assert told.returncode != 0
        assert "none of the hub's" in told.stderr


def test_without_the_setting_nothing_listens(hub_at: Callable[..., RunningHub]) -> None:
    peers = Peers(free_port())
    hub_at(CLAUDE_PEERS_PORT=str(peers.port), BUS_WORKERS="1")
    assert not answers(peers)


def test_it_takes_the_port_once_another_broker_has_ended(
    hub_at: Callable[..., RunningHub],
) -> None:
    peers = Peers(free_port())
    with socket.create_server(("127.0.0.1", peers.port)):
        hub = hub_at(BUS_PEERS_COMPAT="1", BUS_PEERS_LISTEN=f"127.0.0.1:{peers.port}")
        wait_until(lambda: "cannot be listened at" in hub.output.read_text())
        assert hub.get("/health").status_code == 200
    wait_until(lambda: answers(peers), within_s=40)
