"""The bytes of attachments: files named by their SHA-256, and parts of those that still come.

    ab/ab12…            whole, on stable storage, never changed
    uploads/ID          what has come so far; whoever writes it holds a lock on it
    uploads/ID.json     what was said of it, if it may be gone on with in another request

What has no `.json` and no holder was cut short by a crash. A whole file takes its place by a link,
so it is there whole or not at all. `lock` keeps apart who puts, counts and removes.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from bus.errors import Busy
from bus.system import durable

# For the group of a folder that hands its group on: nginx's, on a server.
FILE, FOLDER = 0o640, 0o750
_GRACE_S = 3_600.0  # how long a file without a message is left alone: its message may be coming
_SPARE, _SHARE = 64 << 20, 20  # bytes, or this part of the disk, that are left for the log
_LOOK_EVERY, _SYNC_EVERY = 16 << 20, 64 << 20
_PIECE = 1 << 20
_LOCK_S, _LOCK_AGAIN_S = 30.0, 0.005
_SHARDS = 256
_SWEEP_EVERY = 120  # calls of `tend`


Said = dict[str, Any]  # `owner`, `name`, `size`, perhaps `sha256` and `tenure`


class Taken(Exception):
    """Another request has this part."""


class Open(NamedTuple):
    """An upload that is not whole, or not posted: what was said of it, its bytes, its last byte's
    time.
    """

    id: str
    said: Said
    size: int
    at: float


class Part:
    """A file that is coming, open and locked. For one request at a time."""

    def __init__(self, path: Path, fd: int, size: int, *, fsync: bool) -> None:
        self.path, self.size, self._fd, self._fsync = path, size, fd, fsync
        self._sum = None if size else sha256()
        self._looked = self._synced = size

    @property
    def id(self) -> str:
        return self.path.name

    def append(self, data: bytes) -> None:
        """Write behind what is there; raises OSError (ENOSPC before the disk is quite full)."""
        if self.size - self._looked >= _LOOK_EVERY or self.size == self._looked == 0:
            self._looked = self.size
            check_room(self._fd, len(data))
        view = memoryview(data)
        while view:
            written = os.pwrite(self._fd, view, self.size)
            self.size += written
            if self._sum is not None:
                self._sum.update(view[:written])
            view = view[written:]
        if self._fsync and self.size - self._synced >= _SYNC_EVERY:
            # Not all at the end: a post that syncs meanwhile would wait for a gigabyte.
            self._synced = self.size
            os.fdatasync(self._fd)

    def finish(self) -> str:
        """Return the SHA-256 of all; on return it is on stable storage."""
        if self._fsync:
            os.fsync(self._fd)
        if self._sum is None:
            self._sum = sha256()
            at = 0
            while data := os.pread(self._fd, _PIECE, at):
                self._sum.update(data)
                at += len(data)
        return self._sum.hexdigest()

    def head(self, size: int) -> bytes:
        """Return the first bytes."""
        return os.pread(self._fd, size, 0)

    def drop(self) -> None:
        """Remove it."""
        self.path.with_suffix(".json").unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let another request have it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Contents:
    """The folder of all attachments of a hub. Its methods sit in the system for long."""

    def __init__(self, folder: Path, *, fsync: bool = True) -> None:
        self.folder, self._fsync = folder, fsync
        self._uploads = folder / "uploads"
        self._shard = self._calls = 0

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold off all others, of this process too; raises Busy."""
        self._make_folders()
        fd = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
        try:
            deadline = time.monotonic() + _LOCK_S
            while not _locked(fd):
                if time.monotonic() > deadline:
                    raise Busy("Another process holds the folder of attachments.")
                time.sleep(_LOCK_AGAIN_S)
            yield
        finally:
            os.close(fd)

    # -- what comes ------------------------------------------------------------------------------

    def begin(self, id: str, said: Said | None, size: int) -> Part:
        """Return a new part. With `said` it stays when its request ends; `size` is what is to come,
        as far as that is known. Raises OSError where the disk has no room for it.
        """
        with self.lock():
            path = self._path(id)
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                check_room(fd, size)
                if said is not None:
                    durable.atomic_write(path.with_suffix(".json"), orjson.dumps(said), FILE)
            except BaseException:
                path.unlink()
                os.close(fd)
                raise
        return Part(path, fd, 0, fsync=self._fsync)

    def open(self, id: str) -> tuple[Part, Said]:
        """Return an upload to go on with, and what was said of it; raises FileNotFoundError,
        Taken.
        """
        path = self._path(id)
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if not _locked(fd):
                raise Taken
            if os.fstat(fd).st_nlink == 0:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
            said = orjson.loads(path.with_suffix(".json").read_bytes())
            return Part(path, fd, os.fstat(fd).st_size, fsync=self._fsync), said
        except BaseException:
            os.close(fd)
            raise

    def look(self, id: str) -> Open:
        """Return how far an upload is; raises FileNotFoundError."""
        path = self._path(id)
        found = path.stat()
        said = orjson.loads(path.with_suffix(".json").read_bytes())
        return Open(id, said, found.st_size, found.st_mtime)

    def uploads(self) -> list[Open]:
        """Return all that may be gone on with."""
        found = []
        with suppress(FileNotFoundError):
            for path in self._uploads.glob("*.json"):
                with suppress(FileNotFoundError, orjson.JSONDecodeError):
                    found.append(self.look(path.stem))
        return found

    # -- what is there ---------------------------------------------------------------------------

    def place(self, sum: str) -> Path:
        """Return where a file is, or would be."""
        return self.folder / sum[:2] / sum

    def put(self, part: Part, sum: str) -> bool:
        """Give a finished part its place; return whether it was not there before. Under `lock`.

        On return its name is on stable storage.
        """
        place = self.place(sum)
        with suppress(FileNotFoundError):
            if place.stat().st_size == part.size:
                os.utime(place)  # it is wanted anew: `tend` leaves it alone
                return False
            place.unlink()  # it is damaged
        if not place.parent.exists():
            place.parent.mkdir(FOLDER, exist_ok=True)
            self._sync(self.folder)
        os.link(part.path, place)
        os.utime(place)
        self._sync(place.parent)
        return True

    def remove(self, sum: str) -> None:
        """Remove a file. Under `lock`."""
        self.place(sum).unlink(missing_ok=True)

    def check(self) -> Iterator[tuple[str, bool]]:
        """Read all files; yield the name of each, and whether it is what the name says."""
        for shard in sorted(self.folder.glob("[0-9a-f][0-9a-f]")):
            for path in sorted(shard.iterdir()):
                found = sha256()
                with suppress(FileNotFoundError), path.open("rb") as file:
                    while data := file.read(_PIECE):
                        found.update(data)
                    yield path.name, found.hexdigest() == path.name

    # -- what goes -------------------------------------------------------------------------------

    def tend(self, is_needed: Callable[[str], bool], now: float, upload_keep_s: float) -> None:
        """Remove, of one of 256 folders, the files that nobody needs, and now and then the uploads
        that nobody goes on with.
        """
        self._calls += 1
        if self._calls % _SWEEP_EVERY == 0:
            self.sweep(now, upload_keep_s)
        shard = self.folder / f"{self._shard:02x}"
        self._shard = (self._shard + 1) % _SHARDS
        if not shard.is_dir():
            return
        old = [
            entry.name
            for entry in os.scandir(shard)
            if now - entry.stat(follow_symlinks=False).st_mtime > _GRACE_S
        ]
        gone = [name for name in old if not is_needed(name)]
        if not gone:
            return
        with self.lock():
            for name in gone:
                # Somebody may have put it anew since.
                is_old = now - (shard / name).stat().st_mtime > _GRACE_S
                if is_old and not is_needed(name):
                    self.remove(name)

    def sweep(self, now: float, upload_keep_s: float) -> None:
        """Remove what a crash cut short, and uploads whose last byte came so long ago."""
        if not self._uploads.is_dir():
            return
        with self.lock():
            for path in list(self._uploads.iterdir()):
                with suppress(FileNotFoundError):
                    self._sweep(path, now - upload_keep_s)

    def _sweep(self, path: Path, oldest: float) -> None:
        if path.suffix == ".json":
            if not path.with_suffix("").exists():
                path.unlink()
            return
        if path.with_suffix(".json").exists() and path.stat().st_mtime > oldest:
            return
        if path.name.startswith("."):  # of a `.json` that was being written
            path.unlink()
            return
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if _locked(fd):
                path.with_suffix(".json").unlink(missing_ok=True)
                path.unlink()
        finally:
            os.close(fd)

    def _path(self, id: str) -> Path:
        if not (id.isascii() and id.isalnum() and len(id) == 26):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), id[:40])
        return self._uploads / id

    def _make_folders(self) -> None:
        if not self._uploads.is_dir():
            self.folder.mkdir(FOLDER, parents=True, exist_ok=True)
            self._uploads.mkdir(FOLDER, exist_ok=True)
            self._sync(self.folder)

    def _sync(self, folder: Path) -> None:
        if self._fsync:
            durable.sync_folder(folder)


def check_room(fd: int, more: int) -> None:
    """Raise OSError (ENOSPC) if so many bytes more would leave the log too little room."""
    disk = os.fstatvfs(fd)
    spare = min(_SPARE, disk.f_blocks * disk.f_frsize // _SHARE)
    if disk.f_bavail * disk.f_frsize < more + spare:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
