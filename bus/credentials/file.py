"""The credential file on the disk: read at once, changed under a lock, written whole or not
at all.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bus.credentials.lines import Kept, Line, hashed, of_user, parsed
from bus.errors import Busy
from bus.model.caller import ADMIN
from bus.system import durable

_PATIENCE_S = 5.0

Version = tuple[int, int, int]  # another one whenever the file has changed


def read(path: Path) -> list[Line | Kept]:
    """Return the lines; none where there is no file."""
    return read_version(path)[1]


def read_version(path: Path) -> tuple[Version | None, list[Line | Kept]]:
    """Return the lines, and the version whose they are; no version where there is no file."""
    try:
        # A byte that is no UTF-8 is the trouble of the line that holds it; at the next change it is
        # written as it was.
        with path.open(encoding="utf-8", errors="surrogateescape") as file:
            found = _version(os.fstat(file.fileno()))
            return found, parsed(file.read().removeprefix("\ufeff").removesuffix("\n").split("\n"))
    except FileNotFoundError:
        return None, []


def version(path: Path) -> Version | None:
    """Return the version that is there now; None where there is no file."""
    try:
        return _version(os.stat(path))
    except FileNotFoundError:
        return None


@contextmanager
def locked(path: Path) -> Iterator[list[Line | Kept]]:
    """The lines as they are now, while nobody else changes them; raises Busy.

    The lock is on the folder: a lock file that root made would shut out the hub, and nginx's folder
    should hold no more than it has to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + _PATIENCE_S
        while not _is_ours(fd):
            if time.monotonic() > deadline:
                raise Busy("Another process is changing the credentials.")
            time.sleep(0.005)
        yield read(path)
    finally:
        os.close(fd)


def write(path: Path, lines: Sequence[Line | Kept]) -> None:
    """Replace the file; owner, group and mode stay. On return it is on stable storage."""
    text = "".join(line.as_text() + "\n" for line in lines)
    data = text.encode(errors="surrogateescape")
    durable.atomic_write(path, data, settle=lambda fd: _be_like(path, fd))


def _be_like(path: Path, fd: int) -> None:
    """Give a new file the mode and owner of the one at `path`, or its folder's owner if none is."""
    if path.exists():
        old = path.stat()
        # Two changes may fall into one tick of the clock, and the second may take the inode that
        # the first set free. Only a later time tells that version from the one before both.
        at = max(time.time_ns(), old.st_mtime_ns + 1)
        os.utime(fd, ns=(at, at))
        os.fchmod(fd, old.st_mode & 0o777)
    else:
        old = path.parent.stat()
    if os.geteuid() == 0:
        os.fchown(fd, old.st_uid, old.st_gid)


def put(path: Path, user: str, secret: str, role: str = "") -> None:
    """Give a user this secret and no other, with the role it had unless one is given."""
    with locked(path) as lines:
        put_locked(path, lines, user, secret, role)


def put_locked(
    path: Path, lines: Sequence[Line | Kept], user: str, secret: str, role: str = ""
) -> None:
    """The same for who holds the lock; `lines` are those that `locked` gave."""
    mine = of_user(lines, user)
    line = Line(user, hashed(secret), role or (mine[0].role if mine else ""))
    # A line of this user that cannot be used goes too: nginx would take it for the user's.
    others = [other for other in lines if not other.as_text().startswith(user + ":")]
    write(path, [*others, line])


def replaced(lines: Sequence[Line | Kept], user: str, mine: Sequence[Line]) -> list[Line | Kept]:
    """Return the lines with those of one user exchanged, in the place of its first; at the end for
    a new one.
    """
    result: list[Line | Kept] = []
    for line in lines:
        if not (isinstance(line, Line) and line.user == user):
            result.append(line)
        elif mine:
            result, mine = [*result, *mine], ()
    return [*result, *mine]


def has_admin(lines: Sequence[Line | Kept]) -> bool:
    """Return whether somebody may change credentials over HTTP."""
    return any(isinstance(line, Line) and line.role == ADMIN for line in lines)


def _version(stat: os.stat_result) -> Version:
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


def _is_ours(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
