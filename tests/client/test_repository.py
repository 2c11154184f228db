"""Which repository a folder is in, and its paths as others know them."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from busclient._repository import find
from tests.client.repositories import ORIGIN, Repo


@pytest.fixture
def repo(home: Path) -> Repo:
    return Repo.made(home / "app", {"HOME": str(home)})


def test_worktrees_and_folders_of_a_clone_are_one_repository(repo: Repo, home: Path) -> None:
    repo.git("worktree", "add", "-q", str(home / "tree"))
    for folder, root in ((repo.root / "src", repo.root), (home / "tree" / "src", home / "tree")):
        found = find(folder)
        assert found is not None
        assert (found.name, found.root) == (ORIGIN, root)
    assert find(home) is None


def test_a_password_stays_here_and_insteadof_counts(repo: Repo, home: Path) -> None:
    repo.git("remote", "set-url", "origin", "https://bob:secret@github.com/acme/app")
    found = find(repo.root)
    assert found is not None
    assert found.name == "https://github.com/acme/app"
    repo.git("remote", "set-url", "origin", "gh:acme/app")
    repo.git("config", "url.https://github.com/.insteadOf", "gh:")
    found = find(repo.root)
    assert found is not None
    assert found.name == "https://github.com/acme/app"


def test_without_an_origin_the_name_is_this_place_for_all_its_worktrees(home: Path) -> None:
    repo = Repo.made(home / "own", {"HOME": str(home)}, origin="")
    repo.git("worktree", "add", "-q", str(home / "tree"))
    names = {found.name for found in (find(repo.root), find(home / "tree")) if found}
    assert names == {f"{socket.gethostname()}{repo.root}"}


def test_what_is_there_is_meant_as_it_is(repo: Repo) -> None:
    repo.write("app/[id]/page.tsx", "x")
    found = find(repo.root)
    assert found is not None
    for text, folder, pattern in (
        ("src", ".", "src/"),
        ("src/", ".", "src/"),
        ("a.py", "src", "src/a.py"),
        ("../docs/b.md", "src", "docs/b.md"),
        ("*.py", "src", "src/*.py"),
        ("**/*.py", ".", "**/*.py"),
        ("new/", ".", "new/"),
        (".", "src", "src/"),
        (".", ".", "**"),
        ("[id]/page.tsx", "app", r"app/\[id]/page.tsx"),
        ("*.tsx", "app/[id]", r"app/\[id]/*.tsx"),
        (str(repo.root / "src" / "a.py"), ".", "src/a.py"),
        ("../..", "src", None),
        ("/etc/passwd", ".", None),
        ("/etc/*", ".", None),
    ):
        assert found.pattern_of(text, repo.root / folder) == pattern, text


def test_links_lead_to_the_repository_and_are_no_way_out(repo: Repo, home: Path) -> None:
    os.symlink(repo.root, home / "link")
    os.symlink("/etc/passwd", repo.root / "inside")
    found = find(home / "link" / "src")
    assert found is not None
    assert found.root == repo.root
    assert found.path_of(home / "link" / "src" / "a.py") == "src/a.py"
    assert found.path_of(repo.root / "inside") == "inside"
    assert found.path_of(repo.root / ".git" / "config") is None
    assert found.path_of(home / "other") is None
