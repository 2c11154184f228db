"""Secret keys of the hub, each in a file of its own."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from bus.system import durable

_LENGTH = 32


def key_in(path: Path) -> bytes:
    """Return the key in a file, which is made where there is none.

    Of several processes that come at once, all get the same.
    """
    key = _read(path)
    if key is not None:
        return key
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        key = _read(path)
        if key is None:
            key = os.urandom(_LENGTH)
            durable.atomic_write(path, key)
        return key
    finally:
        os.close(folder)


def _read(path: Path) -> bytes | None:
    with suppress(FileNotFoundError):
        key = path.read_bytes()
        return key if len(key) == _LENGTH else None
    return None
