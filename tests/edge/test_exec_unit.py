"""The shipped unit of the service that runs commands: no fault, little given away, and lxc and ssh
work within what it leaves.
"""

from __future__ import annotations

import json
import os
import signal
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from bus import create_hub
from bus.config import Config
from bus.errors import DriverUnavailable
from bus.model.caller import ADMIN, Caller
from bus.model.grants import Grant
from bus.runner.client import RunnerClient
from tests.conftest import free_port

from .harness import ROOT, TOKEN, basic, credential_line, running, told_by, tool, wait_for
from .test_systemd import PLAIN, SANDBOX

pytestmark = pytest.mark.slow

UNIT = ROOT / "systemd" / "claude-bus-exec.service"
EXPOSURE_TIMES_TEN = 12  # the threshold that the unit names in its first lines


def test_systemd_finds_no_fault(tmp_path: Path) -> None:
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
    explained = False
    for line in UNIT.read_text().splitlines():
        if line.startswith("#"):
            explained = True
        elif line in ("", "[Unit]", "[Service]", "[Install]"):
            explained = False
        elif "=" in line and line.partition("=")[0] not in PLAIN | {"Type"}:
            assert explained, line


def test_it_needs_no_group_that_a_machine_may_lack() -> None:
    """systemd does not start a unit with a group that is not there, and LXD need not be."""
    given = [
        line
        for line in UNIT.read_text().splitlines()
        if line.startswith(("SupplementaryGroups=", "Group="))
    ]
    assert given == ["Group=claude-bus"]


def test_what_decides_what_is_run_is_not_where_the_hub_may_write() -> None:
    hub = (ROOT / "systemd" / "claude-bus.service").read_text()
    writable = ["/etc/claude-bus/", "/var/lib/claude-bus/", "/run/claude-bus/"]
    assert "ReadWritePaths=/etc/claude-bus\n" in hub
    for key in (
        "Environment=BUS_TARGETS=",
        "EnvironmentFile=-",
        "Environment=LXD_CONF=",
        "Environment=INCUS_CONF=",
    ):
        (path,) = [
            line.removeprefix(key) for line in UNIT.read_text().splitlines() if line.startswith(key)
        ]
        assert not path.startswith(tuple(writable)), path


class FakeLxd(BaseHTTPRequestHandler):
    """As much of LXD's interface as `lxc list` asks for: one container, `box`."""

    def do_GET(self) -> None:
        box = {
            "name": "box",
            "status": "Running",
            "status_code": 103,
            "type": "container",
            "config": {},
            "snapshots": None,
        }
        server = {
            "api_extensions": ["instances", "projects", "api_filtering", "container_full"],
            "api_status": "stable",
            "api_version": "1.0",
            "auth": "trusted",
        }
        place = self.path.partition("?")[0]
        known: dict[str, Any] = {
            "/1.0": {**server, "environment": {"project": "default"}, "public": False}
        }
        found = known.get(
            place,
            (
                [box]
                if place in ("/1.0/instances", "/1.0/containers")
                else {"name": "default", "config": {}}
            ),
        )
        body = json.dumps(
            {"type": "sync", "status": "Success", "status_code": 200, "metadata": found}
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "lxc"

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving(path: Path) -> Iterator[None]:
    """The fake at a unix socket."""
    with socketserver.ThreadingUnixStreamServer(str(path), FakeLxd) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[RunnerClient, subprocess.Popen[bytes]]]:
    """The service as the unit starts it, in the sandbox, with its folders in a scratch folder."""
    tool("systemd-analyze")
    port = free_port()
    (tmp_path / "credentials").write_text(
        credential_line("root-of-tests", TOKEN).replace("\n", ":admin\n")
    )
    (tmp_path / "targets.toml").write_text(
        f'[away]\ndriver = "ssh"\nhost = "127.0.0.1"\nport = {port}\n'
    )
    (tmp_path / "lxd").mkdir()
    environ = {**os.environ, "HOME": str(tmp_path), "BUS_DATA_DIR": str(tmp_path / "data")}
    environ |= {
        "BUS_CREDENTIALS": str(tmp_path / "credentials"),
        "BUS_TARGETS": str(tmp_path / "targets.toml"),
    }
    environ |= {"BUS_EXEC_SOCKET": str(tmp_path / "exec.sock"), "LXD_DIR": str(tmp_path / "lxd")}
    environ |= {"LXD_CONF": str(tmp_path / "lxc"), "BUS_FSYNC": "never"}
    command = [sys.executable, str(SANDBOX), str(UNIT), sys.executable, "-m", "bus", "exec-service"]
    with (
        serving(tmp_path / "lxd" / "unix.socket"),
        running(command, tmp_path / "service.log", cwd=ROOT, env=environ, umask=0o077) as process,
    ):
        wait_for((tmp_path / "exec.sock").exists, process, f"service, see {tmp_path}/service.log")
        yield RunnerClient(tmp_path / "exec.sock"), process


AUTH = basic("root-of-tests", TOKEN)["Authorization"]


def test_lxc_works_under_the_rules_of_the_unit(
    service: tuple[RunnerClient, subprocess.Popen[bytes]],
) -> None:
    tool("lxc")
    listing = service[0].ask({"op": "targets", "authorization": AUTH})["result"]
    assert listing["unavailable"] == {}
    assert {target["name"]: target["state"] for target in listing["targets"]} == {
        "box": "running",
        "away": "unknown",
    }


def test_ssh_works_under_the_rules_of_the_unit(
    service: tuple[RunnerClient, subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    """As far as a machine that refuses: it was called over the network."""
    tool("ssh")
    config = Config(data_dir=tmp_path / "data", fsync="never")
    hub = create_hub(config)
    permission = Grant.read({"source": "root-of-tests", "target": "away", "allow": True})
    hub.permissions.permit(Caller("root-of-tests", ADMIN), permission)
    hub.index.close()
    hub.log.close()
    with pytest.raises(DriverUnavailable, match="Connection refused"):
        call = {"type": "exec", "fields": {"target": "away", "argv": ["true"]}}
        service[0].ask({"op": "call", "authorization": AUTH, **call})


def test_a_stop_is_quick_and_leaves_no_socket(
    service: tuple[RunnerClient, subprocess.Popen[bytes]],
) -> None:
    client, process = service
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert not client.path.exists()


@pytest.mark.parametrize(
    "attempt",
    [
        "import mmap; mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)",
        "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
        "import socket; socket.socket(40)",
        "import os; os.chown('/tmp', 0, 0)",
    ],
)
def test_what_the_unit_forbids_fails_in_the_sandbox_of_these_tests(attempt: str) -> None:
    tool("systemd-analyze")
    held = told_by([sys.executable, SANDBOX, UNIT, sys.executable, "-c", attempt])
    assert held.returncode == 1, held.stderr
    assert "Error" in held.stderr.splitlines()[-1]
    allowed = (
        "import socket; [socket.socket(family) for family in (socket.AF_UNIX, socket.AF_INET,"
        " socket.AF_INET6)]"
    )
    assert told_by([sys.executable, SANDBOX, UNIT, sys.executable, "-c", allowed]).returncode == 0
