"""The git repository that a folder is in: its name on the bus, and paths as it has them.

What git says decides, so worktrees, submodules and `insteadOf` are right. Without a `.git` above
the folder git is not asked at all: a hook of Claude Code waits for this.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_USER = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://)[^/@]*@")
_SPECIAL = re.compile(r"([\\*?\[])")
_LONGEST_NAME = 1_000


@dataclass(frozen=True)
class Repository:
    """A working tree, its root without links, and the name by which its clones know each other."""

    root: Path
    name: str

    def path_of(self, path: Path) -> str | None:
        """Return a path as the repository has it; None if it is outside.

        Of a link, it is the link itself that is meant.
        """
        real = Path(os.path.realpath(path.parent)) / path.name
        try:
            found = real.relative_to(self.root).as_posix()
        except ValueError:
            return None
        return None if found == "." or found.split("/", 1)[0] == ".git" else readable(found)

    def pattern_of(self, text: str, folder: Path) -> str | None:
        """Return what somebody typed in a folder as a pattern of the repository: a path that is
        there is meant as it is, a folder with all that is in it. None if it is outside.
        """
        path = Path(os.path.normpath(folder / text))
        if os.path.lexists(path):
            if os.path.realpath(path) == str(self.root):
                return "**"
            known = self.path_of(path)
            if known is None:
                return None
            is_folder = path.is_dir() and not path.is_symlink()
            return escaped(known) + ("/" if is_folder else "")
        # What stands before the first name with a wildcard is a folder.
        fixed, rest = path, list[str]()
        while not fixed.is_dir() and fixed != fixed.parent:
            rest.insert(0, fixed.name)
            fixed = fixed.parent
        real = Path(os.path.realpath(fixed))
        if real != self.root and self.root not in real.parents:
            return None
        before = "" if real == self.root else escaped(real.relative_to(self.root).as_posix()) + "/"
        return before + "/".join(rest) + ("/" if text.endswith("/") else "")


def find(folder: Path, within_s: float = 0.5) -> Repository | None:
    """Return the repository that a folder is in; None if it is in none, or git does not say."""
    there = Path(os.path.realpath(folder))
    while not there.is_dir() and there != there.parent:  # it is made with the file that is written
        there = there.parent
    if "GIT_DIR" not in os.environ and not any(
        os.path.lexists(above / ".git") for above in (there, *there.parents)
    ):
        return None
    asked = "--show-toplevel", "--git-common-dir"
    lines = git(there, "rev-parse", *asked, within_s=within_s).split("\n")
    if len(lines) != 2 or not lines[0]:
        return None
    common = os.path.realpath(there / lines[1])
    return Repository(Path(os.path.realpath(lines[0])), _name(there, common, within_s))


def _name(folder: Path, common: str, within_s: float) -> str:
    """Return the address of its origin, without a password; if it has none, host and place."""
    url = git(folder, "remote", "get-url", "origin", within_s=within_s)
    if url and url.isprintable() and len(url) <= _LONGEST_NAME:
        return _USER.sub(r"\1", url)
    return readable(socket.gethostname() + common.removesuffix("/.git"))[:_LONGEST_NAME]


def git(folder: Path, *arguments: str, within_s: float = 0.5) -> str:
    """Return what git says, without the last line end; empty if it says nothing in time."""
    return git_bytes(folder, *arguments, within_s=within_s).decode("utf-8", "replace").rstrip("\n")


def git_bytes(folder: Path, *arguments: str, within_s: float) -> bytes:
    """Return the same as bytes."""
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=within_s,
        )
        return done.stdout
    return b""


def readable(text: str) -> str:
    """Return a name with `?`-like marks for the bytes in it that are not UTF-8."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def escaped(path: str) -> str:
    """Return the pattern that means this path only."""
    return _SPECIAL.sub(r"\\\1", path)
