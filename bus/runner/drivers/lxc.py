"""Containers of LXD, or of Incus, which takes the same arguments but for snapshots. Through the
client, never the socket.

What the client does, as measured on LXD 5.0.2: killing it leaves grandchildren running, `--cwd`
that is missing is silently `/`, `--user` takes numbers only and leaves the group at root's, and
`file pull` of a FIFO hangs and then blocks the container's deletion. So programs run below
start.sh, files come by scripts, and users are looked up first.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import quote

from bus.errors import (
    BusError,
    DriverUnavailable,
    NoSuchProgram,
    NoSuchSnapshot,
    SnapshotExists,
    TargetBusy,
    TargetFailed,
    TargetStopped,
    UnknownTarget,
)
from bus.runner.drivers import files, instances, users
from bus.runner.drivers.base import Ended, File, Listed, OnOutput, Run, Write
from bus.runner.drivers.container import STOP, ContainerDriver
from bus.runner.drivers.instances import FROZEN, RUNNING, STOPPED
from bus.runner.drivers.names import CONTAINER
from bus.runner.drivers.process import PATH, Command, Said, said, text
from bus.runner.drivers.queues import Queues
from bus.runner.drivers.snapshots import Snapshot

# What the client needs of the hub's environment: its own settings, and where the daemon's socket
# is.
_KEPT = (
    "HOME",
    "LXD_CONF",
    "LXD_DIR",
    "LXD_SOCKET",
    "INCUS_CONF",
    "INCUS_DIR",
    "INCUS_SOCKET",
    "INCUS_PROJECT",
)
_LIST_S = 20.0
_CHANGE_S = 300.0  # start, snapshot, restore: with a folder as storage they copy
_ONCE_IN_S = 1.0
_ROOT = (None, "root", "0", "0:0")  # as whom a program runs anyway
_LOOK_S = 0.5  # how often an operation of others is looked for
_NO_INSTANCE = "Instance not found"


class LxcDriver(ContainerDriver):
    """The containers of one project; `only` narrows them, empty: all."""

    def __init__(
        self,
        client: str = "lxc",
        project: str = "default",
        only: Collection[str] = (),
        file_timeout_s: float = 30.0,
    ):
        self.name = client
        self._project, self._only = project, frozenset(only)
        self.file_timeout_s = file_timeout_s
        self.queues = Queues()
        self._lock = threading.Lock()
        self._known: frozenset[str] = frozenset()
        self._asked_at = float("-inf")
        self._trouble: DriverUnavailable | None = None

    def has(self, target: str) -> bool:
        """Return whether there is this container.

        One that was there counts as there until a call finds it gone.
        """
        with self._lock:
            if target in self._known:
                return True
            if time.monotonic() - self._asked_at >= _ONCE_IN_S:
                self._ask()
            if self._trouble is not None:
                raise self._trouble
            return target in self._known

    def list(self) -> list[Listed]:
        return [instances.listed(entry, self.name) for entry in self._entries()]

    def exec(
        self,
        target: str,
        run: Run,
        on_output: OnOutput | None = None,
        cancel: threading.Event | None = None,
    ) -> Ended:
        if run.user in _ROOT:
            run = replace(run, user=None)
        else:
            run = users.as_numbers(target, run, partial(super().exec, target))
        return super().exec(target, run, on_output, cancel)

    def resolve(self, target: str, path: str) -> str:
        return files.resolve(self, target, path, self.file_timeout_s)

    def read(
        self,
        target: str,
        path: str,
        offset: int,
        limit: int,
        max_size: int,
        real: str | None = None,
    ) -> File:
        return files.read(
            self, target, path, offset, limit, max_size, self.file_timeout_s, real=real
        )

    def write(self, target: str, write: Write) -> File:
        return files.write(self, target, write, self.file_timeout_s)

    def ready(self, target: str) -> None:
        state = self._state(target)
        if state == FROZEN:
            raise self._frozen(target)
        if state != RUNNING:
            raise self._not_running(target)

    def snapshots(self, target: str) -> Sequence[Snapshot]:
        return instances.snapshots(
            self._asked(target, f"/1.0/instances/{target}/snapshots?recursion=1")
        )

    @contextmanager
    def turn(self, target: str, kind: str, joins: str = "") -> Iterator[None]:
        with super().turn(target, kind, joins):
            self._wait_for_others(target, instances.STOPPING if kind == STOP else "")
            yield

    def _start(self, target: str) -> bool:
        if self._state(target) == RUNNING:
            return False
        told = self._told("start", target)
        return self._changed(target, told, "already running")

    def _stop(self, target: str, timeout_s: float, force: bool) -> bool:
        if self._state(target) == STOPPED:
            return False
        how = ["--force"] if force else [f"--timeout={max(1, round(timeout_s))}"]
        told = self._told("stop", target, *how, timeout_s=timeout_s + 60)
        if told.code == 0 or force:
            return self._changed(target, told, "already stopped")
        try:
            if self._state(target) != STOPPED:
                told = self._told("stop", target, "--force")
            return self._changed(target, told, "already stopped")
        except DriverUnavailable as error:  # by now it is not true that nothing was done
            raise TargetFailed(
                f"{target} was asked to stop, and may still do so: {error.message}"
            ) from error

    def _make_snapshot(self, target: str, name: str) -> None:
        told = self._told(*self._snapshot_verb("snapshot", "create"), target, name)
        if told.code != 0 and "already exists" in told.stderr:
            raise SnapshotExists(f"{target} has a snapshot {name}.")
        self._changed(target, told)

    def _go_back(self, target: str, name: str) -> None:
        told = self._told(*self._snapshot_verb("restore", "restore"), target, name)
        self._changed_snapshot(target, name, told)

    def _remove_snapshot(self, target: str, name: str) -> None:
        if self.name == "incus":
            told = self._told("snapshot", "delete", target, name)
        else:
            told = self._told("delete", f"{target}/{name}")
        self._changed_snapshot(target, name, told)

    def _changed_snapshot(self, target: str, name: str, told: Said) -> None:
        is_missing = (
            re.search(r"[Ss]napshot.*(does not exist|not found)", told.stderr)
            and _NO_INSTANCE not in told.stderr
        )
        if told.code != 0 and is_missing:
            raise NoSuchSnapshot(f"{target} has no snapshot {name}.")
        self._changed(target, told)

    def _wait_for_others(self, target: str, except_for: str) -> None:
        """Return when nothing is being done with the target by others; raises TargetBusy.

        Not for a stop, where this is one: LXD's own waits for ever when nobody says how long.
        """
        until = time.monotonic() + self.queue_s
        while (doing := self._operation(target)) not in (None, except_for):
            if time.monotonic() > until:
                raise TargetBusy(
                    f"{self.name} is still at work on {target}: {doing}. Nothing was done."
                )
            time.sleep(_LOOK_S)

    def _operation(self, target: str) -> str | None:
        """Return what anybody is doing with this target."""
        return instances.operation(self._asked(target, "/1.0/operations?recursion=1"), target)

    def _asked(self, target: str, path: str) -> Any:
        """Return what the daemon answers, or an empty object if it says nothing.

        Raises UnknownTarget, DriverUnavailable.
        """
        path += f"{'&' if '?' in path else '?'}project={quote(self._project)}"
        told = said(self._client(["query"], path), _LIST_S, cap=1 << 26)
        if told.code != 0:
            raise self._refusal(
                target, told.code or 1, told.stderr or "no answer in time: dial unix"
            )
        try:
            return json.loads(told.stdout.strip() or b"{}")
        except ValueError:
            raise DriverUnavailable(f"{self.name} query answered no JSON.") from None

    def _snapshot_verb(self, lxd: str, incus: str) -> tuple[str, ...]:
        return ("snapshot", incus) if self.name == "incus" else (lxd,)

    def _client(self, verb: Sequence[str], *arguments: str) -> Command:
        environ = {
            "PATH": PATH,
            "LC_ALL": "C",
            **{name: os.environ[name] for name in _KEPT if name in os.environ},
        }
        return Command([self.name, *verb, *arguments], environ)

    def _command(
        self, target: str, argv: Sequence[str], env: Mapping[str, str], run: Run | None = None
    ) -> Command:
        options = [
            "--project",
            self._project,
            "-T",
            *(f"--env={name}={value}" for name, value in env.items()),
        ]
        if run is not None and run.user is not None:
            uid, gid = run.user.split(":")
            options += [
                *([] if run.by else ["--user", uid, "--group", gid]),
                f"--cwd={run.env['HOME']}",
            ]
        return self._client(["exec"], target, *options, "--", *argv)

    def _told(self, *verb_and_arguments: str, timeout_s: float = _CHANGE_S) -> Said:
        return said(self._client(verb_and_arguments, "--project", self._project), timeout_s)

    def _changed(self, target: str, told: Said, already: str = "") -> bool:
        """Return whether it was done; False if the client says that it was so already.

        Raises why it was not done.
        """
        if told.code == 0:
            return True
        if already and already in told.stderr:
            return False
        if told.code is None:
            raise TargetFailed(f"{self.name} has not ended in time; {target} may still change.")
        if self._may_have_run(told.stderr):
            raise self._failed(told.code, told.stderr)
        raise self._refusal(target, told.code, told.stderr)

    def _state(self, target: str) -> str:
        """Return the state in the driver's words; raises UnknownTarget, DriverUnavailable."""
        return instances.state_of(self._asked(target, f"/1.0/instances/{target}"))

    def _entries(self) -> Sequence[dict[str, Any]]:
        """Return what LXD lists and the setting lets through."""
        told = said(
            self._client(["list"], "--project", self._project, "--format", "json"),
            _LIST_S,
            cap=1 << 26,
        )
        if told.code != 0:
            raise DriverUnavailable(f"{self.name} list: {told.stderr or 'no answer in time'}")
        entries = json.loads(told.stdout)
        return [
            entry
            for entry in entries
            if CONTAINER.fullmatch(entry["name"]) and self._is_let(entry["name"])
        ]

    def _is_let(self, target: str) -> bool:
        return not self._only or target in self._only

    def _ask(self) -> None:
        self._trouble = None
        try:
            self._known = frozenset(entry["name"] for entry in self._entries())
        except DriverUnavailable as error:
            self._trouble = error
        self._asked_at = time.monotonic()

    def _refusal(self, target: str, code: int, words: str) -> BusError:
        if re.search(
            r"[Ii]nstance not found|[Nn]ot [Ff]ound.*[Ii]nstance|^Error: Not Found", words
        ):
            with self._lock:
                self._known -= {target}
            return UnknownTarget(f"There is no container {target}.")
        if (not_now := self._not_now(target, words)) is not None:
            return not_now
        if "Command not found" in words:
            return NoSuchProgram(f"{target} has no sh, by which programs are started.")
        if re.search(
            r"dial unix|unix\.socket|[Cc]onnection refused|permission denied|not accessible", words
        ):
            return DriverUnavailable(f"{self.name}: {text(words.encode())}")
        return self._failed(code, words)

    def _failed(self, code: int, words: str) -> TargetFailed:
        said = f": {text(words.encode())}" if words else " and said nothing"
        return TargetFailed(f"{self.name} ended with {code}{said}")

    def _not_now(self, target: str, words: str) -> BusError | None:
        """Return the error for a state in which nothing starts, if these words say that."""
        if re.search(r"([Ii]nstance|[Cc]ontainer) is frozen", words):
            return self._frozen(target)
        if re.search(r"[Ii]nstance is busy running|agent isn't currently running", words):
            return TargetBusy(f"{target} is busy: {text(words.encode())}")
        if re.search(r"[Ii]nstance is (not running|stopped)|[Cc]ontainer is not running", words):
            return self._not_running(target)
        return None

    def _frozen(self, target: str) -> TargetBusy:
        return TargetBusy(f"{target} is frozen{self._doing(target)}.")

    def _not_running(self, target: str) -> BusError:
        if doing := self._doing(target):
            return TargetBusy(f"{target} is not running{doing}.")
        return TargetStopped(f"{target} is not running.")

    def _doing(self, target: str) -> str:
        """Return in words what keeps a target from running anything; empty: nothing."""
        try:
            doing = self._operation(target)
        except BusError:
            doing = None
        if doing is None and self.queues.has(target):
            doing = "an operation of the hub's"
        return (
            "" if doing is None else f" while {self.name} is at work on it ({text(doing.encode())})"
        )

    def _silent(self, code: int) -> int | None:
        # Under load lxc exec loses the whole stderr of a short run, about 3 in 1,000 (LXD 5.0.2,
        # 2026-11-21). It then has the exit code of the script, which is the program's, but 125 for
        # those to which lxc would add words.
        return code if code <= 128 and code not in (1, 125, 126, 127) else None

    def _gone(self, target: str) -> BusError | None:
        try:
            state = self._state(target)
        except UnknownTarget as error:
            return error
        return (
            TargetStopped(f"{target} was stopped while the program ran.")
            if state == STOPPED
            else None
        )

    def _may_have_run(self, words: str) -> bool:
        # Nothing was said, or LXD died after it had taken the command.
        return (
            not words
            or re.search(r"websocket|EOF|[Cc]onnection reset|[Bb]roken pipe", words) is not None
        )
