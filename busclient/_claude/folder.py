"""What a session works on, as its folder tells: no model is needed, and nothing leaves the machine
but the bus's own registration.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

LONGEST = 300  # of a summary, in characters
_COMMITS, _FILES = 5, 20
# A folder that somebody else has made must not run anything: its configuration can name programs.
_HARMLESS = (
    *("-c", "core.fsmonitor="),
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "log.showSignature=false"),
    *("-c", "safe.bareRepository=explicit"),
)


@dataclass(frozen=True)
class Work:
    """What is done in a folder: its name, its branch, the subjects of the last commits (newest
    first) and the names of files that have changed since.
    """

    folder: str
    branch: str
    commits: tuple[str, ...]
    changed: tuple[str, ...]
    count: int  # of changed files; not each has its name here


def facts(cwd: str) -> dict[str, Any]:
    """Return the folder, its repository and branch, and a summary in one line."""
    repo = _git(cwd, "config", "--get", "remote.origin.url")
    done = work(cwd)
    found = {"cwd": cwd[:500] or None, "repo": repo or None, "branch": done.branch or None}
    told = {name: value for name, value in found.items() if value is not None}
    summary = _summary(done)
    return {**told, "summary": summary} if summary else told


def work(cwd: str) -> Work:
    """Return what is done in a folder."""
    name = cwd.rstrip("/").rpartition("/")[2]
    branch = _git(cwd, "symbolic-ref", "--short", "HEAD")
    if not branch:
        return Work(name, "", (), (), 0)
    commits = _git(cwd, "log", f"-{_COMMITS}", "--format=%s").split("\n")
    changed = _changed(cwd)
    subjects = tuple(subject[:200] for subject in commits if subject)
    return Work(name, branch, subjects, tuple(changed[:_FILES]), len(changed))


def _changed(cwd: str) -> list[str]:
    """Return the names of changed files.

    Where git has to compare contents, it runs the filters that the folder's configuration names:
    if there are any, files that are changed and not staged are left out.
    """
    names: dict[str, None] = {}
    filters = _git(cwd, "config", "--show-scope", "--get-regexp", r"^filter\.").split("\n")
    has_own = any(line.startswith(("local", "worktree")) for line in filters)
    unstaged = () if has_own else (("diff-files", "--name-only", "--ignore-submodules=all"),)
    for arguments in (
        ("diff-index", "--cached", "--name-only", "--ignore-submodules=all", "HEAD", "--"),
        *unstaged,
        ("ls-files", "--others", "--exclude-standard"),
    ):
        names |= dict.fromkeys(filter(None, _git(cwd, *arguments).split("\n")))
    return list(names)


def _summary(done: Work) -> str:
    if not done.branch:
        return done.folder
    last = done.commits[0][:100] if done.commits else ""
    told = f"{done.folder} on {done.branch}" + (f"; last: {last}" if last else "")
    if done.count:
        more = f" and {done.count - 3} more" if done.count > 3 else ""
        told += f"; changes {', '.join(done.changed[:3])}{more}"
    return " ".join(told.split())[:LONGEST]


def _git(cwd: str, *arguments: str) -> str:
    """Return what git says, without the last line end; empty if it says nothing in time."""
    command = ["git", "--no-optional-locks", *_HARMLESS, "-C", cwd, *arguments]
    environ = {**os.environ, "GIT_ALLOW_PROTOCOL": "none", "GIT_NO_LAZY_FETCH": "1"}
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(  # noqa: S603
            command,
            capture_output=True,
            check=True,
            text=True,
            timeout=0.4,
            errors="replace",
            env=environ,
        )
        return done.stdout.rstrip("\n")
    return ""
