"""Where the workers keep their counters: a folder in memory, for a full disk must not stop one.

prometheus-client maps a file of each worker into memory. On a disk without room, the first write
to a new page would end the worker.

Each hub has a folder of its own, also where two run on the same data. A note in the data folder
says where it is; the hub and its workers hold a lock on the note for as long as one of them lives.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # where prometheus-client looks
_IN_MEMORY = Path("/dev/shm")
_NOTE, _PREFIX = "metrics-folder-", "claude-bus-metrics-"
_held: dict[Path, int] = {}  # notes of this process, each with the descriptor that has the lock


def begin(run: Path) -> None:
    """Make the folder and say in the environment where it is. Those of hubs that were killed go."""
    run.mkdir(parents=True, exist_ok=True)
    for note in run.glob(f"{_NOTE}*"):
        with suppress(OSError):
            _remove_if_left(note)
    place = _IN_MEMORY if _IN_MEMORY.is_dir() else run
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
    os.environ[FOLDER] = str(folder)
    with suppress(OSError):  # without room for the note, only the folder of a killed hub stays
        note = run / f"{_NOTE}{folder.name.removeprefix(_PREFIX)}"
        fd = os.open(note, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        # The workers inherit it. Who looks before the lock is there finds nothing written yet.
        fcntl.flock(fd, fcntl.LOCK_EX)
        _held[note] = fd
        os.write(fd, f"{folder}\n".encode())


def keep() -> None:
    """Make the folder again if somebody has cleared the memory, as systemd-logind does for a user
    who logs out. For a new worker; without a folder it counts for itself.
    """
    if FOLDER in os.environ:
        try:
            Path(os.environ[FOLDER]).mkdir(0o700, exist_ok=True)
        except OSError:
            del os.environ[FOLDER]


def end() -> None:
    """Take away the folder of this hub, if there is one."""
    os.environ.pop(FOLDER, None)
    for note, fd in _held.items():
        with suppress(OSError):
            _remove(note)
        os.close(fd)
    _held.clear()


def _remove_if_left(note: Path) -> None:
    fd = os.open(note, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # OSError: its hub lives
        _remove(note)
    finally:
        os.close(fd)


def _remove(note: Path) -> None:
    folder = Path(note.read_text().strip())
    if folder.name.startswith(_PREFIX):
        shutil.rmtree(folder, ignore_errors=True)
        note.unlink()
