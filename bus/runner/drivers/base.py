"""What a driver does with a target: a container, a machine, or a folder that plays one.

Every driver passes one suite, `tests/runner/drivers/test_contract_*.py`. Callers hand in checked
values: names that the driver lists, absolute paths without `..`, argument vectors. Nothing here is
ever an option or a shell's text on the hub's machine. Every call ends in bounded time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from bus.runner.drivers.snapshots import Snapshot

# Called with "stdout" or "stderr" and what came, in order, from the thread that called `exec`; all
# of it, past the cap too.
OnOutput = Callable[[str, bytes], None]


class Printed:
    """What a run has printed so far: the first `cap` bytes of each stream, and how many came."""

    def __init__(self, cap: int = 1024 * 1024) -> None:
        self._cap = cap
        self._data = {"stdout": bytearray(), "stderr": bytearray()}
        self._sizes = {"stdout": 0, "stderr": 0}

    def take(self, stream: str, chunk: bytes) -> None:
        """Keep what fits, and count all of it."""
        data = self._data[stream]
        data += chunk[: max(0, self._cap - len(data))]
        self._sizes[stream] += len(chunk)

    def output(self, stream: str) -> Output:
        """Return what has come of one stream. May be called while more comes."""
        return Output(bytes(self._data[stream]), self._sizes[stream])


@dataclass(frozen=True)
class Run:
    """A program to be run in a target.

    `marker` is unique; every process of the run carries it (BUS_EXEC_ID), by which the run is
    ended. `cwd` None is the user's home, `user` None the target's own default (root in a
    container), else a name or `uid` or `uid:gid`. The driver puts into `printed` what comes, where
    others may look at it meanwhile.
    """

    argv: tuple[str, ...]
    marker: str
    timeout_s: float = 30.0
    cwd: str | None = None
    user: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: bytes = b""
    printed: Printed = field(default_factory=Printed)
    # Set by the driver: the shell to start it below, and what that is entered by.
    by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Output:
    """The first bytes of what came, at most `cap`, and how many came in all."""

    data: bytes
    size: int


@dataclass(frozen=True)
class Ended:
    """How a run ended. `exit_code` is the program's; 128 + N for signal N; None if it was ended, or
    is not known.

    `leaked` counts processes of the run that could not be ended; None: nobody knows, because the
    target cannot tell (macOS), or with `is_unreached` because it could not be reached: then `end`
    has to be tried again. `lost` says why nobody knows how the program ended: the client ended
    before it, and what was left of the program was ended by its marker.
    """

    exit_code: int | None
    stdout: Output
    stderr: Output
    duration_ms: int
    timed_out: bool = False
    cancelled: bool = False
    leaked: int | None = 0
    lost: str = ""
    is_unreached: bool = False


@dataclass(frozen=True)
class File:
    """A file, or the part of it that was asked for. `size` and `sha256` are those of the whole
    file; `mode` is like 0o644.

    `sha256` None: this is a part of a file that is too large to be read whole.
    """

    content: bytes
    size: int
    sha256: str | None
    mode: int
    uid: int
    gid: int


@dataclass(frozen=True)
class Write:
    """A file to be written, whole or not at all.

    `mode`, `uid` and `gid` None: those of the file that is there, else 0o644 and the target's
    default user. With `if_sha256` only a file with this content is replaced; with the empty text
    there must be none. With `real`, `path` must lead to this place, as `Driver.resolve` returns it.
    """

    path: str
    content: bytes
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    create_dirs: bool = False
    if_sha256: str | None = None
    real: str | None = None


@dataclass(frozen=True)
class Listed:
    """A target: `kind` container or machine.

    `state` is running, stopped, frozen (as for a snapshot), starting, stopping, error, or unknown
    (a machine is not asked).
    """

    name: str
    kind: str
    driver: str
    state: str
    addresses: tuple[str, ...] = ()
    snapshots: tuple[str, ...] = ()


class Restored(NamedTuple):
    """The snapshot that a restore went back to, the one of what was there before (None: none was
    asked for), and the older ones that were deleted for it.
    """

    snapshot: str
    saved: str | None = None
    removed: tuple[str, ...] = ()


class Driver(Protocol):
    """One way to reach targets. May be used by many threads at once."""

    name: str

    def list(self) -> list[Listed]:
        """Return what targets there are; raises DriverUnavailable."""

    def exec(
        self,
        target: str,
        run: Run,
        on_output: OnOutput | None = None,
        cancel: threading.Event | None = None,
    ) -> Ended:
        """Run a program. At its time, or if `cancel` is set, end its whole tree of processes and
        return what came until then.

        Raises NoSuchProgram, NoSuchFolder (cwd), NoSuchUser, TargetStopped, UnknownTarget,
        DriverUnavailable, TargetFailed; TargetBusy if it did not begin because the target is
        frozen, or another operation works on it.
        """

    def end(self, target: str, marker: str) -> int | None:
        """End what is left of a run that nobody waits for; return how many processes are left.

        None: the target cannot tell. Raises why the target cannot be reached; one that is stopped
        or gone has nothing left.
        """

    def resolve(self, target: str, path: str) -> str:
        """Return where a path leads inside the target, with every link resolved, the file's own
        too.

        What does not exist stays as written. Raises NotAFile for a link that leads nowhere or out,
        FileRefused, and what exec raises.
        """

    def read(
        self,
        target: str,
        path: str,
        offset: int,
        limit: int,
        max_size: int,
        real: str | None = None,
    ) -> File:
        """Return up to `limit` bytes of a regular file from `offset`.

        With `real`, raises PathMoved unless `path` leads there. A link is followed only within the
        target. Raises NoSuchFile, NotAFile (with `type`), FileRefused, TooLarge (for more than
        `max_size` bytes), and what exec raises.
        """

    def write(self, target: str, write: Write) -> File:
        """Write a new file beside the old one and rename it; return it as it is now, without its
        content.

        Raises FileChanged, PathMoved, NoSuchFolder, NotAFile, FileRefused, and what exec raises.
        """

    def ready(self, target: str) -> None:
        """Raise why nothing can be run there now, as far as that can be told beforehand: what exec
        raises.
        """

    # Operations on one container are done one after the other. Each raises TargetBusy when its turn
    # has not come in time, and then has done nothing.

    def start(self, target: str) -> bool:
        """Start a target, or thaw it; return False if it ran already.

        Raises NotSupported, UnknownTarget, TargetBusy, TargetFailed.
        """

    def stop(self, target: str, timeout_s: float = 30, force: bool = False) -> bool:
        """Stop a target, also a frozen one; return False if it was stopped already.

        After `timeout_s` it is stopped by force. Raises what `start` raises.
        """

    def snapshots(self, target: str) -> Sequence[Snapshot]:
        """Return the snapshots of a container, oldest first. Raises NotSupported, UnknownTarget."""

    def snapshot(self, target: str, name: str | None = None) -> str:
        """Make a snapshot and return its name, which is by the date if none is given.

        Raises SnapshotExists, and what `start` raises.
        """

    def restore(self, target: str, snapshot: str, keep: int = 0) -> Restored:
        """Go back to a snapshot; a date means the newest of that day.

        With `keep`, make a snapshot of the present state first, and keep so many of those that
        restores have made. Raises NoSuchSnapshot, and what `start` raises.
        """

    def delete_snapshot(self, target: str, name: str) -> None:
        """Delete the snapshot with exactly this name. Raises NoSuchSnapshot, and what `start`
        raises.
        """


class Targets(Protocol):
    """Where each name leads: `bus.runner.drivers.targets`."""

    def driver_of(self, name: str) -> Driver:
        """Return the driver of a target; raises UnknownTarget, DriverUnavailable."""

    def list(self) -> tuple[list[Listed], dict[str, str]]:
        """Return all targets, and why a driver could not list its own."""
