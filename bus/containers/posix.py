"""What is the same in every target that has a POSIX shell: running programs, reading and writing files."""

from __future__ import annotations

import re
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from bus.containers import scripts
from bus.containers.base import Ended, OnOutput, Output, Run
from bus.containers.process import Command, Kept, Process, said
from bus.containers.signs import Signs
from bus.errors import BusError, NoSuchFolder, NoSuchProgram

MARK = "BUS_EXEC_ID"
_LOST = b"[bus: the client lost what this command wrote here]\n"

_KILL_S = 15.0  # for ending a tree of processes; it takes a tenth of a second
_QUIET_S = 2.0
_AFTER_S = 1.0  # what was ended has this long to hand over what it has said


class PosixDriver(ABC):
    """A driver whose targets are entered by one command on the hub's machine."""

    name: str
    file_timeout_s: float
    _shell: tuple[str, ...] = ("sh", "-c", scripts.START, "sh")

    @abstractmethod
    def _command(self, target: str, argv: Sequence[str], env: Mapping[str, str], run: Run | None = None) -> Command:
        """What runs `argv` in the target: as its default user, or as `run` says."""

    @abstractmethod
    def _refusal(self, target: str, code: int, words: str) -> BusError:
        """Why nothing was started, by the client's exit code and words."""

    @abstractmethod
    def _lost(self, target: str, code: int, words: str) -> int | BusError:
        """What it means that a run was started and its end never told: its exit code after all, or an error."""

    def _entered(self, target: str, run: Run) -> str:
        """The working folder that the script enters; empty: it stays where it begins."""
        return run.cwd or ""

    def exec(self, target: str, run: Run, on_output: OnOutput | None = None, cancel: threading.Event | None = None) -> Ended:
        if not run.argv or run.argv[0].startswith("-"):
            raise NoSuchProgram("A program's name does not begin with '-'.")
        return _Running(self, target, run, on_output).ended(cancel)

    def start_command(self, target: str, run: Run, word: str) -> Command:
        argv = [*self._shell, word, self._entered(target, run), *run.argv]
        return self._command(target, argv, {**run.env, MARK: run.marker}, run)

    def _silent(self, code: int) -> int | None:
        """The program's exit code, where a client that said nothing at all ended with this one; None: it cannot be told."""
        return None

    def outcome(self, target: str, run: Run, signs: Signs, code: int, words: str) -> int:
        """The exit code of a run that came to its end; raises what kept it from its start or its end."""
        if "folder" in signs.said:
            raise NoSuchFolder(f"There is no folder {run.cwd} in {target}, or it may not be entered.")
        if "failed" in signs.said:
            raise NoSuchProgram(f"There is no program {run.argv[0][:200]} in {target}, or it cannot be run.")
        if "started" not in signs.said:
            if not words and (silent := self._silent(code)) is not None:
                return silent
            raise self._refusal(target, code, words)
        if told := signs.numbers("code"):
            return told[0]
        meaning = self._lost(target, code, words)
        if isinstance(meaning, BusError):
            raise meaning
        return meaning

    def end(self, target: str, marker: str) -> int | None:
        """End what is left of a run that nobody waits for any more; see `base.Driver`."""
        return self.end_marked(target, f"{MARK}={marker}")

    def end_marked(
        self, target: str, text: str, traces: Sequence[int] = (), look: bool = False, user: str | None = None
    ) -> int | None:
        """End every process with this text in its environment, and what belongs to it by the `traces` of its start.

        Gives how many are left; None: unknown. With `look` none is ended. `user` is whom the run ran as, where by number.
        """
        numbers = [str(number) for number in (*traces, 0, 0, 0)[:3]]
        uid = (user or "").partition(":")[0]
        argv = ["sh", "-c", scripts.KILL, "sh", text, *numbers, "look" if look else "", uid if uid.isdecimal() else ""]
        told = said(self._command(target, argv, {}), _KILL_S).stdout.strip()
        return int(told) if re.fullmatch(rb"\d{1,9}", told) else None


class _Running:
    """One run, from its start to its end."""

    def __init__(self, driver: PosixDriver, target: str, run: Run, on_output: OnOutput | None) -> None:
        self._driver, self._target, self._run, self._on_output = driver, target, run, on_output
        self._signs = Signs()
        self._came_at = 0.0
        self._kept = {"stdout": Kept(run.cap), "stderr": Kept(run.cap)}

    def ended(self, cancel: threading.Event | None) -> Ended:
        begun = time.monotonic()
        command = self._driver.start_command(self._target, self._run, self._signs.word)
        leaked: int | None = 0
        with Process(command, self._run.stdin) as process:
            try:
                code = self._pump(process, begun + self._run.timeout_s, cancel)
            except BaseException:
                self._end()
                raise
            if code is None:
                cancelled = cancel is not None and cancel.is_set()
                leaked = self._end()
                process.pump(time.monotonic() + _AFTER_S, self._take)
        self._keep("stderr", self._signs.rest())
        stdout, stderr = self._kept["stdout"].output(), self._kept["stderr"].output()
        duration_ms = round((time.monotonic() - begun) * 1000)
        if code is None:
            return Ended(None, stdout, stderr, duration_ms, not cancelled, cancelled, leaked)
        words = (self._signs.before + stderr.data)[-2000:].decode("utf-8", "replace")
        exit_code = self._driver.outcome(self._target, self._run, self._signs, code, words)
        if not self._signs.said:  # the script always says something: it was lost, and with it what the program said
            stderr = Output(_LOST, len(_LOST))
        return Ended(exit_code, stdout, stderr, duration_ms)

    def _pump(self, process: Process, deadline: float, cancel: threading.Event | None) -> int | None:
        """The client's exit code; None when its time was over or it was cancelled.

        Of fifty `lxc exec` at once some hang for good after all has come (LXD 5.0.2, 2026-11-21). Where the script has said
        its end and then nothing came, a look tells whether somebody still holds the output, or nobody does any more.
        """
        pause = _QUIET_S
        while (code := process.pump(min(deadline, time.monotonic() + pause), self._take, cancel)) is None:
            now = time.monotonic()
            if now >= deadline or (cancel is not None and cancel.is_set()):
                return None
            if "code" in self._signs.said and now - self._came_at >= _QUIET_S:
                if self._end(look=True) == 0:
                    return 0
                pause *= 2
        return code

    def _end(self, look: bool = False) -> int | None:
        text, traces = f"{MARK}={self._run.marker}", self._signs.numbers("started")
        return self._driver.end_marked(self._target, text, traces, look, self._run.user)

    def _take(self, stream: str, chunk: bytes) -> None:
        self._came_at = time.monotonic()
        self._keep(stream, self._signs.take(chunk) if stream == "stderr" else chunk)

    def _keep(self, stream: str, chunk: bytes) -> None:
        self._kept[stream].take(chunk)
        if chunk and self._on_output is not None:
            self._on_output(stream, chunk)
