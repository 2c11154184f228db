"""What can be seen on this machine of a peer that says it works here: its process and its
repository.
"""

from __future__ import annotations

import os
import stat
from configparser import ConfigParser, Error
from pathlib import Path

_LONGEST = 64 * 1024
_PROC = Path("/proc")


def born_of(pid: int) -> str | None:
    """Return when a process began, in the form in which clients of the hub say it; None if it
    cannot be seen.
    """
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    return None if fields[0] == "Z" else f"{boot} {fields[19]}"


def repo_of(root: str) -> str:
    """Return what the worktrees and clones of a repository have in common: its origin's URL, else
    the folder of its own clone. Where nothing can be read, `root` itself.
    """
    folder = Path(root)
    if not folder.is_absolute():
        return root
    own = _git_folder(folder)
    if own is None:
        return root
    common = own
    if (told := _small_file(own / "commondir")) is not None:
        common = Path(os.path.normpath(own / told.strip()))
    return _origin(common) or str(common).removesuffix("/.git")


def _git_folder(folder: Path) -> Path | None:
    """Return the folder of git's files: `.git`, or where the file of that name leads."""
    here = folder / ".git"
    if os.path.isdir(here):
        return here
    told = _small_file(here)
    if told is None or not told.startswith("gitdir:"):
        return None
    return Path(os.path.normpath(folder / told.removeprefix("gitdir:").strip()))


def _origin(common: Path) -> str | None:
    text = _small_file(common / "config")
    if text is None:
        return None
    parser = ConfigParser(strict=False, interpolation=None, allow_no_value=True)
    try:
        parser.read_string("\n".join(line.strip() for line in text.splitlines()))
        return parser.get('remote "origin"', "url", fallback=None)
    except Error:
        return None


def _small_file(path: Path) -> str | None:
    """Return the text of a plain file; None for anything else."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return None
            return file.read(_LONGEST).decode("utf-8", "replace")
    except (OSError, ValueError):
        return None
