"""`dir:/mnt/nas`: a folder that the system has mounted."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from busclient._errors import LocalTrouble
from busclient._files import sync_folder
from busclient._share.carrier import copied
from busclient._share.places import Place

# What file systems without hard links say.
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EMLINK, errno.EACCES)


class Folder:
    """See `Carrier`."""

    def __init__(self, place: Place) -> None:
        self._place, self._folder = place, Path(place.path)

    def upload(self, source: Path, scratch: str) -> None:
        with _told(self._place), source.open("rb") as given:
            fd = os.open(self._folder / scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            with os.fdopen(fd, "wb") as file:
                copied(given, file, 1 << 60)
                file.flush()
                os.fsync(fd)

    def publish(self, scratch: str, file: str) -> None:
        with _told(self._place):
            name_whole_file(self._folder / scratch, self._folder / file)

    def remove(self, scratch: str) -> None:
        with suppress(OSError):
            (self._folder / scratch).unlink()

    def fetch(self, file: str, target: Path, size: int) -> None:
        with _told(self._place):
            # A link or a pipe in the place of the file is not what was shared.
            flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
            try:
                fd = os.open(self._folder / file, flags | getattr(os, "O_BINARY", 0))
            except FileNotFoundError:
                if not self._folder.is_dir():
                    raise
                raise LocalTrouble(
                    f"{self._place} no longer has {file}.", hint="Ask the sender to share it again."
                ) from None
            with os.fdopen(fd, "rb") as given, target.open("xb") as kept:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    raise LocalTrouble(f"{self._place} has no file {file}: it is something else.")
                copied(given, kept, size + 1)


def name_whole_file(scratch: Path, file: Path) -> None:
    """Give a file that is whole its name, never in the place of another; raises OSError."""
    try:
        os.link(scratch, file, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS or file.exists():
            raise
        os.rename(scratch, file)
    else:
        scratch.unlink()
    with suppress(OSError):
        sync_folder(file.parent)


@contextmanager
def _told(place: Place) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LocalTrouble(
            f"{place}: {error.strerror or error}.", hint="Is it mounted, and may you use it?"
        ) from error
