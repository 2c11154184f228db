"""The shipped unit: systemd finds no fault in it, it gives little away, and the hub lives within
what it leaves.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from .harness import ROOT, TOKEN, USER, basic, credential_line, running, told_by, tool

pytestmark = pytest.mark.slow

UNIT = ROOT / "systemd" / "claude-bus.service"
SANDBOX = Path(__file__).with_name("sandbox.py")
EXPOSURE_TIMES_TEN = 5  # the threshold that the unit names in its first lines


def test_systemd_finds_no_fault(tmp_path: Path) -> None:
    # Only the program's place is exchanged: nothing is installed on this machine.
    unit = tmp_path / UNIT.name
    unit.write_text(
        UNIT.read_text().replace(
            "/opt/claude-bus/.venv/bin/python", os.path.realpath(sys.executable)
        )
    )
    told = told_by([tool("systemd-analyze"), "verify", unit])
    own = [line for line in told.stderr.splitlines() if "claude-bus" in line]
    assert (told.returncode, own) == (0, [])


def test_it_gives_little_away() -> None:
    assert f"--threshold={EXPOSURE_TIMES_TEN} " in UNIT.read_text()
    told = told_by(
        [
            tool("systemd-analyze"),
            "security",
            "--offline=yes",
            f"--threshold={EXPOSURE_TIMES_TEN}",
            UNIT,
        ]
    )
    assert told.returncode == 0, told.stdout[-200:]


def test_every_line_that_is_not_the_default_says_why() -> None:
    """Each key stands below a comment: its own, or that of the keys right above it."""
    explained = False
    for line in UNIT.read_text().splitlines():
        if line.startswith("#"):
            explained = True
        elif line in ("", "[Unit]", "[Service]", "[Install]"):
            explained = False
        elif "=" in line and line.partition("=")[0] not in PLAIN:
            assert explained, line


# Keys that say what every unit says.
PLAIN = {
    "Description",
    "Documentation",
    "User",
    "Group",
    "WorkingDirectory",
    "ExecStart",
    "ExecReload",
    "Environment",
} | {"WantedBy"}


@pytest.mark.parametrize(
    "attempt",
    [
        "import mmap; mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)",
        "import socket; socket.socket(socket.AF_INET)",
        "import ctypes; assert ctypes.CDLL(None).mount(0, b'/tmp', b'tmpfs', 0, 0) == 0",
        "import os; os.chroot('/tmp')",
    ],
)
def test_what_the_unit_forbids_fails_in_the_sandbox_of_these_tests(attempt: str) -> None:
    tool("systemd-analyze")
    confined = [sys.executable, SANDBOX, UNIT, sys.executable, "-c"]
    held = told_by([*confined, attempt])
    works = told_by([*confined, "print('works')"])
    assert works.stdout == "works\n", works.stderr
    assert held.returncode == 1, held.stderr
    assert "Error" in held.stderr.splitlines()[-1]


@dataclass
class Unit:
    """The hub as the unit starts it, in the sandbox, with its folders in a scratch folder."""

    process: subprocess.Popen[bytes]
    socket: Path

    def request(self, method: str, path: str, body: str | None = None) -> HTTPConnection:
        """Send a request; the answer is still to come.

        A connection of its own: a stop waits for idle ones.
        """
        connection = HTTPConnection("hub")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(20)
        connection.sock.connect(str(self.socket))
        headers = {**basic(USER, TOKEN), "Content-Type": "application/json", "Connection": "close"}
        connection.request(method, path, body, headers)
        return connection

    def ask(self, method: str, path: str, body: str | None = None) -> tuple[int, dict[str, Any]]:
        """A request and its answer: status and JSON."""
        with closing(self.request(method, path, body)) as connection:
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())


@pytest.fixture
def notified(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket on which a service tells systemd how it is."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        channel.settimeout(30)
        yield channel


@pytest.fixture
def unit(tmp_path: Path, notified: socket.socket) -> Iterator[Unit]:
    tool("systemd-analyze")
    (tmp_path / "credentials").write_text(credential_line(USER, TOKEN))
    environ = {
        **os.environ,
        "BUS_DATA_DIR": str(tmp_path / "data"),
        "BUS_LISTEN": f"unix:{tmp_path}/hub.sock",
    }
    environ |= {
        "BUS_CREDENTIALS": str(tmp_path / "credentials"),
        "NOTIFY_SOCKET": str(tmp_path / "notify"),
    }
    command = [sys.executable, str(SANDBOX), str(UNIT), sys.executable, "-m", "bus", "serve"]
    with running(command, tmp_path / "hub.log", cwd=ROOT, env=environ, umask=0o077) as process:
        yield Unit(process, tmp_path / "hub.sock")


def test_the_hub_works_under_the_rules_of_the_unit(unit: Unit, notified: socket.socket) -> None:
    assert b"READY=1" in notified.recv(4096), (
        "Type=notify: gunicorn's master must be the main process"
    )
    status, message = unit.ask(
        "POST", "/post", json.dumps({"from": "unit", "body": "within the rules"})
    )
    assert status == 201, message
    found = unit.ask("GET", "/messages?limit=5")[1]["messages"]
    assert message["id"] in [one["id"] for one in found]
    assert unit.ask("GET", "/search?q=rules")[0] == 200
    # ExecReload: the same process goes on.
    unit.process.send_signal(signal.SIGHUP)
    assert unit.ask("GET", "/health")[0] == 200
    assert unit.process.poll() is None


def test_a_stop_does_not_wait_for_the_long_polls(unit: Unit, notified: socket.socket) -> None:
    assert b"READY=1" in notified.recv(4096)
    message = unit.ask("POST", "/post", json.dumps({"from": "unit", "body": "the last one"}))[1]
    with closing(unit.request("GET", f"/messages?since={message['id']}&wait=60")) as poll:
        # Connections are taken in order: once a later one is answered, the poll is with the hub.
        assert unit.ask("GET", "/health")[0] == 200
        unit.process.terminate()
        assert unit.process.wait(timeout=20) == 0
        answer = poll.getresponse()
        assert (answer.status, json.loads(answer.read())["messages"]) == (200, [])


def test_the_socket_can_be_opened_by_the_folders_group(unit: Unit, notified: socket.socket) -> None:
    """nginx comes in through the group of the folder (0750); the socket itself must not keep it
    out.
    """
    assert b"READY=1" in notified.recv(4096)
    assert unit.ask("GET", "/health")[0] == 200
    assert unit.socket.stat().st_mode & 0o060 == 0o060
