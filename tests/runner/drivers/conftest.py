"""One target of each driver: a folder, this machine over a private sshd, a container of a private
LXD.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bus.runner.drivers.base import Driver, Ended, Run
from bus.runner.drivers.local import LocalDriver
from bus.runner.drivers.lxc import LxcDriver
from bus.runner.drivers.ssh import SshDriver
from bus.runner.drivers.table import Machine
from tests.client.http.test_ssh import Sshd
from tests.conftest import ROOT

SCRIPT = str(ROOT / "scripts" / "lxd-for-tests")


@dataclass
class Place:
    """A target, and a folder in it that is empty at first."""

    driver: Driver
    target: str
    folder: str
    brief_s: float  # long enough to start a few programs there

    def run(self, *argv: str, cancel: Any = None, on_output: Any = None, **fields: Any) -> Ended:
        run = Run(argv, fields.pop("marker", secrets.token_hex(16)), **fields)
        return self.driver.exec(self.target, run, on_output, cancel)

    def sh(self, script: str, *arguments: str, **fields: Any) -> str:
        """What a script says in the folder; it must succeed."""
        ended = self.run(
            "sh", "-c", f'cd "$0" && {{ {script}\n}}', self.inner, *arguments, **fields
        )
        assert ended.exit_code == 0, ended
        return ended.stdout.data.decode()

    @property
    def inner(self) -> str:
        """The folder as programs see it: those of a folder that plays a container see the whole
        machine.
        """
        if isinstance(self.driver, LocalDriver):
            return str(self.driver._root(self.target)) + self.folder
        return self.folder


def alive(words: str) -> list[str]:
    """The processes of this machine, those in its containers included, that have these words among
    their arguments.
    """
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (
                    (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                )
            except OSError:
                continue
            if words in line:
                found.append(f"{entry.name} {line}")
    return found


MIB = 1 << 20


@pytest.fixture(scope="session")
def lxd() -> Iterator[dict[str, str]]:
    """The environment of clients of a private LXD that has the containers one and two."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("lxd", "lxc", "busybox"))):
        assert os.environ.get("CI") != "true", "CI has to have root, lxd, lxc and busybox"
        pytest.skip("needs root, lxd, lxc and busybox-static")
    folder = tempfile.mkdtemp(
        prefix="lx", dir="/tmp"
    )  # a short one: the paths of its sockets have a limit
    try:
        subprocess.run(
            [SCRIPT, "start", folder, "one", "two"],
            check=True,
            timeout=180,
            stdout=subprocess.DEVNULL,
        )
        yield {"LXD_DIR": f"{folder}/lxd", "LXD_CONF": f"{folder}/client"}
    finally:
        subprocess.run([SCRIPT, "stop", folder], check=True, timeout=180, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A private sshd that lets this user in."""
    folder = tmp_path_factory.mktemp("sshd")
    server = Sshd(folder, folder)
    yield server
    server.process.terminate()
    server.process.wait(10)


@pytest.fixture
def local(tmp_path: Path) -> Place:
    driver = LocalDriver({"scratch": tmp_path / "scratch"}, file_timeout_s=10)
    return Place(driver, "scratch", "", 0.3)


@pytest.fixture
def ssh(sshd: Sshd, tmp_path: Path) -> Place:
    driver = SshDriver({"near": Machine("hubhost", config=sshd.config)}, file_timeout_s=10)
    return Place(driver, "near", str(tmp_path), 1.5)


@pytest.fixture
def lxc(lxd: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    for name, value in lxd.items():
        monkeypatch.setenv(name, value)
    place = Place(LxcDriver(file_timeout_s=10), "one", f"/tmp/{secrets.token_hex(4)}", 1.5)
    place.driver.start("one")
    assert place.run("mkdir", place.folder).exit_code == 0
    yield place
    place.target = "one"
    place.run("rm", "-rf", place.folder)  # a sparse file of 1 TB would be read by the next snapshot


def places(*names: str) -> Any:
    """A fixture with one test for each of these drivers; real ones are slow, and there is one LXD
    for all tests.
    """
    marks = {"ssh": [pytest.mark.slow], "lxc": [pytest.mark.slow, pytest.mark.xdist_group("lxd")]}
    return [pytest.param(name, marks=marks.get(name, [])) for name in names]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests that ask for the LXD by name with those that have it as one of several
    targets.
    """
    for item in items:
        if "lxd" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("lxd"))


@pytest.fixture(params=places("local", "ssh", "lxc"))
def place(request: pytest.FixtureRequest) -> Place:
    """Every driver's target, one after the other."""
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


@pytest.fixture(params=places("local", "ssh"))
def with_flock(request: pytest.FixtureRequest) -> Place:
    """A target that has the program flock, which this busybox has not."""
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


@pytest.fixture(params=places("local", "lxc"))
def container(request: pytest.FixtureRequest) -> Place:
    """A target that has states and snapshots."""
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


@pytest.fixture
def fake_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[list[str]]]:
    """An `lxc` (and `incus`, `ssh`) first on the PATH that answers lists with one and two; gives
    what each was called with, but for what it was asked of the state of things.
    """
    folder, calls = tmp_path / "bin", tmp_path / "calls"
    folder.mkdir()
    calls.mkdir()
    for name in ("lxc", "incus", "ssh"):
        (folder / name).write_text(
            f'#!/bin/sh\nn=$(mktemp {calls}/$(date +%s%N)-XXXXXX)\nprintf "%s\\0" "${{0##*/}}" "$@"'
            ' >"$n"\n'
            f"[ -e {tmp_path}/away ] && {{ echo 'Error: Get http://unix.socket/1.0: dial unix: no"
            " such file' >&2; exit 1; }\n"
            f"case $2 in */snapshots*) cat {tmp_path}/snapshots.json ;; */operations*) ;;\n"
            f'/1.0/*) echo \'{{"status":"Running"}}\' ;; esac\n'
            f"case $1 in list) cat {tmp_path}/list.json ;; exec) cat {tmp_path}/said >&2; exit 1 ;;"
            " esac\n"
            f"[ -e {tmp_path}/leaves-after-$1 ] && touch {tmp_path}/away\n"
            f"[ ! -e {tmp_path}/said-to-$1 ] || {{ cat {tmp_path}/said-to-$1 >&2; exit 1; }}\n"
        )
        (folder / name).chmod(0o755)
    entry = '{"name":"%s","status":"Running","type":"container","state":null,"snapshots":null}'
    (tmp_path / "list.json").write_text(
        "[" + ",".join(entry % name for name in ("one", "two")) + "]"
    )
    (tmp_path / "snapshots.json").write_text(
        '[{"name":"s","created_at":"2026-11-26T01:05:35.725430365Z"}]'
    )
    (tmp_path / "said").write_text("Error: Instance not found\n")
    monkeypatch.setattr("bus.runner.drivers.lxc.PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setattr("bus.runner.drivers.ssh.PATH", f"{folder}:/usr/bin:/bin")
    told = lambda: [call.read_bytes().decode().split("\0")[:-1] for call in sorted(calls.iterdir())]  # noqa: E731
    return lambda: [call for call in told() if call[1] != "query"]


def freeze(place: Place) -> None:
    """As an operator does by hand."""
    if isinstance(place.driver, LocalDriver):
        place.driver._beside(place.target).mkdir(exist_ok=True)
        (place.driver._beside(place.target) / "frozen").touch()
    else:
        subprocess.run(["lxc", "pause", place.target], check=True)
