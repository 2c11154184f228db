"""What a session works on, as its folder tells: no model is needed, and nothing leaves the machine
but the bus's own registration.
"""

from __future__ import annotations

import subprocess
from contextlib import suppress
from typing import Any


def facts(cwd: str) -> dict[str, Any]:
    """Return the folder, its repository and branch, and a summary in one line."""
    repo = _git(cwd, "config", "--get", "remote.origin.url")
    branch = _git(cwd, "symbolic-ref", "--short", "HEAD")
    found = {"cwd": cwd[:500] or None, "repo": repo or None, "branch": branch or None}
    told = {name: value for name, value in found.items() if value is not None}
    summary = _summary(cwd, branch)
    return {**told, "summary": summary} if summary else told


def _summary(cwd: str, branch: str) -> str:
    name = cwd.rstrip("/").rpartition("/")[2]
    if not branch:
        return name
    last = _git(cwd, "log", "-1", "--format=%s")
    changed = [line[3:] for line in _git(cwd, "status", "--porcelain").split("\n") if line[3:]]
    told = f"{name} on {branch}" + (f"; last: {last[:100]}" if last else "")
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        told += f"; changes {', '.join(changed[:3])}{more}"
    return " ".join(told.split())[:300]


def _git(cwd: str, *arguments: str) -> str:
    """Return what git says, without the last line end; empty if it says nothing in time."""
    command = ["git", "--no-optional-locks", "-C", cwd, *arguments]
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, check=True, text=True, timeout=0.4, errors="replace"
        )
        return done.stdout.rstrip("\n")
    return ""
