"""Files that must not be half written, and not be read by others."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path


def write_private(path: Path, text: str, *, durable: bool = True) -> None:
    """Replace a file (0600, its folder 0700 when made here) whole or not at all; raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # mkstemp makes it 0600
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(text.encode())
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(scratch, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(scratch)
        raise
    if durable:
        sync_folder(path.parent)


def check_room(path: Path) -> None:
    """See that `write_private` would work: its folder can be written, and the disk has room. Raises OSError."""
    probe = path.with_name(f"{path.name}.probe")
    write_private(probe, "x" * 4096)
    probe.unlink()


def sync_folder(folder: Path) -> None:
    """Make a new or renamed name in a folder durable; Windows has no such call and needs none."""
    if os.name == "nt":
        return
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
