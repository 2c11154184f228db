"""`bus guard` in real git repositories, against a real hub behind a socket."""

from __future__ import annotations

import os
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.client.conftest import Served
from tests.client.repositories import Repo

HOOK = '#!/bin/sh\necho ran >> "$(git rev-parse --git-common-dir)/ran"\n[ ! -e refuse ]\n'


@pytest.fixture
def repo(served: Served, home: Path) -> Repo:
    return Repo.made(home / "app", served.environ(home))


def guard(repo: Repo, action: str, code: int = 0) -> str:
    done = repo.run(sys.executable, "-m", "busclient", "guard", action)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def lease(served: Served, *paths: str, **fields: Any) -> dict[str, Any]:
    given = {"holder": "alice", "repo": "github.com/acme/app", "paths": list(paths), **fields}
    reply = served.caller.post("/leases", json=given)
    assert reply.status_code == 201, reply.json
    found: dict[str, Any] = reply.json["lease"]
    return found


def hook_of(repo: Repo) -> Path:
    return repo.root / ".git" / "hooks" / "pre-commit"


def mail_of(served: Served, name: str) -> list[str]:
    found = served.caller.get(f"/messages?unread_by={name}&tag=guard").json["messages"]
    return [message["body"] for message in found]


def test_a_commit_of_a_leased_file_is_refused_and_says_why(served: Served, repo: Repo) -> None:
    guard(repo, "install")
    held = lease(served, "src/**", reason="the new login")
    repo.write("src/a.py", "changed\n")
    refused = repo.commit()
    assert refused.returncode == 1
    assert f"src/a.py is leased by alice until {held['until']} (the new login)." in refused.stderr
    assert "bus post alice" in refused.stderr
    assert repo.count() == 1
    repo.git("reset", "-q", "--hard")
    repo.write("docs/b.md", "changed\n")
    assert repo.commit().returncode == 0
    served.caller.post(f"/leases/{held['id']}/release")
    repo.write("src/a.py", "changed\n")
    assert repo.commit().returncode == 0


def test_ones_own_and_shared_leases_refuse_nothing(served: Served, repo: Repo) -> None:
    guard(repo, "install")
    lease(served, "src/**", holder="bob")
    lease(served, "docs/**", exclusive=False)
    repo.write("src/a.py", "changed\n")
    repo.write("docs/b.md", "changed\n")
    assert repo.commit().returncode == 0


@pytest.mark.parametrize("how", ["renamed away", "renamed onto", "deleted", "spaces", "bytes"])
def test_both_names_of_a_rename_deleted_files_and_odd_names_count(
    served: Served, repo: Repo, how: str
) -> None:
    guard(repo, "install")
    if how == "renamed away":
        lease(served, "src/a.py")
        repo.git("mv", "src/a.py", "src/c.py")
    elif how == "renamed onto":
        lease(served, "src/c.py")
        repo.git("mv", "src/a.py", "src/c.py")
    elif how == "deleted":
        lease(served, "src/a.py")
        repo.git("rm", "-q", "src/a.py")
    elif how == "spaces":
        lease(served, 'é "ü" x.py')
        repo.write('é "ü" x.py', "x")
    else:
        lease(served, "odd/*")
        (repo.root / "odd").mkdir()
        Path(os.fsdecode(os.fsencode(repo.root) + b"/odd/\xff\n.py")).write_text("x")
    refused = repo.commit()
    assert (refused.returncode, repo.count()) == (1, 1), refused.stderr
    assert "is leased by alice" in refused.stderr


def test_a_hook_that_was_there_runs_first_and_comes_back_byte_for_byte(
    served: Served, repo: Repo
) -> None:
    hook = hook_of(repo)
    hook.write_text(HOOK)
    hook.chmod(0o750)
    assert "behind the hook that was there" in guard(repo, "install")
    assert "was in" in guard(repo, "install")
    assert "runs first" in guard(repo, "status")
    repo.write("docs/b.md", "changed\n")
    assert repo.commit().returncode == 0
    assert (repo.root / ".git" / "ran").read_text() == "ran\n"
    repo.write("refuse", "")
    assert repo.commit().returncode == 1
    assert (repo.root / ".git" / "ran").read_text() == "ran\nran\n"
    guard(repo, "uninstall")
    assert hook.read_text() == HOOK
    assert stat.S_IMODE(hook.stat().st_mode) == 0o750
    assert sorted(path.name for path in hook.parent.glob("pre-commit*")) == [
        "pre-commit",
        *[path.name for path in hook.parent.glob("pre-commit.sample")],
    ]
    assert "was not in" in guard(repo, "uninstall")


def test_a_hook_that_git_would_not_run_is_not_run_and_a_link_stays_one(
    served: Served, repo: Repo, home: Path
) -> None:
    hook = hook_of(repo)
    hook.write_text(HOOK)
    hook.chmod(0o640)
    guard(repo, "install")
    repo.write("docs/b.md", "changed\n")
    assert repo.commit().returncode == 0
    assert not (repo.root / ".git" / "ran").exists()
    guard(repo, "uninstall")
    assert stat.S_IMODE(hook.stat().st_mode) == 0o640
    hook.rename(home / "shared-hook")
    hook.symlink_to(home / "shared-hook")
    guard(repo, "install")
    guard(repo, "uninstall")
    assert os.readlink(hook) == str(home / "shared-hook")
    assert (home / "shared-hook").read_text() == HOOK


def test_without_a_hook_before_nothing_is_left_behind(served: Served, repo: Repo) -> None:
    before = sorted(hook_of(repo).parent.iterdir())
    assert guard(repo, "status").startswith("absent: ")
    guard(repo, "install")
    assert guard(repo, "status").startswith("installed: ")
    guard(repo, "uninstall")
    assert sorted(hook_of(repo).parent.iterdir()) == before


def test_a_hook_that_another_has_put_over_ours_stays(served: Served, repo: Repo) -> None:
    hook = hook_of(repo)
    hook.write_text(HOOK)
    hook.chmod(0o755)
    guard(repo, "install")
    hook.write_text("#!/bin/sh\n# newer\n")
    assert guard(repo, "status").startswith("replaced: ")
    guard(repo, "install", 9)
    guard(repo, "uninstall", 9)
    assert hook.read_text() == "#!/bin/sh\n# newer\n"
    hook.unlink()
    guard(repo, "uninstall")
    assert hook.read_text() == HOOK


def test_worktrees_and_hookspath(served: Served, repo: Repo, home: Path) -> None:
    repo.git("worktree", "add", "-q", str(home / "tree"))
    tree = Repo(home / "tree", repo.environ)
    guard(tree, "install")
    assert hook_of(repo).exists()
    lease(served, "src/a.py")
    for one in (repo, tree):
        one.write("src/a.py", "changed\n")
        assert one.commit().returncode == 1
    guard(repo, "uninstall")
    repo.git("config", "core.hooksPath", "tools/hooks")
    guard(repo, "install")
    assert (repo.root / "tools" / "hooks" / "pre-commit").exists()
    assert repo.commit().returncode == 1


def test_the_files_of_a_merged_branch_are_not_ones_own_changes(served: Served, repo: Repo) -> None:
    repo.git("switch", "-q", "-c", "theirs")
    repo.write("src/a.py", "theirs\n")
    repo.write("docs/b.md", "theirs\n")
    repo.commit()
    repo.git("switch", "-q", "main")
    repo.write("docs/b.md", "ours\n")
    repo.commit()
    guard(repo, "install")
    lease(served, "src/a.py")
    assert repo.run("git", "merge", "-q", "theirs").returncode == 1
    repo.write("docs/b.md", "both\n")
    assert repo.commit().returncode == 0
    held = lease(served, "docs/b.md")
    repo.write("docs/b.md", "again\n")
    assert repo.commit().returncode == 1
    assert held["holder"] == "alice"


def test_bus_guard_0_lets_a_commit_through_and_the_holder_is_told(
    served: Served, repo: Repo
) -> None:
    guard(repo, "install")
    lease(served, "src/**")
    repo.write("src/a.py", "changed\n")
    done = repo.commit(BUS_GUARD="0")
    assert (done.returncode, repo.count()) == (0, 2)
    assert "told alice" in done.stderr
    assert mail_of(served, "alice") == [
        "I commit src/a.py in git@github.com:acme/app.git with BUS_GUARD=0: you hold a lease on"
        " that."
    ]
    repo.write("docs/b.md", "changed\n")
    assert repo.commit(BUS_GUARD="0").returncode == 0
    assert len(mail_of(served, "alice")) == 1


def test_a_first_commit_is_looked_at_too(served: Served, home: Path) -> None:
    empty = Repo(home / "empty", served.environ(home))
    empty.root.mkdir()
    empty.git("init", "-q")
    empty.git("remote", "add", "origin", "https://github.com/acme/app")
    guard(empty, "install")
    lease(served, "src/a.py")
    empty.write("src/a.py", "x")
    assert empty.commit().returncode == 1


@pytest.fixture
def deaf() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen(8)
        yield door.getsockname()[1]


def test_a_hub_that_is_away_or_slow_lets_commits_through_with_a_warning(
    served: Served, repo: Repo, deaf: int
) -> None:
    guard(repo, "install")
    lease(served, "src/a.py")
    for number, url in enumerate(("http://127.0.0.1:1", f"http://127.0.0.1:{deaf}")):
        repo.write("src/a.py", f"changed {number}\n")
        done = repo.commit(BUS_URL=url)
        assert done.returncode == 0
        assert done.stderr.startswith("bus: ")
    assert repo.count() == 3
    done = repo.run("git", "commit", "--allow-empty", "-q", "-m", "x", BUS_URL="nonsense")
    assert done.returncode == 0


def test_a_guard_whose_program_is_gone_lets_commits_through(served: Served, repo: Repo) -> None:
    guard(repo, "install")
    hook = hook_of(repo)
    hook.write_text(hook.read_text().replace(sys.executable, "/nowhere/bus"))
    repo.write("src/a.py", "changed\n")
    done = repo.commit()
    assert done.returncode == 0
    assert "/nowhere/bus is gone" in done.stderr


def test_outside_of_a_repository_there_is_nothing_to_guard(served: Served, home: Path) -> None:
    (home / "none").mkdir()
    refused = guard(Repo(home / "none", served.environ(home)), "status", 9)
    assert "bus join" not in refused
