"""Folders that play containers: for a laptop without LXD, and for fast tests.

They confine nothing but paths. A target's folder is its `/` for files and for `cwd`, and its home;
programs run as the hub's own user and see the whole machine. State and snapshots are in
`FOLDER.bus` beside it.
"""

from __future__ import annotations

import getpass
import os
import shutil
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from bus.errors import (
    BusError,
    DriverUnavailable,
    NoSuchFolder,
    NotAFile,
    NotSupported,
    SnapshotExists,
    TargetBusy,
    TargetFailed,
    TargetStopped,
    UnknownTarget,
)
from bus.runner.drivers import files
from bus.runner.drivers.base import Ended, File, Listed, OnOutput, Run, Write
from bus.runner.drivers.container import ContainerDriver
from bus.runner.drivers.process import PATH, Command, said, text
from bus.runner.drivers.queues import Queues
from bus.runner.drivers.snapshots import Snapshot

_TARGET = "BUS_LOCAL_TARGET"  # in the environment of all that runs in a target; its folder
_COPY_S = 600.0


class LocalDriver(ContainerDriver):
    """Folders by the names of their targets; a missing folder is made."""

    name = "local"

    def __init__(
        self,
        folders: Mapping[str, Path],
        file_timeout_s: float = 30.0,
        queues: Queues | None = None,
    ) -> None:
        self._folders = {
            target: Path(os.path.realpath(folder)) for target, folder in folders.items()
        }
        self.queues = queues or Queues()
        self.file_timeout_s = file_timeout_s

    def list(self) -> list[Listed]:
        return [
            Listed(
                target,
                "container",
                self.name,
                self._state(target),
                (),
                tuple(one.name for one in self.snapshots(target)),
            )
            for target in sorted(self._folders)
        ]

    def exec(
        self,
        target: str,
        run: Run,
        on_output: OnOutput | None = None,
        cancel: threading.Event | None = None,
    ) -> Ended:
        self.ready(target)
        if run.user is not None and run.user not in _self():
            raise NotSupported(f"{target} is a folder: all in it runs as {_self()[0]}.")
        return super().exec(target, run, on_output, cancel)

    def resolve(self, target: str, path: str) -> str:
        self._inside(target, path)
        real = Path(
            files.resolve(self, target, f"{self._root(target)}/{path}", self.file_timeout_s)
        )
        if not real.is_relative_to(self._root(target)):
            raise NotAFile(f"{path} leads out of {target}.", type="link")
        return f"/{real.relative_to(self._root(target))}"

    def read(
        self,
        target: str,
        path: str,
        offset: int,
        limit: int,
        max_size: int,
        real: str | None = None,
    ) -> File:
        place, real = str(self._inside(target, path)), self._below(target, real)
        return files.read(
            self, target, path, offset, limit, max_size, self.file_timeout_s, place, real
        )

    def write(self, target: str, write: Write) -> File:
        self._inside(target, write.path)
        folder, _, name = write.path.rpartition("/")
        # Not the whole path: that a link leads nowhere is for the script to find.
        place = str(self._inside(target, folder or "/") / name)
        write = replace(write, real=self._below(target, write.real))
        return files.write(self, target, write, self.file_timeout_s, place)

    def ready(self, target: str) -> None:
        state = self._state(target)
        if state == "frozen":
            raise TargetBusy(f"{target} is frozen.")
        if state == "stopped":
            raise TargetStopped(f"{target} is stopped.")

    def snapshots(self, target: str) -> Sequence[Snapshot]:
        found: list[Snapshot] = []
        with suppress(FileNotFoundError), os.scandir(self._beside(target) / "snapshots") as entries:
            for entry in entries:
                if not entry.name.startswith("."):
                    # What is copied keeps its other times.
                    made = datetime.fromtimestamp(entry.stat(follow_symlinks=False).st_ctime, UTC)
                    found.append(Snapshot(entry.name, made))
        return sorted(found, key=lambda snapshot: (snapshot.made, snapshot.name))

    def _start(self, target: str) -> bool:
        was_running = self._state(target) == "running"
        for mark in ("stopped", "frozen"):
            (self._beside(target) / mark).unlink(missing_ok=True)
        return not was_running

    def _stop(self, target: str, timeout_s: float, force: bool) -> bool:
        if self._state(target) == "stopped":
            return False
        try:
            self._beside(target).mkdir(parents=True, exist_ok=True)
            (self._beside(target) / "stopped").touch()
            (self._beside(target) / "frozen").unlink(missing_ok=True)
        except OSError as error:
            raise TargetFailed(f"{target} cannot be stopped: {error}") from error
        self._end_all(target)
        return True

    def _make_snapshot(self, target: str, name: str) -> None:
        made = self._beside(target) / "snapshots" / name
        if made.exists():
            raise SnapshotExists(f"{target} has a snapshot {name}.")
        _copy(self._root(target), made)

    def _go_back(self, target: str, name: str) -> None:
        made = self._beside(target) / "snapshots" / name
        root, new, old = (
            self._root(target),
            self._beside(target) / "restored",
            self._beside(target) / "replaced",
        )
        for left_over in (new, old):
            shutil.rmtree(left_over, ignore_errors=True)
        _copy(made, new)
        self._end_all(target)  # as LXD does: what runs in it is ended
        try:
            root.rename(old)
            new.rename(root)
        except OSError as error:
            raise TargetFailed(f"{target} cannot be restored: {error}") from error
        shutil.rmtree(old, ignore_errors=True)

    def _remove_snapshot(self, target: str, name: str) -> None:
        made = self._beside(target) / "snapshots" / name
        going = made.with_name(f".{name}.going")  # so that no half of it is ever restored
        try:
            shutil.rmtree(going, ignore_errors=True)
            made.rename(going)
            shutil.rmtree(going)
        except OSError as error:
            raise TargetFailed(
                f"The snapshot {name} of {target} cannot be deleted: {error}"
            ) from error

    def _command(
        self, target: str, argv: Sequence[str], env: Mapping[str, str], run: Run | None = None
    ) -> Command:
        base = {
            "PATH": os.environ.get("PATH", PATH),
            "LANG": os.environ.get("LANG", "C.UTF-8"),
            "USER": _self()[0],
        }
        if run is None:
            return Command(argv, {**base, **env})
        root = str(self._root(target))
        return Command(argv, {**base, "HOME": root, **env, _TARGET: root}, root)

    def _entered(self, target: str, run: Run) -> str:
        if run.cwd is None:
            return ""
        try:
            return str(self._inside(target, run.cwd))
        except NotAFile:
            raise NoSuchFolder(f"{run.cwd} leads out of {target}.") from None

    def _refusal(self, target: str, code: int, words: str) -> BusError:
        if self._state(target) == "stopped":
            return TargetStopped(f"{target} was stopped.")
        return DriverUnavailable(f"sh ended with {code}: {text(words.encode())}")

    def _gone(self, target: str) -> BusError | None:
        return (
            TargetStopped(f"{target} was stopped while the program ran.")
            if self._state(target) == "stopped"
            else None
        )

    def _root(self, target: str) -> Path:
        try:
            root = self._folders[target]
        except KeyError:
            raise UnknownTarget(f"There is no folder for a target {target}.") from None
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DriverUnavailable(f"The folder of {target} cannot be made: {error}") from error
        return root

    def _beside(self, target: str) -> Path:
        root = self._root(target)
        return root.with_name(root.name + ".bus")

    def _state(self, target: str) -> str:
        """Return the state that the marks beside the folder tell.

        `frozen` is set and removed by hand, or removed by a start or stop.
        """
        found = [mark for mark in ("stopped", "frozen") if (self._beside(target) / mark).exists()]
        return found[0] if found else "running"

    def _inside(self, target: str, path: str) -> Path:
        """Return where this path of the target is on the machine, with links resolved.

        Raises NotAFile if a link leads out.
        """
        root = self._root(target)
        place = Path(os.path.realpath(f"{root}/{path}"))
        if not place.is_relative_to(root):
            raise NotAFile(f"{path} leads out of {target}.", type="link")
        return place

    def _below(self, target: str, real: str | None) -> str | None:
        """Return where a resolved path of the target is on the machine."""
        return None if real is None else f"{self._root(target)}{real}"

    def _end_all(self, target: str) -> None:
        self.end_marked(target, f"{_TARGET}={self._root(target)}")


def _self() -> tuple[str, ...]:
    """Return the names and numbers by which the user of this process is known."""
    numbers = str(os.getuid()), f"{os.getuid()}:{os.getgid()}"
    try:
        return getpass.getuser(), *numbers
    except (KeyError, OSError):  # a number without a line in passwd
        return numbers


def _copy(source: Path, made: Path) -> None:
    """Copy a folder with all that is in it, whole or not at all."""
    part = made.with_name("." + made.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        # Not shutil: that opens what it finds, a device for one.
        told = said(Command(["cp", "-a", "--", str(source), str(part)], {"PATH": PATH}), _COPY_S)
        if told.code != 0:
            shutil.rmtree(part, ignore_errors=True)
            raise TargetFailed(f"The folder cannot be copied: {told.stderr or 'it took too long'}")
        part.rename(made)
    except OSError as error:
        raise TargetFailed(f"The folder cannot be copied: {error}") from error
