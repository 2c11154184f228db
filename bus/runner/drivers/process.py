"""A process on the hub's machine that works for a target: `lxc`, `ssh`, or a shell of the local
twin.

No shell sees the arguments, nothing waits without a deadline, and what comes is handed on in
pieces, never gathered here.
"""

from __future__ import annotations

import errno
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import IO, NamedTuple

from bus.errors import BadField, DriverUnavailable, TooLarge
from bus.runner.drivers.base import Printed

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin"
_CHUNK = 1 << 16
_LOOK_S = 0.05  # how often a cancel is looked for

Take = Callable[[str, bytes], None]


class Command(NamedTuple):
    """What is run on the hub's machine."""

    argv: Sequence[str]
    environ: Mapping[str, str]
    folder: str | None = None


class Process:
    """A process in a session of its own, which ends with the `with` block."""

    def __init__(self, command: Command, stdin: bytes = b"") -> None:
        self._popen = _started(command, subprocess.PIPE if stdin else subprocess.DEVNULL)
        self._stdin = memoryview(stdin)
        self._selector = selectors.DefaultSelector()
        for name, pipe in (
            ("stdout", self._popen.stdout),
            ("stderr", self._popen.stderr),
            ("stdin", self._popen.stdin),
        ):
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
                event = selectors.EVENT_WRITE if name == "stdin" else selectors.EVENT_READ
                self._selector.register(pipe, event, name)

    @property
    def was_killed(self) -> bool:
        """Return whether a signal ended it; not if it reports a signal of another process."""
        return self._popen.returncode is not None and self._popen.returncode < 0

    def ended(self) -> int | None:
        """Return its code if it has ended, though others may still hold its output."""
        return _code(self._popen.poll())

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        # The group is the client's own: also what it started is gone, as ssh's ProxyCommand.
        if self._popen.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._popen.pid, signal.SIGKILL)
        for key in list(self._selector.get_map().values()):
            self._close(key.fileobj)  # type: ignore[arg-type]
        self._selector.close()
        self._popen.wait()

    def pump(self, until: float, take: Take, cancel: threading.Event | None = None) -> int | None:
        """Hand on what comes until both streams and the process end; return its code, 128 + N for
        signal N.

        Returns None if it has not ended at `until` (monotonic), or if `cancel` was set. May be
        called again.
        """
        while self._selector.get_map():
            left = _left(until, cancel)
            if left is None:
                return None
            for key, _ in self._selector.select(left):
                self._move(key.data, key.fileobj, take)  # type: ignore[arg-type]
            if [key.data for key in self._selector.get_map().values()] == ["stdin"]:
                # Nobody is left who would read it.
                self._close(self._popen.stdin)  # type: ignore[arg-type]
        while (left := _left(until, cancel)) is not None:
            with suppress(subprocess.TimeoutExpired):
                return _code(self._popen.wait(left))
        return None

    def _move(self, name: str, pipe: IO[bytes], take: Take) -> None:
        try:
            if name == "stdin":
                self._stdin = self._stdin[os.write(pipe.fileno(), self._stdin[:_CHUNK]) :]
                if not self._stdin:
                    self._close(pipe)
            elif chunk := os.read(pipe.fileno(), _CHUNK):
                take(name, chunk)
            else:
                self._close(pipe)
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self._close(pipe)  # it does not want the rest

    def _close(self, pipe: IO[bytes]) -> None:
        self._selector.unregister(pipe)
        with suppress(OSError):
            pipe.close()


def _code(code: int | None) -> int | None:
    """Return a code as shells tell it: 128 + N for signal N."""
    return code if code is None or code >= 0 else 128 - code


def _started(command: Command, stdin: int) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(  # noqa: S603
            command.argv,
            bufsize=0,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=command.folder,
            env=dict(command.environ),
            start_new_session=True,
            umask=0o022,  # the service's own is for the data folder
        )
    except ValueError:
        raise BadField("An argument or a variable has a NUL in it.") from None
    except OSError as error:
        if error.errno == errno.E2BIG:
            size = sum(len(os.fsencode(argument)) for argument in command.argv)
            raise TooLarge(
                "The arguments and variables are too long for the system.", size=size
            ) from None
        raise DriverUnavailable(f"{command.argv[0]} cannot be started: {error.strerror}.") from None


def _left(until: float, cancel: threading.Event | None) -> float | None:
    """Return how long to wait at once; None if the time is over."""
    left = until - time.monotonic()
    if left <= 0 or (cancel is not None and cancel.is_set()):
        return None
    return left if cancel is None else min(left, _LOOK_S)


class Said(NamedTuple):
    """What a short command said; `code` None when it did not end in time."""

    code: int | None
    stdout: bytes
    stderr: str


def said(command: Command, timeout_s: float, cap: int = 1 << 20) -> Said:
    """Run a short command to its end."""
    printed = Printed(cap)
    with Process(command) as process:
        code = process.pump(time.monotonic() + timeout_s, printed.take)
    stderr = text(printed.output("stderr").data)
    return Said(code, printed.output("stdout").data, stderr)


def text(data: bytes) -> str:
    """Return what a program said about its failure, for a message.

    That is the last lines, without control characters.
    """
    words = data[-2000:].decode("utf-8", "replace").strip()
    return "".join(letter if letter.isprintable() else " " for letter in words)[-500:]
