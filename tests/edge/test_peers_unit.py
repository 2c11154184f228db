"""The shipped unit of the listener for peers: no fault, little given away, and it works within what
it leaves.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import free_port
from tests.peers.conftest import Peers

from .harness import ROOT, running, told_by, tool, wait_for
from .test_systemd import PLAIN, SANDBOX

pytestmark = pytest.mark.slow

UNIT = ROOT / "systemd" / "claude-bus-peers.service"
EXPOSURE_TIMES_TEN = 13  # the threshold that the unit names in its first lines


def test_systemd_finds_no_fault(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    python = os.path.realpath(sys.executable)
    unit.write_text(UNIT.read_text().replace("/opt/claude-bus/.venv/bin/python", python))
    told = told_by([tool("systemd-analyze"), "verify", unit])
    own = [line for line in told.stderr.splitlines() if "claude-bus" in line]
    assert (told.returncode, own) == (0, [])


def test_it_gives_little_away() -> None:
    threshold = f"--threshold={EXPOSURE_TIMES_TEN}"
    assert f"{threshold} " in UNIT.read_text()
    told = told_by([tool("systemd-analyze"), "security", "--offline=yes", threshold, UNIT])
    assert told.returncode == 0, told.stdout[-200:]


def test_every_line_that_is_not_the_default_says_why() -> None:
    explained = False
    for line in UNIT.read_text().splitlines():
        if line.startswith("#"):
            explained = True
        elif line in ("", "[Unit]", "[Service]", "[Install]"):
            explained = False
        elif "=" in line and line.partition("=")[0] not in PLAIN:
            assert explained, line


def test_it_serves_peers_within_what_the_unit_leaves(tmp_path: Path) -> None:
    tool("systemd-analyze")
    peers = Peers(free_port())
    command = [sys.executable, str(SANDBOX), str(UNIT), sys.executable, "-m", "bus", "peers"]
    environ = {
        **os.environ,
        "BUS_DATA_DIR": str(tmp_path / "data"),
        "BUS_PEERS_LISTEN": f"127.0.0.1:{peers.port}",
    }

    def answers() -> bool:
        with suppress(OSError):
            return peers.send("GET", "/health")[0] == 200
        return False

    with running(command, tmp_path / "peers.log", cwd=ROOT, env=environ) as process:
        wait_for(answers, process, "the listener")
        id, token = peers.register()
        peers.good("/send-message", token, from_id=id, to_id=id, text="hi")
