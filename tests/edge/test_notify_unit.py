"""The shipped unit of the service that sends notices: no fault, little given away, and it works
within what it leaves.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import RunningHub
from tests.notify.conftest import write_settings
from tests.notify.webhooks.conftest import Receiver, receiver, receivers  # noqa: F401

from .harness import ROOT, running, told_by, tool, wait_for
from .test_systemd import PLAIN, SANDBOX

pytestmark = pytest.mark.slow

UNIT = ROOT / "systemd" / "claude-bus-notify.service"
EXPOSURE_TIMES_TEN = 12  # the threshold that the unit names in its first lines


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


def test_it_sends_within_what_the_unit_leaves(
    hub_at: Callable[..., RunningHub],
    receiver: Receiver,  # noqa: F811
    tmp_path: Path,
) -> None:
    tool("systemd-analyze")
    hub = hub_at(BUS_WORKERS="1")
    write_settings(
        hub.data_dir / "notify.toml",
        f'[services.pager]\ntype = "http"\nurl = "{receiver.url}"\n[[rules]]\nsend = "pager"\n',
    )
    command = [sys.executable, str(SANDBOX), str(UNIT), sys.executable, "-m", "bus", "notify"]
    log = tmp_path / "notify.log"
    environ = {**os.environ, "BUS_DATA_DIR": str(hub.data_dir)}
    with running(command, log, cwd=ROOT, env=environ) as process:
        wait_for(lambda: "notices are sent" in log.read_text(), process, "the service")
        hub.say("hello")
        wait_for(lambda: receiver.got, process, "the notice")
