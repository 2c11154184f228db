"""Processes of this machine: which one a number stands for, and ending one that was started in a
session of its own (`start_new_session`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess

_GRACE_S = 2.0
_OLD_S = 60.0


def end(process: subprocess.Popen[bytes]) -> None:
    """End a command and, where the system has process groups, what it started: politely first, then
    for certain.
    """
    if os.name == "nt":
        process.kill()
        process.wait()
        return
    import subprocess  # noqa: PLC0415  10 ms, and a hook ends nothing

    for how in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(OSError):
            os.killpg(process.pid, how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S if how is signal.SIGTERM else None)


def began_ms() -> int:
    """Return when this process began (Unix milliseconds); now, where the system does not tell it or
    it was long ago.
    """
    age_s = 0.0
    with contextlib.suppress(OSError, ValueError, AttributeError, IndexError):
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return int((time.time() - (age_s if 0 < age_s < _OLD_S else 0)) * 1000)


def arguments_of(pid: int) -> list[str]:
    """Return the words of a process's command line; none where the system does not tell them."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
    import subprocess  # noqa: PLC0415

    command = ["ps", "-o", "args=", "-p", str(pid)]
    with contextlib.suppress(OSError):
        ps = subprocess.run(command, capture_output=True, check=False, text=True)  # noqa: S603
        return ps.stdout.split()
    return []


def born_of(pid: int) -> str | None:
    """Return when a process began, in whatever form the system tells it; None when there is
    none.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return None if fields[0] == "Z" else f"{boot} {fields[19]}"
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
    import subprocess  # noqa: PLC0415

    command = ["ps", "-o", "lstart=", "-p", str(pid)]
    ps = subprocess.run(command, capture_output=True, check=False, text=True)  # noqa: S603
    return ps.stdout.strip() or None
