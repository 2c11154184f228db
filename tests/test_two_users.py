"""The data folder with two users in it, as on a server: the hub's, and that of the service that
runs commands.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from bus.system import modes
from tests.conftest import ROOT

HUB, SERVICE, STRANGER = 41711, 41712, 41713  # user ids that this machine need not know
GROUP, OTHER_GROUP = 41710, 41719


class Actor:
    """A process of another user that has the folder open (`two_users_actor`)."""

    def __init__(self, uid: int, gid: int, folder: Path) -> None:
        command = [sys.executable, "-m", "tests.two_users_actor", str(uid), str(gid), str(folder)]
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ask(self, *words: object) -> Any:
        assert (
            self.process.stdin is not None
            and self.process.stdout is not None
            and self.process.stderr is not None
        )
        try:
            self.process.stdin.write(" ".join(map(str, words)) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()[-2000:]
        answer = json.loads(line)
        assert "ok" in answer, answer["error"]
        return answer["ok"]

    def end(self) -> str:
        """End it; gives what it wrote to standard error."""
        return self.process.communicate(timeout=20)[1]

    def close(self) -> None:
        assert self.process.stdout is not None
        if not self.process.stdout.closed:
            self.end()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data folder as scripts/install-server makes it; not below pytest's own, which only root may
    enter.
    """
    if os.geteuid() != 0:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(
            "only root can be two users"
        )
    outer = Path(tempfile.mkdtemp(prefix="two-users-"))
    try:
        outer.chmod(0o755)
        inner = outer / "data"
        inner.mkdir()
        os.chown(inner, HUB, GROUP)
        inner.chmod(modes.SHARED)
        yield inner
    finally:
        shutil.rmtree(outer)


@pytest.fixture
def enter(folder: Path) -> Iterator[Callable[..., Actor]]:
    """Start a process of a user: `enter(HUB)`."""
    with ExitStack() as stack:

        def start(uid: int, gid: int = GROUP) -> Actor:
            actor = Actor(uid, gid, folder)
            stack.callback(actor.close)
            return actor

        yield start


def owners(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_uid for path in folder.rglob("*")}


@pytest.mark.parametrize(
    "first, second", [(HUB, SERVICE), (SERVICE, HUB)], ids=["hub first", "service first"]
)
def test_both_append_seal_and_rebuild_by_turns(
    folder: Path, enter: Callable[..., Actor], first: int, second: int
) -> None:
    one = enter(first)
    one.ask("post", "one", "begin")
    two = enter(second)
    wanted = ["begin"]
    for turn in range(40):
        actor, name = ((one, "one"), (two, "two"))[turn % 2]
        body = f"{turn}-" + "x" * (
            200 + turn * 13
        )  # uneven, so that either finds the file full now and then
        actor.ask("post", name, body)
        wanted.append(body)
        if turn % 10 == 4:
            assert two.ask("rebuild") >= len(wanted)
        if turn % 10 == 9:
            assert one.ask("rebuild") >= len(wanted)
    assert one.ask("read") == two.ask("read") == wanted
    assert one.ask("found") == two.ask("found") == len(wanted)
    assert two.ask("readers") == ["one", "two"]
    sealed = [owner for name, owner in owners(folder).items() if name.startswith("bus-")]
    assert {first, second} == set(sealed), "each must have begun a file that was sealed later"
    # Sealed files are replaced by the one who did not make them.
    assert all(two.ask("compress"))
    assert one.ask("read") == wanted
    assert one.ask("verify")["ok"] and two.ask("verify")["ok"]
    for actor in (one, two):
        assert "denied" not in actor.end()


def test_each_keeps_results_and_removes_those_of_the_other(
    folder: Path, enter: Callable[..., Actor]
) -> None:
    service, hub = enter(SERVICE), enter(HUB)
    assert service.ask("keep", "A") == {"by": SERVICE}
    assert hub.ask("keep", "A") == {"by": HUB}
    assert service.ask("keep", "B") == {"by": SERVICE}
    assert hub.ask("prune") == 2


def test_what_one_left_torn_the_other_heals(folder: Path, enter: Callable[..., Actor]) -> None:
    hub = enter(HUB)
    hub.ask("post", "hub", "whole")
    hub.process.kill()
    with (folder / "bus.jsonl").open("ab") as file:
        file.write(b'{"seq": 2, "torn')
    service = enter(SERVICE)
    service.ask("post", "service", "after")
    again = enter(HUB)
    again.ask("post", "hub", "again")
    assert service.ask("read") == again.ask("read") == ["whole", "after", "again"]
    report = again.ask("verify")
    assert (report["ok"], report["healed_tails"]) == (True, 1)
    assert owners(folder)["quarantine"] == SERVICE


def test_both_at_once_lose_nothing(folder: Path, enter: Callable[..., Actor]) -> None:
    actors = {"hub": enter(HUB), "service": enter(SERVICE)}

    def post(name: str) -> None:
        for number in range(60):
            actors[name].ask("post", name, f"{name}-{number}-" + "x" * 100)

    threads = [threading.Thread(target=post, args=(name,)) for name in actors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    read = actors["hub"].ask("read")
    assert len(read) == 120 and actors["service"].ask("read") == read
    assert actors["service"].ask("verify")["ok"]


def test_files_of_an_old_hub_or_a_backup_are_opened_to_the_group(
    folder: Path, enter: Callable[..., Actor]
) -> None:
    """Before there were two users everything was 0600 or 0644, and so is a backup that was put in
    place.
    """
    enter(HUB).ask("post", "hub", "old")
    for path in folder.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    (folder / "claude-bus.env").write_text("a secret")
    os.chown(folder / "claude-bus.env", HUB, GROUP)
    (folder / "claude-bus.env").chmod(0o600)
    enter(HUB).ask("settle")
    service = enter(SERVICE)
    service.ask("post", "service", "new")
    service.ask("settle")  # cannot change what is the hub's, and need not
    assert service.ask("read") == ["old", "new"]
    assert stat.S_IMODE((folder / "claude-bus.env").stat().st_mode) == 0o600


def test_an_index_that_cannot_be_written_is_made_anew(
    folder: Path, enter: Callable[..., Actor]
) -> None:
    """SQLite would open it for reading and never learn of a right that was taken back."""
    enter(HUB).ask("post", "hub", "first")
    (folder / "index.db").chmod(0o640)
    service = enter(SERVICE)
    service.ask("post", "service", "second")
    assert service.ask("found") == 2
    assert owners(folder)["index.db"] == SERVICE


def test_a_third_user_gets_nowhere(folder: Path, enter: Callable[..., Actor]) -> None:
    enter(HUB).ask("post", "hub", "secret")
    stranger = enter(STRANGER, OTHER_GROUP)
    assert "PermissionError" in stranger.end()


def test_a_folder_that_is_not_shared_is_closed_whatever_the_umask(tmp_path: Path) -> None:
    """The folder of a laptop's user: also one that was there before, open, as in a checkout."""
    for name, mode in {"open": 0o755, "for a team": 0o2775, "closed": 0o700}.items():
        data = tmp_path / name
        data.mkdir()
        data.chmod(mode)
        environ = {**os.environ, "BUS_DATA_DIR": str(data), "BUS_LISTEN": "127.0.0.1:1"}
        subprocess.run(
            [sys.executable, "-m", "bus", "init"],
            cwd=ROOT,
            env=environ,
            check=True,
            umask=0o022,
            capture_output=True,
        )
        assert stat.S_IMODE(data.stat().st_mode) == 0o700
    new = tmp_path / "new" / "data"
    environ = {**os.environ, "BUS_DATA_DIR": str(new), "BUS_LISTEN": "127.0.0.1:1"}
    subprocess.run(
        [sys.executable, "-m", "bus", "init"],
        cwd=ROOT,
        env=environ,
        check=True,
        umask=0o022,
        capture_output=True,
    )
    assert stat.S_IMODE(new.stat().st_mode) == 0o700
