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
from busclient._processes import born_of

_LISTENING = "0A"  # the state of a socket in /proc/net/tcp


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


def listeners(port: int) -> list[int]:
    """Return the processes that listen at a TCP port of this machine, as far as this user may see
    (Linux).
    """
    sockets = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    sockets.add(f"socket:[{fields[9]}]")
    found = []
    for folder in Path("/proc").glob("[0-9]*") if sockets else ():
        with contextlib.suppress(OSError):
            if any(_link(one) in sockets for one in (folder / "fd").iterdir()):
                found.append(int(folder.name))
    return found


def command_of(pid: int) -> list[str]:
    """Return the command line of a process; nothing if it cannot be seen (Linux)."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
    return []


def _link(path: Path) -> str:
    with contextlib.suppress(OSError):
        return str(path.readlink())
    return ""
