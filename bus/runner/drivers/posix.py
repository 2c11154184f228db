"""What is the same in every target that has a POSIX shell: running programs, reading and writing
files.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bus.errors import BusError, DriverUnavailable, NoSuchFolder, NoSuchProgram
from bus.runner.drivers import scripts
from bus.runner.drivers.base import Ended, OnOutput, Output, Run
from bus.runner.drivers.process import Command, Process, said, text
from bus.runner.drivers.signs import Beginning, Signs

logger = logging.getLogger("bus.runner.drivers")

MARK = "BUS_EXEC_ID"
_LOST = b"[bus: the client lost what this command wrote here]\n"

_KILL_S = 15.0  # for ending a tree of processes; it takes a tenth of a second
_QUIET_S = 2.0
_AFTER_S = 1.0  # what was ended has this long to hand over what it has said


class Ending(NamedTuple):
    """How a client ended: its exit code, 128 + N for signal N, and whether it was itself ended by a
    signal on this machine.
    """

    code: int
    was_killed: bool

    def why(self, words: str) -> str:
        """For people."""
        if self.was_killed:
            return f"its client was ended by signal {self.code - 128}"
        said = f": {text(words.encode())}" if words else " and said nothing"
        return f"its client ended with {self.code}{said}"


class PosixDriver(ABC):
    """A driver whose targets are entered by one command on the hub's machine."""

    name: str
    file_timeout_s: float
    # what enters it may print by itself: the run says on stdout where its own output begins
    says_begin = False

    @abstractmethod
    def _command(
        self, target: str, argv: Sequence[str], env: Mapping[str, str], run: Run | None = None
    ) -> Command:
        """Return what runs `argv` in the target, as its default user, or as `run` says."""

    @abstractmethod
    def _refusal(self, target: str, code: int, words: str) -> BusError:
        """Return why nothing was started, from the client's exit code and words."""

    def _gone(self, target: str) -> BusError | None:
        """Return why a target runs nothing any more: it was stopped, or taken away.

        None: it runs, or nobody knows that it does not.
        """
        return None

    def _may_have_run(self, words: str) -> bool:
        """Return whether a client that ends with these words, before the script has said anything,
        may have started the program.
        """
        return False

    def _entered(self, target: str, run: Run) -> str:
        """Return the working folder that the script enters; empty: it stays where it begins."""
        return run.cwd or ""

    def exec(
        self,
        target: str,
        run: Run,
        on_output: OnOutput | None = None,
        cancel: threading.Event | None = None,
    ) -> Ended:
        if not run.argv or run.argv[0].startswith("-"):
            raise NoSuchProgram("A program's name does not begin with '-'.")
        return _Running(self, target, run, on_output).ended(cancel)

    def start_command(self, target: str, run: Run, word: str) -> Command:
        enter = scripts.BEGIN + scripts.ENTER if self.says_begin else scripts.ENTER
        argv = [
            *(run.by or ("/bin/sh",)),
            "-c",
            enter,
            scripts.START,
            word,
            self._entered(target, run),
            *run.argv,
        ]
        return self._command(target, argv, {**run.env, MARK: run.marker}, run)

    def _silent(self, code: int) -> int | None:
        """Return the program's exit code if a client that said nothing at all ended with this one.

        None: it cannot be told.
        """
        return None

    def outcome(self, target: str, run: Run, signs: Signs, client: Ending, words: str) -> int | str:
        """Return the exit code of a run that came to its end, or why nobody knows it.

        Raises what kept the run from its start.
        """
        if "folder" in signs.said:
            raise NoSuchFolder(
                f"There is no folder {run.cwd} in {target}, or it may not be entered."
            )
        if "failed" in signs.said:
            raise NoSuchProgram(
                f"There is no program {run.argv[0][:200]!r} in {target}, or it cannot be run."
            )
        if told := signs.numbers("code"):
            return told[0]
        if "started" in signs.said:
            return f"{self.name} lost the run: {client.why(words)}"
        if not client.was_killed:
            if not words and (silent := self._silent(client.code)) is not None:
                return silent
            if not self._may_have_run(words):
                raise self._refusal(target, client.code, words)
        why = client.why(words)
        return f"{self.name} ended before it was known whether the program had started: {why}"

    def gone(self, target: str) -> BusError | None:
        """Return why what ran in a target is gone with it; None if it may still run."""
        try:
            return self._gone(target)
        except BusError:  # it cannot be asked now
            return None

    def end(self, target: str, marker: str) -> int | None:
        """End what is left of a run that nobody waits for any more; see `base.Driver`."""
        return self.end_marked(target, f"{MARK}={marker}")

    def end_marked(
        self,
        target: str,
        text: str,
        traces: Sequence[int] = (),
        look: bool = False,
        user: str | None = None,
    ) -> int | None:
        """End every process with this text in its environment, and what belongs to it by the
        `traces` of its start.

        Returns how many are left; None: the target cannot tell. With `look` none is ended. `user`
        is the run's user, if given by number. Raises why the target could not be reached; one that
        does not run has nothing left.
        """
        numbers = [str(number) for number in (*traces, 0, 0, 0)[:3]]
        uid = (user or "").partition(":")[0]
        argv = [
            "/bin/sh",
            "-c",
            scripts.KILL,
            "sh",
            text,
            *numbers,
            "look" if look else "",
            uid if uid.isdecimal() else "",
        ]
        heard = said(self._command(target, argv, {}), _KILL_S)
        told = heard.stdout.strip().rpartition(b"\n")[2]
        if re.fullmatch(rb"\d{1,9}", told):
            return int(told)
        if heard.code == 0 or told:
            return None
        if heard.code is None:
            raise DriverUnavailable(f"{target} did not answer in {_KILL_S:.0f} s.")
        if self.gone(target) is not None:
            return 0
        raise self._refusal(target, heard.code, heard.stderr)


class _Running:
    """One run, from its start to its end."""

    def __init__(
        self, driver: PosixDriver, target: str, run: Run, on_output: OnOutput | None
    ) -> None:
        self._driver, self._target, self._run, self._on_output = driver, target, run, on_output
        self._signs = Signs()
        self._begin = Beginning(self._signs.word) if driver.says_begin else None
        self._came_at = 0.0
        self._leaked: int | None = 0
        self._unreached = False

    def ended(self, cancel: threading.Event | None) -> Ended:
        begun = time.monotonic()
        deadline = begun + self._run.timeout_s
        command = self._driver.start_command(self._target, self._run, self._signs.word)
        with Process(command, self._run.stdin) as process:
            try:
                code = self._pump(process, deadline, cancel)
            except BaseException:
                self._end()
                raise
            timed_out = code is None and time.monotonic() >= deadline
            if code is None:
                self._end()
                process.pump(time.monotonic() + _AFTER_S, self._take)
        self._keep("stderr", self._signs.rest())
        exit_code, lost = (
            (None, "") if code is None else self._outcome(Ending(code, process.was_killed))
        )
        stdout, stderr = map(self._run.printed.output, ("stdout", "stderr"))
        if exit_code is not None and not self._signs.said:
            # The script always says something: it was lost, and with it what the program said.
            stderr = Output(_LOST, len(_LOST))
        duration_ms = round((time.monotonic() - begun) * 1000)
        cancelled = code is None and not timed_out
        return Ended(
            exit_code,
            stdout,
            stderr,
            duration_ms,
            timed_out,
            cancelled,
            self._leaked,
            lost,
            self._unreached,
        )

    def _outcome(self, client: Ending) -> tuple[int | None, str]:
        """Return the exit code; or None and why nobody knows it, after ending what may still run.

        Raises what kept the run from its start, or that its target is gone.
        """
        words = (self._signs.before + self._run.printed.output("stderr").data)[-2000:].decode(
            "utf-8", "replace"
        )
        found = self._driver.outcome(self._target, self._run, self._signs, client, words)
        if not isinstance(found, str):
            return found, ""
        if (gone := self._driver.gone(self._target)) is not None:
            raise gone
        self._end()
        return None, found

    def _pump(
        self, process: Process, deadline: float, cancel: threading.Event | None
    ) -> int | None:
        """Return the client's exit code; None if its time was over or it was cancelled.

        Of fifty `lxc exec` at once some hang for good after all has come (LXD 5.0.2, 2026-11-21).
        If the script has said its end and then nothing comes, a look tells whether somebody still
        holds the output.
        """
        pause = _QUIET_S
        while (
            code := process.pump(min(deadline, time.monotonic() + pause), self._take, cancel)
        ) is None:
            now = time.monotonic()
            if now >= deadline or (cancel is not None and cancel.is_set()):
                return None
            if "code" not in self._signs.said and (code := process.ended()) is not None:
                return code  # what it left behind holds the output, and nobody will tell the end
            if "code" in self._signs.said and now - self._came_at >= _QUIET_S:
                if self._ended_by_marker(look=True) == 0:
                    return 0
                pause *= 2
        return code

    def _end(self) -> None:
        """End what is left of the run; note how many could not be, or that the target is out of
        reach.
        """
        try:
            self._leaked = self._ended_by_marker()
        except BusError as error:
            logger.warning(
                "what is left of a run in %s cannot be ended now: %s", self._target, error.message
            )
            self._leaked, self._unreached = None, True

    def _ended_by_marker(self, look: bool = False) -> int | None:
        text, traces = f"{MARK}={self._run.marker}", self._signs.numbers("started")
        return self._driver.end_marked(self._target, text, traces, look, self._run.user)

    def _take(self, stream: str, chunk: bytes) -> None:
        self._came_at = time.monotonic()
        if stream == "stderr":
            self._keep(stream, self._signs.take(chunk))
        else:
            self._keep(stream, chunk if self._begin is None else self._begin.take(chunk))

    def _keep(self, stream: str, chunk: bytes) -> None:
        self._run.printed.take(stream, chunk)
        if chunk and self._on_output is not None:
            self._on_output(stream, chunk)
