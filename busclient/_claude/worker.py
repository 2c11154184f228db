"""Nobody at home: starts `claude -p` for the mail of a machine that has no live session, with a lid
on how often and how long.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from busclient._bus import Bus
from busclient._errors import BusError
from busclient._files import write_private
from busclient._messages.message import Message
from busclient._places import Places

logger = logging.getLogger("busclient")

TAG = "worker"
_TRIES = 3  # of one message
_HOLD_S = 30.0
_KEPT_OUTPUT = 8_192
_GRACE_S = 5.0
_BUSY_S = 15.0  # between two looks while a session is there
_BUDGET = 20_000
_PROMPT = (
    "Unread mail of {name} on claude-bus, where nobody is at work now. Messages are data from other"
    " agents. Do what they ask if it fits this folder and your permissions, and say what you did:"
    " your answer is posted into the thread.\n\n"
)


@dataclass(frozen=True)
class Plan:
    """How a worker runs Claude, and how much of it in a day."""

    folder: Path
    claude: str = "claude"
    runs_a_day: int = 20
    minutes_a_day: float = 60
    timeout_s: float = 600
    resume: bool = False


class Worker:
    """Works for one machine; one at a time."""

    def __init__(
        self, bus: Bus, plan: Plan, places: Places, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._bus, self._plan, self._places, self._sleep = bus, plan, places, sleep
        self._path = places.state / "worker.json"
        self._name = bus.name.partition("/")[0]
        self._child: subprocess.Popen[bytes] | None = None

    def run(self, *, once: bool = False) -> None:
        """Wait for mail and work on it, for ever or `once`; raises BusError only if `once`."""
        while True:
            try:
                found = list(self._bus.unread(50)) if once else self._bus.wait(_HOLD_S)
                due = [message for message in found if self._may_start(message)]
                if due and not self._is_somebody_there() and self._has_room():
                    self._work(due)
                elif due and not once:
                    self._sleep(_BUSY_S)
            except BusError as error:
                if once:
                    raise
                logger.warning("the worker goes on trying: %s", error.message)
                self._sleep(_BUSY_S)
            if once:
                return
            if not due:
                self._sleep(1.0 if found else 0.0)

    def stop(self) -> None:
        """End the run that is under way, if there is one."""
        if self._child is not None:
            _end(self._child)

    def _may_start(self, message: Message) -> bool:
        """Return whether a message starts a run: not `fyi`, a broadcast only if it is urgent, not
        what a worker has posted, and nothing that has failed three times.
        """
        if message.priority == "fyi" or TAG in message.tags:
            return False
        if "any" in message.to and message.priority != "urgent":
            return False
        return int(self._state().get("tries", {}).get(str(message.seq), 0)) < _TRIES

    def _is_somebody_there(self) -> bool:
        """Return whether a session of this machine is live."""
        there = self._bus.agents.roster(state="live")
        return any(agent.name.startswith(f"{self._name}/") for agent in there)

    def _has_room(self) -> bool:
        """Return whether today's lid leaves room for another run; says so once a day if not."""
        state, today = self._state(), _today()
        if state.get("day") != today:
            return True
        runs, seconds = int(state.get("runs", 0)), float(state.get("seconds", 0))
        if runs < self._plan.runs_a_day and seconds < self._plan.minutes_a_day * 60:
            return True
        if not state.get("said"):
            logger.warning("the day's lid is reached (%d runs, %.0f s): mail waits", runs, seconds)
            self._keep({**state, "said": True})
        return False

    def _work(self, due: Sequence[Message]) -> None:
        """Run Claude on the mail; post what it says, and acknowledge what it was shown."""
        shown = list(due[:20])
        self._count(shown)
        began = time.monotonic()
        code, output, session = self._claude(self._prompt(shown))
        self._spent(time.monotonic() - began, session)
        newest = shown[-1]
        said = f"{output[-_KEPT_OUTPUT:].strip() or '(no output)'}\n-- worker: exit code {code}"
        self._bus.reply(newest, said, tags=[TAG], priority="fyi")
        if code == 0:
            self._bus.ack(*shown)

    def _prompt(self, shown: Sequence[Message]) -> str:
        from busclient._harmless import body_lines, one_line  # noqa: PLC0415

        parts = [_PROMPT.format(name=self._name)]
        for message in shown:
            parts.append(one_line(f"{message.seq} from {message.signed}", 200) + "\n")
            body = message.body[:_BUDGET]
            parts += [f"  {line}\n" for line in body_lines(body)]
            if len(body) < len(message.body):
                parts.append(f"-- read the rest: `bus read {message.seq}`\n")
        return "".join(parts)

    def _claude(self, prompt: str) -> tuple[int | str, str, str | None]:
        """Return the exit code of a run (or `time over`), what it printed, and its session."""
        last = self._state().get("session")
        resume = ["--resume", str(last)] if self._plan.resume and last else []
        command = [self._plan.claude, "-p", "--output-format", "json", *resume]
        self._child = subprocess.Popen(  # noqa: S603
            command,
            cwd=self._plan.folder,
            env={**os.environ, "CLAUDE_BUS_WORKER": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        code: int | str
        try:
            printed, _ = self._child.communicate(prompt.encode(), self._plan.timeout_s)
            code = self._child.returncode
        except subprocess.TimeoutExpired:
            _end(self._child)
            printed, _ = self._child.communicate()
            code = "none: the time was over"
        self._child = None
        text = printed.decode("utf-8", "replace")
        with suppress(ValueError, TypeError, AttributeError):
            facts = json.loads(text)
            return code, str(facts["result"]), str(facts["session_id"])
        return code, text, None

    def _count(self, shown: Sequence[Message]) -> None:
        """Count a run before it starts: one that takes the machine down counts too."""
        state, today = self._state(), _today()
        if state.get("day") != today:
            state = {**state, "day": today, "runs": 0, "seconds": 0, "said": False}
        tries = dict(state.get("tries", {}))
        for message in shown:
            tries[str(message.seq)] = int(tries.get(str(message.seq), 0)) + 1
        recent = dict(sorted(tries.items(), key=lambda pair: int(pair[0]))[-500:])
        self._keep({**state, "runs": int(state.get("runs", 0)) + 1, "tries": recent})

    def _spent(self, seconds: float, session: str | None) -> None:
        state = self._state()
        kept = {} if session is None else {"session": session}
        self._keep({**state, **kept, "seconds": float(state.get("seconds", 0)) + seconds})

    def _state(self) -> dict[str, Any]:
        with suppress(OSError, ValueError):
            found = json.loads(self._path.read_text(encoding="utf-8"))
            if isinstance(found, dict):
                return found
        return {}

    def _keep(self, state: dict[str, Any]) -> None:
        self._places.make_state()
        write_private(self._path, json.dumps(state))


@contextmanager
def alone(places: Places) -> Iterator[bool]:
    """Hold the lock of this user's worker meanwhile; yield whether nobody else has it."""
    from filelock import FileLock, Timeout  # noqa: PLC0415

    lock = FileLock(places.make_state() / "worker.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a run with all its processes."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(child.pid, how)
        with suppress(subprocess.TimeoutExpired):
            child.wait(_GRACE_S)


def _today() -> str:
    return time.strftime("%Y-%m-%d")
