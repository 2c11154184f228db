"""The files of a log: the active one, `bus.jsonl`, and the sealed ones, `bus-<first seq>.jsonl` or
`.jsonl.gz`.
"""

from __future__ import annotations

import fcntl
import gzip
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bus.log.jsonl.disk import Disk
from bus.system import modes

ACTIVE = "bus.jsonl"
NEXT = "bus.jsonl.next"
_SEALED = re.compile(r"bus-(\d+)\.jsonl(\.gz)?")
_CHUNK = 1 << 20


class Line(NamedTuple):
    """Bytes without their newline, and the offset behind it.

    `whole` is False for a tail that has none.
    """

    data: bytes
    end: int
    whole: bool


class OpenFile:
    """A descriptor that is closed when the last one who reads from it lets go."""

    def __init__(self, path: Path, flags: int = os.O_RDONLY) -> None:
        self.fd = os.open(path, flags | os.O_CLOEXEC, modes.FILE)

    def size(self) -> int:
        return os.fstat(self.fd).st_size

    def inode(self) -> int:
        return os.fstat(self.fd).st_ino

    def lines(self, start: int, end: int) -> Iterator[Line]:
        """Yield the lines from offset `start` up to `end`, split at newline bytes and
        nothing else.
        """
        rest, at, offset = b"", start, start
        while offset < end:
            chunk = os.pread(self.fd, min(_CHUNK, end - offset), offset)
            if not chunk:
                break
            offset += len(chunk)
            *whole, rest = (rest + chunk).split(b"\n")
            for data in whole:
                at += len(data) + 1
                yield Line(data, at, True)
        if rest:
            yield Line(rest, at + len(rest), False)

    def __del__(self) -> None:
        if hasattr(self, "fd"):
            os.close(self.fd)


def sealed(folder: Path) -> dict[int, Path]:
    """Return the sealed files by their first seq, in order; where both forms are there, the plain
    one.
    """
    found: dict[int, Path] = {}
    for name in sorted(
        os.listdir(folder), reverse=True
    ):  # .jsonl.gz sorts after .jsonl, so the plain one wins
        match = _SEALED.fullmatch(name)
        if match:
            found[int(match[1])] = folder / name
    return dict(sorted(found.items()))


def sealed_lines(path: Path, start: int) -> Iterator[Line]:
    """Yield the lines of a sealed file from an offset, counted in uncompressed bytes; it may be
    compressed meanwhile.
    """
    if path.suffix != ".gz" and (file := open_if_there(path)) is not None:
        yield from file.lines(start, file.size())
        return
    path = path if path.suffix == ".gz" else path.with_name(path.name + ".gz")
    with gzip.open(path) as stream:
        stream.seek(start)
        at = start
        for data in stream:
            at += len(data)
            yield Line(data.rstrip(b"\n"), at, data.endswith(b"\n"))


def open_if_there(path: Path) -> OpenFile | None:
    """Return a file, or None when there is none; a plain file goes away when it is compressed."""
    try:
        return OpenFile(path)
    except FileNotFoundError:
        return None


def is_same(path: Path, file: OpenFile) -> bool:
    """Return whether a path is another name of an open file; a path that has gone is none."""
    try:
        return os.stat(path).st_ino == file.inode()
    except FileNotFoundError:
        return False


def put_in_place(folder: Path, disk: Disk) -> None:
    """Finish a sealing that a crash cut short (see `seal`)."""
    twin = next(
        (path for path in sealed(folder).values() if _same_file(path, folder / ACTIVE)), None
    )
    if twin is not None:
        twin.unlink()  # sealed under its new name, but the next file had not taken its place yet
    (folder / NEXT).unlink(missing_ok=True)
    disk.sync_folder(folder)


def seal(folder: Path, first_seq: int, header: bytes, disk: Disk) -> Path:
    """Give the active file its sealed name and put a new one, holding `header`, in its place.

    The active file must be synced. A crash at any point leaves either the old file active or the
    new one: the second name is a hard link, and the exchange one rename.
    """
    fd = os.open(folder / NEXT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, modes.FILE)
    try:
        if disk.write(fd, header) < len(header):
            raise OSError(28, "short write")
        disk.sync(fd)
    finally:
        os.close(fd)
    name = folder / f"bus-{first_seq}.jsonl"
    if not _same_file(name, folder / ACTIVE):  # a process killed right here has left its link
        os.link(folder / ACTIVE, name)
    os.rename(folder / NEXT, folder / ACTIVE)
    disk.sync_folder(folder)
    return name


def compress(path: Path, disk: Disk) -> Path | None:
    """Replace a sealed file by its gzip form, and give that; a crash leaves one or both, never
    none.

    None, and nothing done, for a file that another process is compressing or has compressed, and
    for one that is still the active file because its sealing was cut short.
    """
    source = open_if_there(path)
    if source is None or is_same(path.with_name(ACTIVE), source):
        return None
    scratch, target = path.with_name(path.name + ".gz.part"), path.with_name(path.name + ".gz")
    with open(
        scratch, "ab", opener=_opened
    ) as raw:  # not "wb": that would empty what another process is writing
        if not _is_ours(raw.fileno(), scratch):
            return None
        if not path.exists():
            scratch.unlink()
            return None
        raw.truncate(0)
        with gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packed:
            for offset in range(0, source.size(), _CHUNK):
                packed.write(os.pread(source.fd, _CHUNK, offset))
        raw.flush()
        disk.sync(raw.fileno())
        os.rename(scratch, target)
        disk.sync_folder(path.parent)
        path.unlink(
            missing_ok=True
        )  # another process may have begun after this one, and been as fast
    return target


def _opened(name: str, flags: int) -> int:
    return os.open(name, flags, modes.FILE)


def _is_ours(fd: int, scratch: Path) -> bool:
    """Return whether this process alone has the scratch file, and it has not become the finished
    one meanwhile.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.stat(scratch).st_ino == os.fstat(fd).st_ino
    except (BlockingIOError, FileNotFoundError):
        return False


def _same_file(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except FileNotFoundError:
        return False
