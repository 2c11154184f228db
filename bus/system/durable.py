"""Files that survive a power cut: a new one takes its place whole, or not at all.

The log has its own door to the disk (`bus.log.jsonl.disk`), because its tests make writes fail.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def atomic_write(
    path: Path,
    data: bytes,
    mode: int = 0o600,
    settle: Callable[[int], None] = lambda fd: None,
) -> None:
    """Write or replace a file. On return it is on stable storage, and so is its name.

    `settle` gets the descriptor of the new file before it is synced, to set its owner, mode or
    times. Raises OSError; the old file is then as it was.
    """
    scratch = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    fd = os.open(scratch, _NEW, mode)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            settle(fd)
            os.fsync(fd)
        os.replace(scratch, path)
    except BaseException:
        with suppress(OSError):
            scratch.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Return when new names and renames in a folder are on stable storage."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
