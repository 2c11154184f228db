"""The modes of the data folder and of what is in it. The folder decides who gets in; the files are
open to its group.

Two users may share the folder: the hub's, and that of the service that runs commands. It then has
mode 2770, so that what either makes belongs to the group. Any other folder is its owner's alone.
"""

from __future__ import annotations

import mmap
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

FILE, FOLDER, UMASK = 0o660, 0o770, 0o007
SHARED = 0o2770

# What the log, the index and their locks are called; what else is in the folder (secrets, backups)
# is no part of this.
_FILES = (
    "bus.jsonl",
    "bus-*.jsonl",
    "bus-*.jsonl.gz",
    "index.db*",
    "index.lock",
    "presence.db*",
    "notices.db*",
)
_FOLDERS = ("run", "quarantine", "calls", "questions")


def make_file(path: Path) -> None:
    """Make a file unless there is one.

    For SQLite, which would make it for its owner alone; what it adds gets the same mode.
    """
    with suppress(OSError):  # SQLite will have the same trouble, and says it its own way
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE))


def settle(folder: Path) -> None:
    """Close a data folder of ours to everybody else; in a shared one, open to its group what came
    from a backup or an old hub.
    """
    if not _is_mine(folder):
        return
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode != SHARED:
        if mode & 0o077:
            folder.chmod(0o700)
        return
    for path in _parts(folder):
        _open_to_group(path)


def _parts(folder: Path) -> Iterator[Path]:
    for pattern in _FILES:
        yield from folder.glob(pattern)
    for name in _FOLDERS:
        if (folder / name).is_dir():
            yield folder / name
            yield from (folder / name).iterdir()


def _open_to_group(path: Path) -> None:
    try:
        if not _is_mine(path):
            return  # its owner has to; chmod would fail
        mode = (
            path.stat().st_mode & 0o777
        )  # no set-group-id bit: systemd's RestrictSUIDSGID refuses to write it, if only again
        wanted = mode | (FOLDER if path.is_dir() else FILE)
        if mode != wanted:
            path.chmod(wanted)
    except FileNotFoundError:
        pass  # a hub that runs took it away


def _is_mine(path: Path) -> bool:
    found = path.lstat()
    return found.st_uid == os.geteuid() and not stat.S_ISLNK(found.st_mode)


def reserve(fd: int, size: int) -> None:
    """Give a file its size, with room on the disk: a hole that is first written to when the disk is
    full kills by SIGBUS.
    """
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError:  # no room now, or a file system that cannot: the size alone
        os.truncate(fd, size)


def mapped(path: Path, size: int) -> memoryview:
    """Return the bytes of a file that processes share, made with its size where there is none."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE)
    try:
        reserve(fd, size)
        return memoryview(mmap.mmap(fd, size))
    finally:
        os.close(fd)
