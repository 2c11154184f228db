"""Handoffs in a real bare repository: a conflict or an offline remote loses nothing."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from busclient import LocalTrouble, Settings
from busclient._cli import exits
from busclient._files import as_file_name
from busclient._handoffs import handoffs
from busclient._places import place_of
from tests.client.conftest import Ran, Served
from tests.client.test_session_start import BOTH, run
from tests.conftest import Caller, wait_until

NOW = datetime(2026, 11, 20, 20, 14, 27, tzinfo=UTC)


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True
    ).stdout


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


def test_a_handoff_is_dated_committed_and_pushed(
    remote: Path, clone: Callable[[str], Path]
) -> None:
    done = handoffs.write(clone("a"), "All green.\n", "alice", now=NOW)
    assert done.not_pushed is None
    assert (
        git(remote, "show", "main:latest.md")
        == "# Handoff 2026-11-20 20:14 UTC by alice\n\nAll green.\n"
    )
    assert git(remote, "show", f"main:{done.path}") == git(remote, "show", "main:latest.md")
    assert git(remote, "log", "-1", "--format=%an %s", "main") == "alice Handoff by alice\n"


def test_two_machines_that_write_at_once_lose_nothing(
    remote: Path, clone: Callable[[str], Path]
) -> None:
    a, b = clone("a"), clone("b")
    first = handoffs.write(a, "from a", "alice", now=NOW)
    second = handoffs.write(b, "from b", "bob", now=NOW)
    assert (first.not_pushed, second.not_pushed) == (None, None)
    assert {first.path, second.path} <= set(files(remote))
    assert "from b" in git(remote, "show", "main:latest.md")
    third = handoffs.write(a, "from a again", "alice", now=NOW.replace(hour=21))
    assert third.not_pushed is None
    assert "from a again" in git(remote, "show", "main:latest.md")
    assert len([name for name in files(remote) if name.startswith("handoffs/")]) == 3


def test_an_offline_remote_keeps_the_handoff_for_the_next_push(
    remote: Path, clone: Callable[[str], Path], tmp_path: Path
) -> None:
    a = clone("a")
    remote.rename(tmp_path / "away.git")
    first = handoffs.write(a, "offline", "alice", now=NOW)
    assert first.not_pushed is not None
    assert "git" in first.not_pushed
    assert git(a, "status", "--porcelain") == ""
    (tmp_path / "away.git").rename(remote)
    second = handoffs.write(a, "online", "alice", now=NOW.replace(hour=21))
    assert second.not_pushed is None
    assert {first.path, second.path} <= set(files(remote))


def test_other_work_in_the_clone_is_left_alone(remote: Path, clone: Callable[[str], Path]) -> None:
    a, b = clone("a"), clone("b")
    handoffs.write(b, "first", "bob", now=NOW)
    (a / "README").write_text("half done\n")
    (a / "new").write_text("untracked\n")
    assert handoffs.write(a, "mine", "alice", now=NOW).not_pushed is None
    assert (a / "README").read_text() == "half done\n"
    assert "new" not in files(remote)


def test_a_folder_that_is_no_clone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LocalTrouble, match="no git clone"):
        handoffs.write(tmp_path, "x", "alice")


@BOTH
def test_the_poll_pulls_and_shows_the_head_harmless(
    served: Served, home: Path, clone: Callable[[str], Path], poll: list[str]
) -> None:
    a, b = clone("a"), clone("b")
    handoffs.write(
        a, "Next: deploy.\x1b[2J\u202e\U000e0041\u200b é\n" + "line\n" * 100, "alice", now=NOW
    )
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
    handoffs.write(a, "what is here", "alice", now=NOW)
    hang = tmp_path / "hang"
    hang.write_text("#!/bin/sh\nexec sleep 30\n")
    hang.chmod(0o755)
    git(a, "remote", "set-url", "origin", "ssh://nowhere.invalid/x")
    assert "what is here" in run(
        poll, served.environ(home, BUS_HANDOFFS=str(a), GIT_SSH_COMMAND=str(hang))
    )


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


@pytest.fixture
def in_a_hook(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, dict[str, str]]:
    """A repository of the user's own with staged work, and the variables that one of its hooks has
    (they are set here).
    """
    own = tmp_path / "own"
    git(tmp_path, "init", "--quiet", "--initial-branch=main", "own")
    git(
        own,
        "-c",
        "user.name=u",
        "-c",
        "user.email=u@u",
        "commit",
        "--quiet",
        "--allow-empty",
        "-m",
        "own",
    )
    (own / "work").write_text("staged\n")
    git(own, "add", "work")
    variables = {
        "GIT_DIR": str(own / ".git"),
        "GIT_INDEX_FILE": str(own / ".git" / "index"),
        "GIT_WORK_TREE": str(own),
        "GIT_PREFIX": "",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return own, variables


def unhooked(folder: Path, *arguments: str) -> str:
    """What git says of a folder, whatever hook we are in."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return subprocess.run(
        ["git", "-C", str(folder), *arguments],
        check=True,
        capture_output=True,
        text=True,
        env=environ,
    ).stdout


def test_in_a_hook_of_another_repository_a_handoff_goes_into_the_clone(
    remote: Path, clone: Callable[[str], Path], request: pytest.FixtureRequest
) -> None:
    a = clone("a")
    own, _ = request.getfixturevalue("in_a_hook")
    done = handoffs.write(a, "from a hook", "alice", now=NOW)
    assert done.not_pushed is None
    assert done.path in unhooked(remote, "ls-tree", "-r", "--name-only", "main").split()
    assert unhooked(own, "log", "--format=%s") == "own\n"
    assert unhooked(own, "status", "--porcelain") == "A  work\n"


@BOTH
def test_in_a_hook_of_another_repository_the_poll_pulls_the_clone(
    served: Served,
    home: Path,
    remote: Path,
    clone: Callable[[str], Path],
    poll: list[str],
    request: pytest.FixtureRequest,
) -> None:
    a, b = clone("a"), clone("b")
    handoffs.write(a, "from a", "alice", now=NOW)
    own, variables = request.getfixturevalue("in_a_hook")
    unhooked(own, "fetch", "--quiet", str(remote), "main:theirs")
    unhooked(own, "remote", "add", "origin", str(remote))
    assert "from a" in run(poll, served.environ(home, BUS_HANDOFFS=str(b), **variables))
    assert unhooked(own, "log", "--format=%s") == "own\n"


def test_hooks_for_all_repositories_are_not_run(
    home: Path, remote: Path, clone: Callable[[str], Path], tmp_path: Path
) -> None:
    a, hooks = clone("a"), tmp_path / "hooks"
    hooks.mkdir()
    for name in ("prepare-commit-msg", "post-commit", "pre-push"):
        (hooks / name).write_text(f"#!/bin/sh\necho {name} >> {tmp_path}/ran\n")
        (hooks / name).chmod(0o755)
    git(a, "config", "--global", "core.hooksPath", str(hooks))
    assert handoffs.write(a, "x", "alice", now=NOW).not_pushed is None
    assert not (tmp_path / "ran").exists()


@BOTH
def test_a_folder_inside_another_repository_is_no_clone(
    served: Served, home: Path, remote: Path, clone: Callable[[str], Path], poll: list[str]
) -> None:
    a, b = clone("a"), clone("b")
    handoffs.write(a, "from a", "alice", now=NOW)
    (b / "notes").mkdir()
    (b / "notes" / ".git").mkdir()  # and a broken one does not make it one
    run(poll, served.environ(home, BUS_HANDOFFS=str(b / "notes")))
    assert git(b, "log", "--format=%s") == "seed\n"
    with pytest.raises(LocalTrouble, match="git"):
        handoffs.write(b / "notes", "x", "alice", now=NOW)
    assert git(b, "status", "--porcelain", "--untracked-files=no") == ""


@BOTH
@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_what_is_no_plain_file_of_the_clone_is_not_shown(
    served: Served, home: Path, clone: Callable[[str], Path], poll: list[str], kind: str
) -> None:
    a = clone("a")
    secret = home / "claude-bus.env"
    secret.write_text("BUS_PASS=hunter2\n")
    latest = a / "latest.md"
    {
        "link": lambda: latest.symlink_to(secret),
        "fifo": lambda: os.mkfifo(latest),
        "folder": latest.mkdir,
    }[kind]()
    assert run(poll, served.environ(home, BUS_HANDOFFS=str(a))) == ""


def test_links_that_somebody_pushed_are_not_written_through(
    remote: Path, clone: Callable[[str], Path], tmp_path: Path
) -> None:
    a, b, outside = clone("a"), clone("b"), tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("mine\n")
    (b / "latest.md").symlink_to(outside / "secret")
    (b / "handoffs").symlink_to(outside)
    git(b, "add", ".")
    git(b, "-c", "user.name=b", "-c", "user.email=b@b", "commit", "--quiet", "-m", "links")
    git(b, "push", "--quiet", "origin", "HEAD:main")
    assert handoffs.pull(a, 10)
    assert handoffs.head(a) == ""
    done = handoffs.write(a, "from a", "alice", now=NOW)
    assert done.not_pushed is None
    assert (outside / "secret").read_text() == "mine\n"
    assert [path.name for path in outside.iterdir()] == ["secret"]
    assert "from a" in git(remote, "show", "main:latest.md")
    assert done.path in files(remote)


@BOTH
def test_a_repository_that_is_not_cloned_yet_is_cloned(
    served: Served, home: Path, remote: Path, clone: Callable[[str], Path], poll: list[str]
) -> None:
    handoffs.write(clone("a"), "from a", "alice", now=NOW)
    url = f"file://u:secret@{remote}"
    environ = served.environ(home, BUS_HANDOFFS=url)
    said = run(poll, environ)
    assert "is being cloned" in said
    assert "secret" not in said
    folder = Settings.find(environ).handoffs
    assert folder is not None
    wait_until(folder.is_dir)
    assert "from a" in run(poll, environ)
    assert "secret" not in str(folder)


def test_a_handoff_clones_first_and_says_why_when_it_cannot(
    cli: Callable[..., Ran], remote: Path, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setenv("BUS_HANDOFFS", f"file://{remote}")
    assert cli("handoff", stdin="x").code == exits.OK
    assert "latest.md" in files(remote)
    monkeypatch.setenv("BUS_HANDOFFS", "file:///nowhere/at/all")
    ran = cli("handoff", stdin="x")
    assert ran.code == exits.LOCAL
    assert "could not be cloned" in ran.err
    assert list((home / ".local/share/claude-bus/handoffs").glob(".*")) == []


def test_github_repositories_are_cloned_with_gh(
    cli: Callable[..., Ran], remote: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    gh = tools / "gh"
    gh.write_text(
        f'#!/bin/sh\n[ "$1 $2 $3" = "repo clone acme/handoffs" ] && exec git clone --quiet {remote}'
        ' "$4"\n'
    )
    gh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setenv("BUS_HANDOFFS", "acme/handoffs")
    assert cli("handoff", stdin="x").code == exits.OK


@pytest.mark.parametrize(
    ("setting", "source"),
    [
        ("acme/handoffs", "acme/handoffs"),
        ("git@github.com:acme/handoffs.git", "git@github.com:acme/handoffs.git"),
        ("https://x:y@host/a/b.git", "https://x:y@host/a/b.git"),
        ("~/handoffs", None),
        ("/srv/handoffs", None),
        ("handoffs", None),
        ("a/b/c", None),
        ("C:\\handoffs", None),
    ],
)
def test_what_bus_handoffs_may_be(setting: str, source: str | None, tmp_path: Path) -> None:
    assert place_of(setting, tmp_path)[1] == source


def test_file_names_tell_texts_apart() -> None:
    texts = ["web/1", "web_1", "web%2F1", "web.1", "wéb/1", "web\n1"]
    assert len({as_file_name(text) for text in texts}) == len(texts)
    assert as_file_name("web/1") == "web%2F1"
