"""What a session's folder tells of itself, and that it cannot run anything for it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from busclient._claude import folder


def git(cwd: Path, *arguments: str) -> None:
    environ = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    names = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
    subprocess.run(["git", *names, *arguments], cwd=cwd, env=environ, check=True,
                   capture_output=True)  # fmt: skip


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    path = tmp_path / "app"
    path.mkdir()
    git(path, "init", "-q", "-b", "main")
    (path / "a.txt").write_text("one\n")
    (path / ".gitignore").write_text("*.log\n")
    git(path, "add", ".")
    git(path, "commit", "-qm", "The first one")
    return path


def test_branch_last_commit_and_changes(repo: Path) -> None:
    (repo / "a.txt").write_text("two\n")
    (repo / "b.txt").write_text("new")
    (repo / "c.log").write_text("ignored")
    (repo / "d.txt").write_text("staged")
    git(repo, "add", "d.txt")
    found = folder.facts(str(repo))
    assert found["branch"] == "main"
    assert found["summary"] == "app on main; last: The first one; changes d.txt, a.txt, b.txt"
    assert folder.work(str(repo)).count == 3


@pytest.mark.parametrize("way", ["fsmonitor", "signature", "filter", "bare", "hooks"])
def test_a_folder_of_somebody_else_runs_nothing(repo: Path, tmp_path: Path, way: str) -> None:
    marker, program = tmp_path / "ran", tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {marker}\ncat\n")
    program.chmod(0o755)
    where = repo
    if way == "fsmonitor":
        git(repo, "config", "core.fsmonitor", str(program))
    elif way == "signature":
        git(repo, "config", "log.showSignature", "true")
        git(repo, "config", "gpg.program", str(program))
        tree = subprocess.run(["git", "cat-file", "commit", "HEAD"], cwd=repo, check=True,
                              capture_output=True, text=True).stdout  # fmt: skip
        head, _, text = tree.partition("\n\n")
        signed = f"{head}\ngpgsig -----BEGIN PGP SIGNATURE-----\n -----END PGP SIGNATURE-----\n\n"
        made = subprocess.run(["git", "hash-object", "-t", "commit", "-w", "--stdin"], cwd=repo,
                              input=signed + text, check=True, capture_output=True,
                              text=True).stdout  # fmt: skip
        git(repo, "update-ref", "refs/heads/main", made.strip())
    elif way == "filter":
        git(repo, "config", "filter.z.clean", str(program))
        (repo / ".git" / "info" / "attributes").write_text("* filter=z\n")
        (repo / "a.txt").write_text("two\n")
    elif way == "bare":
        where = repo / "sub"
        git(repo, "init", "-q", "--bare", "sub")
        git(where, "config", "core.bare", "false")
        git(where, "config", "core.worktree", str(where))
        git(where, "config", "core.fsmonitor", str(program))
    else:
        git(repo, "config", "core.hooksPath", str(tmp_path))
        (tmp_path / "post-index-change").write_text(program.read_text())
        (tmp_path / "post-index-change").chmod(0o755)
        os.utime(repo / "a.txt", (1, 1))
    folder.facts(str(where))
    assert not marker.exists()
