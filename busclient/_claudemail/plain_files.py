"""Reading files that somebody else may have put there: never a device, never too much."""

from __future__ import annotations

import os
import stat
from pathlib import Path


class NotTaken(Exception):
    """Why a file is not read, in words that go on from its name."""


def read_text(path: Path, longest: int, *, follow: bool = False) -> str:
    """Return the text of a plain file of at most `longest` bytes; raises NotTaken for any other.
    Without `follow`, a link is none.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    flags |= getattr(os, "O_BINARY", 0) | (0 if follow else getattr(os, "O_NOFOLLOW", 0))
    try:
        if not follow and path.is_symlink():
            raise NotTaken("it is a link, which is not followed")
        fd = os.open(path, flags)
    except OSError as error:
        raise NotTaken(f"it cannot be read: {error.strerror or error}") from None
    with os.fdopen(fd, "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise NotTaken("it is not a plain file")
        if found.st_size > longest:
            raise NotTaken(f"it is {found.st_size:,} bytes; at most {longest:,} are taken")
        try:
            data = file.read(longest + 1)
        except OSError as error:
            raise NotTaken(f"it cannot be read: {error.strerror or error}") from None
    if len(data) > longest:  # it grows
        raise NotTaken(f"it is more than {longest:,} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise NotTaken(f"line {line}: byte {data[error.start]:#04x} is not UTF-8") from None
