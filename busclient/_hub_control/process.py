"""Which process the hub of this machine is.

Process numbers are used again, so a number alone is not enough.
"""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

from busclient._places import Places


def listens(url: str) -> bool:
    """Return whether something accepts connections at this address."""
    address = urlsplit(url)
    with (
        contextlib.suppress(OSError),
        socket.create_connection((address.hostname, address.port or 80), timeout=2),
    ):
        return True
    return False


def is_hub(pid: int, born: str | None, places: Places) -> bool:
    """Return whether this process lives and is the hub that was started here."""
    with contextlib.suppress(ChildProcessError, OSError):
        os.waitpid(pid, os.WNOHANG)  # ours, when `down` runs in the program that ran `up`
    now = born_of(pid)
    if now is None:
        return False
    if born is not None:
        return now == born
    try:  # noted by an older client: by its data folder
        return (
            f"BUS_DATA_DIR={places.hub_data}\0".encode()
            in Path(f"/proc/{pid}/environ").read_bytes() + b"\0"
        )
    except OSError:
        return False


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
