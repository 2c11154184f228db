"""`scripts/run`: the hub with the service that runs commands beside it, and that none of both
outlives the other's end.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from dotenv import dotenv_values

from bus.system.sockets import address_of
from tests.conftest import ROOT, free_port, wait_until

pytestmark = pytest.mark.slow


class Both:
    """What `scripts/run` started, on a data folder with one target, the folder `box`."""

    def __init__(self, folder: Path, venv: Path, **settings: str) -> None:
        self.data, self.output = folder / "data", folder / "output"
        (folder / "box").mkdir(parents=True)
        self.data.mkdir()
        (self.data / "targets.toml").write_text(
            f'[box]\ndriver = "local"\nfolder = "{folder / "box"}"\n'
        )
        self.url = f"http://127.0.0.1:{free_port()}"
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("BUS_")},
            "CLAUDE_BUS_VENV": str(venv),
            "PYTHON": sys.executable,
            "BUS_DATA_DIR": str(self.data),
            "BUS_LISTEN": self.url.removeprefix("http://"),
            "BUS_FSYNC": "never",
            **settings,
        }
        with self.output.open("wb") as output:
            # A session of its own, so that a Ctrl-C can be given to all of it, as a terminal does.
            self.hub = subprocess.Popen(
                [ROOT / "scripts" / "run"],
                env=self.environ,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.service = 0

    def wait(self) -> None:
        wait_until(lambda: self.hub.poll() is not None or (self.answers() and self.is_served()))
        assert self.hub.poll() is None, self.output.read_text()
        # One that starts the service again when it dies, and the service, its child.
        services = [pid for pid in self.members() if b"exec-service" in command_line(pid)]
        (self.service,) = [pid for pid in services if parent(pid) not in services]

    def answers(self) -> bool:
        try:
            return (
                requests.get(f"{self.url}/health", timeout=5).status_code == 401
            )  # without a credential
        except requests.ConnectionError:
            return False

    def is_served(self) -> bool:
        """Whether somebody takes requests at the service's socket."""
        with (
            socket.socket(socket.AF_UNIX) as probe,
            address_of(self.data / "run" / "exec.sock") as address,
        ):
            return probe.connect_ex(address) == 0

    def members(self) -> list[int]:
        """The processes of this session that live."""
        listed = subprocess.run(
            ["ps", "-o", "pid=,stat=", "-s", str(self.hub.pid)],
            capture_output=True,
            text=True,
            check=False,
        )
        rows = [line.split() for line in listed.stdout.splitlines()]
        return [int(pid) for pid, state in rows if not state.startswith("Z")]

    def exec(self, command: str) -> Any:
        admin = dotenv_values(self.data / "admin.env")
        auth = (str(admin["BUS_USER"]), str(admin["BUS_PASS"]))
        permission = {"source": admin["BUS_USER"], "target": "box", "allow": True}
        requests.post(
            f"{self.url}/api/permit", json=permission, auth=auth, timeout=30
        ).raise_for_status()
        return requests.post(
            f"{self.url}/api/exec",
            json={"target": "box", "command": command},
            auth=auth,
            timeout=30,
        ).json()

    def kill(self) -> None:
        for pid in self.members():
            os.kill(pid, signal.SIGKILL)
        self.hub.wait()


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def command_line(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Both]]:
    """Run the script: `run("name")`.

    Its virtual environment is that of these tests, so nothing is installed.
    """
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (venv / "bin" / "python").chmod(0o755)
    shutil.copy(ROOT / "requirements.txt", venv / ".installed-requirements.txt")
    shutil.copy(ROOT / "pyproject.toml", venv / ".installed-client")
    started: list[Both] = []

    def start(name: str, **settings: str) -> Both:
        started.append(Both(tmp_path / name, venv, **settings))
        started[-1].wait()
        return started[-1]

    yield start
    for both in started:
        both.kill()


@pytest.mark.parametrize(
    "how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=["ctrl-c", "term", "kill -9"]
)
def test_the_service_works_beside_the_hub_and_ends_with_it(
    run: Callable[..., Both], how: signal.Signals
) -> None:
    both = run("one")
    assert both.exec("echo beside")["stdout"] == "beside\n"
    if how is signal.SIGINT:
        os.killpg(both.hub.pid, how)
    else:
        both.hub.send_signal(how)
    both.hub.wait(40)
    wait_until(lambda: not both.members())
    assert not both.is_served()
    assert "Traceback" not in both.output.read_text(), both.output.read_text()


def test_the_lines_that_it_prints_work_when_pasted_again_and_again(
    run: Callable[..., Both],
) -> None:
    both = run("one")
    printed = both.output.read_text()
    lines = "  (" + printed.partition("\n  (")[2].partition("\n  )")[0] + "\n  )"
    for _ in range(2):
        pasted = subprocess.run(
            ["bash", "-euc", f"{lines}\nenv"], env=both.environ, capture_output=True, text=True,
            timeout=60, check=True,
        ).stdout  # fmt: skip
        posted = json.loads(next(one for one in pasted.splitlines() if '"id"' in one))
        assert f'"acked":[{posted["seq"]}]' in pasted
        assert "BUS_PASS" not in pasted  # the shell is its own again


def test_the_hub_goes_on_without_the_service(run: Callable[..., Both]) -> None:
    both = run("one", BUS_LXC="none")
    os.kill(both.service, signal.SIGTERM)
    wait_until(lambda: both.service not in both.members())
    answer = both.exec("echo alone")
    assert answer["error"] == "exec_unavailable", answer
    assert both.answers()
    assert "Worker (pid" not in both.output.read_text()


def test_two_with_folders_of_their_own_are_strangers(run: Callable[..., Both]) -> None:
    one, two = run("one"), run("two")
    os.kill(one.hub.pid, signal.SIGKILL)
    wait_until(lambda: not one.members())
    assert two.exec("echo still here")["stdout"] == "still here\n"


def test_a_second_service_for_one_folder_says_so_and_ends(run: Callable[..., Both]) -> None:
    both = run("one")
    command = [sys.executable, "-m", "bus", "exec-service"]
    second = subprocess.run(
        command, cwd=ROOT, env=both.environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert second.returncode == 2
    assert second.stderr == f"bus: another service runs commands for {both.data} already\n"
    assert both.exec("echo first")["stdout"] == "first\n"


def test_one_whose_hub_has_gone_before_it_was_up_does_not_stay(
    run: Callable[..., Both], tmp_path: Path
) -> None:
    environ = {**os.environ, "BUS_DATA_DIR": str(tmp_path / "data")}
    command = [sys.executable, "-m", "bus", "exec-service", "--beside", "1"]  # 1 has not started it
    ended = subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert "does not run: 1 has not started it, or has ended" in ended.stderr


def test_a_wrong_table_of_targets_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "targets.toml").write_text('[ser8]\ndriver = "telnet"\n')
    environ = {**os.environ, "BUS_DATA_DIR": str(tmp_path / "data")}
    command = [sys.executable, "-m", "bus", "exec-service"]
    ended = subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 2
    assert (
        ended.stderr
        == f'bus: {tmp_path}/data/targets.toml [ser8] driver: is "ssh", "local" or "none"\n'
    )
