"""Which process leads: does what must be done once and not by every worker.

The leader holds a lock on a file, which the system takes back when the process ends. Another one
leads a moment later.
"""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock, Timeout

from bus.system import modes


class Leader:
    """Asks for the lead, and keeps it until `leave` or the end of the process."""

    def __init__(self, path: Path) -> None:
        # Not thread-local: whichever thread asks, it is the process that leads.
        self._lock = FileLock(path, timeout=0, mode=modes.FILE, thread_local=False)

    def lead(self) -> bool:
        """Return whether this process leads now; never waits."""
        if self._lock.is_locked:
            return True
        try:
            self._lock.acquire()
        except (Timeout, OSError):
            return False
        return True

    def leave(self) -> None:
        """Let another process lead."""
        self._lock.release(force=True)
