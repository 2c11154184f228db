"""Where the workers keep their counters: a folder in memory, for a full disk must not stop one.

prometheus-client maps a file of each worker into memory. On a disk without room, the first write
to a new page would end the worker.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # where prometheus-client looks
_IN_MEMORY = Path("/dev/shm")


def begin(run: Path) -> None:
    """Make the folder and say in the environment where it is. The one of a hub that was killed
    goes.
    """
    run.mkdir(parents=True, exist_ok=True)
    note = run / "metrics-folder"
    end(run)
    if _IN_MEMORY.is_dir():
        folder = Path(tempfile.mkdtemp(prefix="claude-bus-metrics-", dir=_IN_MEMORY))
    else:
        folder = run / "metrics"
        folder.mkdir(mode=0o700, exist_ok=True)
    os.environ[FOLDER] = str(folder)
    with suppress(OSError):  # without room for the note, only the folder of a killed hub stays
        note.write_text(f"{folder}\n")


def end(run: Path) -> None:
    """Take the folder away, if there is one."""
    note = run / "metrics-folder"
    os.environ.pop(FOLDER, None)
    with suppress(OSError):
        folder = Path(note.read_text().strip())
        if folder.name == "metrics" or folder.name.startswith("claude-bus-metrics-"):
            shutil.rmtree(folder, ignore_errors=True)
        note.unlink()
