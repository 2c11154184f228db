"""Machines that are no containers, through the system's own `ssh`: its configuration, keys and
known hosts.

A machine has a POSIX shell, and its user's login shell quotes as one does (sh, bash, zsh, ksh; not
fish, not csh). Without a /proc (macOS) a run that is ended takes its process group with it, and
what left that is not found.
"""

from __future__ import annotations

import os
import re
import shlex
import threading
from collections.abc import Mapping, Sequence

from bus.errors import BusError, DriverUnavailable, NotSupported, TargetFailed, UnknownTarget
from bus.runner.drivers import files
from bus.runner.drivers.base import Ended, File, Listed, OnOutput, Restored, Run, Write
from bus.runner.drivers.posix import PosixDriver
from bus.runner.drivers.process import PATH, Command, text
from bus.runner.drivers.snapshots import Snapshot
from bus.runner.drivers.table import Machine

_OPTIONS = (
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "ConnectTimeout=10",
    "ServerAliveInterval=15",
    "ForwardAgent=no",
    "ForwardX11=no",
    "ClearAllForwardings=yes",
    "PermitLocalCommand=no",
    "EscapeChar=none",
    "RequestTTY=no",
    "RemoteCommand=none",
    "LogLevel=ERROR",
)
_BROKEN = (
    r"^(client_loop|Connection to .* closed by|Timeout, server|Read from remote host|Write failed)"
)
# What ssh itself needs of the hub's environment: keys, and the user it runs as.
_KEPT = ("HOME", "USER", "LOGNAME", "SSH_AUTH_SOCK")


class SshDriver(PosixDriver):
    """Machines by the names of their targets."""

    name = "ssh"
    # Before it runs a command, the login shell reads its start-up files, and what those print is in
    # front of everything.
    says_begin = True

    def __init__(self, machines: Mapping[str, Machine], file_timeout_s: float = 30.0) -> None:
        self._machines = dict(machines)
        self.file_timeout_s = file_timeout_s

    def list(self) -> list[Listed]:
        return [
            Listed(target, "machine", self.name, "unknown", (machine.host,))
            for target, machine in sorted(self._machines.items())
        ]

    def exec(
        self,
        target: str,
        run: Run,
        on_output: OnOutput | None = None,
        cancel: threading.Event | None = None,
    ) -> Ended:
        user = self._machine(target).user
        if run.user is not None and run.user != user:
            entered_as = user or "the user that ssh is set to"
            raise NotSupported(
                f"{target} is entered as {entered_as};"
                " another user needs an entry of its own in the table."
            )
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
        self._machine(target)  # whether it can be reached shows when it is entered

    def start(self, target: str) -> bool:
        raise self._no_states(target)

    def stop(self, target: str, timeout_s: float = 30, force: bool = False) -> bool:
        raise self._no_states(target)

    def snapshots(self, target: str) -> Sequence[Snapshot]:
        raise self._no_states(target)

    def snapshot(self, target: str, name: str | None = None) -> str:
        raise self._no_states(target)

    def restore(self, target: str, snapshot: str, keep: int = 0) -> Restored:
        raise self._no_states(target)

    def delete_snapshot(self, target: str, name: str) -> None:
        raise self._no_states(target)

    def _command(
        self, target: str, argv: Sequence[str], env: Mapping[str, str], run: Run | None = None
    ) -> Command:
        machine = self._machine(target)
        options = [part for option in _OPTIONS for part in ("-o", option)]
        if machine.config is not None:
            options[:0] = ["-F", str(machine.config)]
        if machine.user is not None:
            options += ["-l", machine.user]
        if machine.port is not None:
            options += ["-p", str(machine.port)]
        variables = ["env", *(f"{name}={value}" for name, value in env.items())] if env else []
        environ = {
            "PATH": PATH,
            "LC_ALL": "C",
            **{name: os.environ[name] for name in _KEPT if name in os.environ},
        }
        return Command(
            ["ssh", "-T", *options, "--", machine.host, shlex.join(["exec", *variables, *argv])],
            environ,
        )

    def _refusal(self, target: str, code: int, words: str) -> BusError:
        if code == 255:
            return DriverUnavailable(f"ssh does not reach {target}: {text(words.encode())}")
        return TargetFailed(f"{target} has no usable shell ({code}): {text(words.encode())}")

    def _may_have_run(self, words: str) -> bool:
        # A connection that broke once it stood. What keeps one from being made is told in other
        # words.
        return re.search(_BROKEN, words, re.MULTILINE) is not None

    def _machine(self, target: str) -> Machine:
        try:
            return self._machines[target]
        except KeyError:
            raise UnknownTarget(f"There is no machine {target}.") from None

    def _no_states(self, target: str) -> NotSupported:
        self._machine(target)
        return NotSupported(
            f"{target} is a machine and no container: it has no states and no snapshots here."
        )
