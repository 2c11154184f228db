"""Programs and powers that the faults need, and file systems that can break."""

from __future__ import annotations

import fcntl
import mmap
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EIO
from pathlib import Path

import pytest

from tests.conftest import wait_until

IN_CI = os.environ.get("CI") == "true"
_SHUTDOWN, _WITHOUT_FLUSHING = (
    0x8004587D,
    2,
)  # EXT4_IOC_SHUTDOWN and EXT4_GOING_FLAGS_NOLOGFLUSH of ext4.h


def missing(what: str) -> None:
    """What cannot be tried here is skipped; in CI that is a failure."""
    (pytest.fail if IN_CI else pytest.skip)(f"this fault needs {what}")


def tool(name: str) -> str:
    """The path of a program."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if found is None:
        missing(f"the program {name}")
    return str(found)


def needs_root() -> None:
    if os.geteuid() != 0:
        missing("root, to mount file systems")


@contextmanager
def mounted(kind: str, source: str, place: Path, options: str) -> Iterator[Path]:
    """A file system mounted while the block runs."""
    needs_root()
    place.mkdir(exist_ok=True)
    subprocess.run([tool("mount"), "-t", kind, "-o", options, source, place], check=True)
    try:
        yield place
    finally:
        subprocess.run([tool("umount"), "-l", place], check=True)


class PowerSwitch:
    """An ext4 file system on a loop device whose power can be cut.

    A cut is EXT4_IOC_SHUTDOWN without flushing: what was not synced is gone, and nothing reaches
    the disk any more. The machine itself stays up, so what a reboot would take away as well has to
    be taken away by hand.
    """

    def __init__(self, folder: Path, size_mb: int = 96) -> None:
        needs_root()
        self.place = folder / "disk"
        self._image = folder / "disk.img"
        self.place.mkdir()
        with open(self._image, "wb") as image:
            image.truncate(size_mb << 20)
        subprocess.run([tool("mkfs.ext4"), "-q", "-F", self._image], check=True)

    def on(self) -> None:
        """Mount it, which plays the journal back."""
        subprocess.run([tool("mount"), "-o", "loop", self._image, self.place], check=True)

    def cut(self) -> float:
        """Cut the power; gives the last moment at which it was surely on.

        A sync under way during the ioctl may return 0 though its data is dropped: an artefact,
        since a machine without power answers nobody. Hence the time is taken before.
        """
        fd = os.open(self.place, os.O_RDONLY)
        try:
            moment = time.monotonic()
            fcntl.ioctl(fd, _SHUTDOWN, struct.pack("I", _WITHOUT_FLUSHING))
        finally:
            os.close(fd)
        return moment

    def off(self) -> None:
        """Unmount it, as soon as those who were killed have let go of their files."""
        wait_until(
            lambda: (
                subprocess.run([tool("umount"), self.place], capture_output=True).returncode == 0
            )
        )

    def is_on(self) -> bool:
        return os.path.ismount(self.place)


class Shim:
    """Makes writes or syncs of the log fail, and the wall clock wrong, in every process started
    with `environ`.

    It is a few lines of C, loaded with LD_PRELOAD, and obeys numbers in a file that both sides have
    mapped.
    """

    _SOURCE = Path(__file__).with_name("shim.c")

    def __init__(self, folder: Path) -> None:
        library, control = folder / "shim.so", folder / "shim.control"
        subprocess.run(
            [
                tool("gcc"),
                "-shared",
                "-fPIC",
                "-O2",
                "-Wall",
                "-Werror",
                "-o",
                library,
                self._SOURCE,
            ],
            check=True,
        )
        control.write_bytes(bytes(4096))
        with open(control, "r+b") as file:
            self._words = memoryview(mmap.mmap(file.fileno(), 4096)).cast("i")
        self.environ = {"LD_PRELOAD": str(library), "FAULTS": str(control)}

    def fail(self, *, writes: int = 0, syncs: int = 0, errno: int = EIO) -> None:
        """Let the next so many writes and syncs fail, whoever makes them; -1: all from now on."""
        self._words[2] = errno
        self._words[0], self._words[1] = writes, syncs

    def failed(self) -> int:
        """How many calls have been made to fail."""
        return self._words[3]

    def set_clock(self, seconds: int) -> None:
        """Let the wall clock be wrong by so many seconds."""
        self._words[4] = seconds
