"""`bus worker`: starts `claude -p` for the mail of a machine where nobody is at home, with a lid.

A look is: is there mail that may start a run, is no session of this machine live, is the lid of the
day open? Then Claude runs once with the unread mail of one sender as its prompt, and its output is
posted as a reply to that sender: nobody is told what others have written. A lock keeps two runs of
one name apart; `busclient._claude.lid` is what is remembered.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from busclient._bus import Bus
from busclient._claude.lid import Memory
from busclient._claude.prompt import prompt
from busclient._errors import (
    BusError,
    HubFailed,
    LocalTrouble,
    NotTrusted,
    Unavailable,
    Unreachable,
)
from busclient._files import as_file_name
from busclient._messages.message import Message
from busclient._processes import end

logger = logging.getLogger("busclient")

TAG = "worker"
_MOST_SAID = 8 * 1024  # bytes of output in a reply
_PAUSE_S = 15.0  # until the next look, where somebody is at home or the lid is closed
_WAIT_S = 60.0


@dataclass(frozen=True)
class Limits:
    """The lid, and how Claude is started."""

    folder: Path
    claude: str = "claude"
    runs: int = 20
    seconds: float = 3600
    timeout_s: float = 600
    resume: bool = False
    # Labels of trust: mail of others starts no run, and Claude is not given it. Empty: any.
    trusts: frozenset[str] = frozenset()


@dataclass
class Look:
    """What a look came to: `ran`, `nothing`, `live`, `lid` or `busy`."""

    what: str
    code: int | None = None
    newest: int | None = None


class Worker:
    """The worker of one name at one hub."""

    def __init__(self, bus: Bus, state: Path, limits: Limits) -> None:
        self._bus, self._limits = bus, limits
        url, _, via = bus.settings.place
        mark = hashlib.sha256(f"{bus.name} {url} {via}".encode()).hexdigest()[:16]
        self._path = state / f"worker-{as_file_name(bus.name)[:100]}-{mark}.json"
        self._machine = bus.name.partition("/")[0]

    def serve(self) -> None:
        """Look, wait for mail, and look again, until interrupted. A hub that is away is tried
        again.
        """
        breaks = 0
        while True:
            try:
                found = self.look()
                breaks = 0
                if found.what == "nothing":
                    self._bus.wait(_WAIT_S, since=found.newest, limit=1)
                elif found.what != "ran":
                    time.sleep(_PAUSE_S)
            except NotTrusted:
                raise
            except (Unreachable, Unavailable, HubFailed) as error:
                if not breaks:
                    logger.warning("the hub is away: %s", error.message)
                breaks += 1
                time.sleep(min(0.5 * 2 ** min(breaks, 6), 30.0))

    def look(self) -> Look:
        """Look once, and run Claude where it is due; raises BusError."""
        from filelock import FileLock, Timeout  # noqa: PLC0415

        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with FileLock(self._path.with_suffix(".lock"), timeout=0):
                return self._look(Memory.load(self._path))
        except Timeout:
            return Look("busy")
        except (OSError, ValueError) as error:
            raise LocalTrouble(
                f"{self._path} cannot be used: {error}.",
                hint="Remove the file, if it is damaged; the day's runs are then counted anew.",
            ) from error

    def _look(self, memory: Memory) -> Look:
        unread = list(self._bus.unread())
        trusted = [one for one in unread if self._is_trusted(one)]
        memory.keep_only({message.id for message in unread})
        if memory.handled:  # an ack did not get through
            self._bus.ack(*memory.handled)
            memory.handled = []
            memory.save(self._path)
        due = [one for one in trusted if self._wakes(one) and memory.may_start(one.id)]
        if not due:
            return Look("nothing", newest=unread[-1].seq if unread else None)
        if self._is_somebody_home():
            return Look("live")
        left_s = self._limits.seconds - memory.seconds
        # The last quarter of the day is for those who have had no run yet.
        if memory.runs >= self._limits.runs - self._limits.runs // 4:
            due = [one for one in due if _who(one) not in memory.senders]
            if not due:
                return self._closed(memory)
        if memory.runs >= self._limits.runs or left_s < 1:
            return self._closed(memory)
        first = min(
            due, key=lambda one: (one.priority != "urgent", memory.senders.get(_who(one), 0))
        )
        of_it = [one for one in trusted if one.sender == first.sender]
        due = [one for one in due if one.sender == first.sender]
        return self._run(memory, due, of_it, min(self._limits.timeout_s, left_s))

    def _closed(self, memory: Memory) -> Look:
        if not memory.is_said:
            logger.warning(
                "the lid of %s is reached (%s runs, %d minutes): mail waits until tomorrow",
                memory.day,
                memory.runs,
                memory.seconds // 60,
            )
            memory.is_said = True
            memory.save(self._path)
        return Look("lid")

    def _wakes(self, message: Message) -> bool:
        if message.priority == "fyi" or TAG in message.tags or message.sender == self._bus.name:
            return False
        return message.to != ("any",) or message.priority == "urgent"

    def _is_somebody_home(self) -> bool:
        below = f"{self._machine}/"
        return any(
            agent.name.startswith(below) and agent.name != self._bus.name
            for agent in self._bus.agents.roster(state="live")
        )

    def _is_trusted(self, message: Message) -> bool:
        return not self._limits.trusts or (message.trust or "shared") in self._limits.trusts

    def _run(
        self, memory: Memory, due: list[Message], unread: list[Message], timeout_s: float
    ) -> Look:
        """Run Claude for the unread mail of one sender, of which some is due."""
        who = _who(due[0])
        text, shown = prompt(self._bus.name, [*due, *(one for one in unread if one not in due)])
        started = [one for one in due if one in shown] or due[:1]
        for message in started:
            memory.tries[message.id] = memory.tries.get(message.id, 0) + 1
        memory.runs += 1
        memory.senders[who] = memory.senders.get(who, 0) + 1
        memory.seconds += timeout_s
        before = time.monotonic()
        memory.save(self._path)
        # What one sender has written must not stand in a conversation that another one reads.
        session_id = memory.conversations.get(who) if self._limits.resume else None
        try:
            code, said, conversation = self._execute(text, session_id, timeout_s)
        except LocalTrouble:  # nothing ran: neither the message nor the day pays for it
            memory.runs -= 1
            memory.senders[who] -= 1
            for message in started:
                memory.tries[message.id] -= 1
            memory.seconds -= timeout_s
            memory.save(self._path)
            raise
        except BaseException:
            memory.seconds += time.monotonic() - before - timeout_s
            memory.save(self._path)
            raise
        memory.seconds += time.monotonic() - before - timeout_s
        memory.keep_conversation(who, conversation)
        if code == 0:
            memory.handled = [message.id for message in shown]
        memory.save(self._path)
        newest = max(shown or started, key=lambda message: message.seq)
        try:
            self._bus.reply(newest, said, tags=[TAG], priority="fyi")
        except BusError as error:
            logger.warning("the output of a run could not be posted: %s", error.message)
        if memory.handled:
            self._bus.ack(*memory.handled)
            memory.handled = []
            memory.save(self._path)
        return Look("ran", code)

    def _execute(
        self, prompt: str, session_id: str | None, timeout_s: float
    ) -> tuple[int, str, str | None]:
        """Return the exit code, what to post, and the conversation to go on with."""
        words = [self._limits.claude, "-p", "--output-format", "json"]
        words += ["--resume", session_id] if session_id else []
        environ = {**os.environ, "CLAUDE_BUS_WORKER": "1"}
        environ.pop("BUS_SESSION", None)  # of whoever started the worker
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as got:
            given.write(prompt.encode("utf-8", "replace"))
            given.seek(0)
            try:
                process = subprocess.Popen(  # noqa: S603  the user's own program; no part of a message is in it
                    words,
                    cwd=self._limits.folder,
                    stdin=given,
                    stdout=got,
                    stderr=subprocess.STDOUT,
                    env=environ,
                    start_new_session=os.name != "nt",
                )
            except OSError as error:
                raise LocalTrouble(
                    f"{self._limits.claude} cannot be run: {error.strerror or error}.",
                    hint="Give its path with --claude.",
                ) from error
            over = ""
            try:
                process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                end(process)
                over = "none: the time was over"
            except BaseException:
                end(process)
                raise
            got.seek(0)
            output = got.read().decode("utf-8", "replace")
        code = process.returncode
        if over:
            code = code or -signal.SIGTERM  # it was ended, whatever it says
        said, conversation = _read(output)
        tail = said.encode()[-_MOST_SAID:].decode("utf-8", "ignore")
        # A conversation that cannot be gone on with must not fail every run after.
        return (
            code,
            f"{tail.strip() or '(no output)'}\n-- worker: exit code {over or code}",
            conversation if code == 0 else None,
        )


def _who(message: Message) -> str:
    """Return whose mail it is for the lid: a machine's; one for all names that are not proven."""
    return message.proven_machine or "?"


def _read(output: str) -> tuple[str, str | None]:
    """Return the text of Claude's JSON output and its session id; other output as it is."""
    for line in [output, *reversed(output.splitlines())]:
        try:
            fields: Any = json.loads(line)
        except ValueError:
            continue
        if isinstance(fields, dict) and "result" in fields:
            id = fields.get("session_id")
            return str(fields["result"]), id if isinstance(id, str) else None
    return output, None
