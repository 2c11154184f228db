"""Ending a program that was started in a session of its own (`start_new_session`)."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess

_GRACE_S = 2.0


def end(process: subprocess.Popen[bytes]) -> None:
    """End a command and, where the system has process groups, what it started: politely first, then
    for certain.
    """
    if os.name == "nt":
        process.kill()
        process.wait()
        return
    for how in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(OSError):
            os.killpg(process.pid, how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S if how is signal.SIGTERM else None)
