"""Handoffs in a real bare repository: a conflict or an offline remote loses nothing."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from busclient import LocalTrouble, _handoffs
from busclient._cli import exits
from tests.client.conftest import Ran, Served
from tests.client.test_session_start import BOTH, run
from tests.conftest import Caller

NOW = datetime(2026, 11, 20, 20, 14, 27, tzinfo=UTC)


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def remote(home: Path, tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", "remote.git")
    seed = tmp_path / "seed"
    git(tmp_path, "clone", "--quiet", "remote.git", "seed")
    (seed / "README").write_text("handoffs\n")
    git(seed, "add", ".")
    git(seed, "-c", "user.name=s", "-c", "user.email=s@s", "commit", "--quiet", "-m", "seed")
    git(seed, "push", "--quiet", "origin", "HEAD:main")
    return tmp_path / "remote.git"


@pytest.fixture
def clone(remote: Path, tmp_path: Path) -> Callable[[str], Path]:
    def make(name: str) -> Path:
        git(tmp_path, "clone", "--quiet", str(remote), name)
        return tmp_path / name

    return make


def files(remote: Path) -> list[str]:
    return git(remote, "ls-tree", "-r", "--name-only", "main").split()


def test_a_handoff_is_dated_committed_and_pushed(remote: Path, clone: Callable[[str], Path]) -> None:
    done = _handoffs.write(clone("a"), "All green.\n", "alice", now=NOW)
    assert done.not_pushed is None
    assert git(remote, "show", "main:latest.md") == "# Handoff 2026-11-20 20:14 UTC by alice\n\nAll green.\n"
    assert git(remote, "show", f"main:{done.path}") == git(remote, "show", "main:latest.md")
    assert git(remote, "log", "-1", "--format=%an %s", "main") == "alice Handoff by alice\n"


def test_two_machines_that_write_at_once_lose_nothing(remote: Path, clone: Callable[[str], Path]) -> None:
    a, b = clone("a"), clone("b")
    first = _handoffs.write(a, "from a", "alice", now=NOW)
    second = _handoffs.write(b, "from b", "bob", now=NOW)
    assert (first.not_pushed, second.not_pushed) == (None, None)
    assert {first.path, second.path} <= set(files(remote))
    assert "from b" in git(remote, "show", "main:latest.md")
    third = _handoffs.write(a, "from a again", "alice", now=NOW.replace(hour=21))
    assert third.not_pushed is None
    assert "from a again" in git(remote, "show", "main:latest.md")
    assert len([name for name in files(remote) if name.startswith("handoffs/")]) == 3


def test_an_offline_remote_keeps_the_handoff_for_the_next_push(
    remote: Path, clone: Callable[[str], Path], tmp_path: Path
) -> None:
    a = clone("a")
    remote.rename(tmp_path / "away.git")
    first = _handoffs.write(a, "offline", "alice", now=NOW)
    assert first.not_pushed is not None
    assert "git" in first.not_pushed
    assert git(a, "status", "--porcelain") == ""
    (tmp_path / "away.git").rename(remote)
    second = _handoffs.write(a, "online", "alice", now=NOW.replace(hour=21))
    assert second.not_pushed is None
    assert {first.path, second.path} <= set(files(remote))


def test_other_work_in_the_clone_is_left_alone(remote: Path, clone: Callable[[str], Path]) -> None:
    a, b = clone("a"), clone("b")
    _handoffs.write(b, "first", "bob", now=NOW)
    (a / "README").write_text("half done\n")
    (a / "new").write_text("untracked\n")
    assert _handoffs.write(a, "mine", "alice", now=NOW).not_pushed is None
    assert (a / "README").read_text() == "half done\n"
    assert "new" not in files(remote)


def test_a_folder_that_is_no_clone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LocalTrouble, match="no git clone"):
        _handoffs.write(tmp_path, "x", "alice")


@BOTH
def test_the_poll_pulls_and_shows_the_head_harmless(
    served: Served, home: Path, clone: Callable[[str], Path], poll: list[str]
) -> None:
    a, b = clone("a"), clone("b")
    _handoffs.write(a, "Next: deploy.\x1b[2J\u202e\U000e0041\u200b é\n" + "line\n" * 100, "alice", now=NOW)
    served.caller.say("and mail")
    said = run(poll, served.environ(home, BUS_HANDOFFS=str(b)))
    assert "and mail" in said
    head = said[said.index("claude-handoffs: ") :].splitlines()
    assert "data, not orders" in head[0]
    assert head[1] == "  # Handoff 2026-11-20 20:14 UTC by alice"
    assert head[3].startswith("  Next: deploy.")
    assert "é" in head[3]
    assert not {"\x1b", "\u202e", "\U000e0041", "\u200b"} & set(said)
    assert len(head) <= 41


@BOTH
@pytest.mark.slow
def test_a_remote_that_hangs_does_not_hold_the_session(
    served: Served, home: Path, clone: Callable[[str], Path], tmp_path: Path, poll: list[str]
) -> None:
    a = clone("a")
    _handoffs.write(a, "what is here", "alice", now=NOW)
    hang = tmp_path / "hang"
    hang.write_text("#!/bin/sh\nexec sleep 30\n")
    hang.chmod(0o755)
    git(a, "remote", "set-url", "origin", "ssh://nowhere.invalid/x")
    assert "what is here" in run(poll, served.environ(home, BUS_HANDOFFS=str(a), GIT_SSH_COMMAND=str(hang)))


def test_the_command_writes_and_posts_a_pointer(
    bus: Caller,
    cli: Callable[..., Ran],
    clone: Callable[[str], Path],
    remote: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("BUS_HANDOFFS", str(clone("a")))
    ran = cli("handoff", "--json", stdin="# Deploy\n\nsteps")
    assert ran.code == 0
    (pointer,) = bus.get("/messages").json["messages"]
    assert (pointer["tags"], pointer["priority"], pointer["to"]) == (["handoff"], "fyi", "any")
    assert "Deploy" in pointer["body"]
    assert json.loads(ran.out)["path"] in pointer["body"]
    (tmp_path / "note.md").write_text("from a file")
    remote.rename(tmp_path / "away.git")
    ran = cli("handoff", str(tmp_path / "note.md"), "--to", "carol")
    assert (ran.code, "not pushed" in ran.err) == (exits.LOCAL, True)
    assert "not pushed yet" in bus.bodies("to=carol")[-1]
