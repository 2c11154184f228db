"""Files that must not be half written, and not be read by others."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def write_private(path: Path, text: str, *, durable: bool = True) -> None:
    """Replace a file (0600, its folder 0700 when made here) whole or not at all; raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd, scratch = _scratch_beside(path)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(text.encode("utf-8", "surrogateescape"))
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


def _scratch_beside(path: Path) -> tuple[int, str]:
    """Return a new file (0600) in the same folder, open, and its name."""
    from tempfile import mkstemp  # noqa: PLC0415  5 ms, and most commands write no file

    return mkstemp(dir=path.parent, prefix=f".{path.name}-")


def followed(path: Path) -> Path:
    """Return where a file is kept to which a link leads, as those of dotfiles do; the path itself
    where it is no link.
    """
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def replace_text(path: Path, text: str) -> None:
    """Replace a file that others may read, whole or not at all.

    A link in its place goes: it is not followed.
    """
    fd, scratch = _scratch_beside(path)
    try:
        with os.fdopen(fd, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        os.chmod(scratch, 0o644)
        os.replace(scratch, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(scratch)
        raise


def as_file_name(text: str) -> str:
    """Return a name for a file, another one for each text: what is not a plain ASCII character
    becomes %XX, byte by byte.
    """
    plain = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
    return "".join(
        chr(byte) if byte in plain else f"%{byte:02X}"
        for byte in text.encode(errors="surrogateescape")
    )


def check_room(path: Path) -> None:
    """See that `write_private` would work: its folder can be written, and the disk has room.

    Raises OSError.
    """
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
