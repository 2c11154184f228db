"""`bus drain --exec`: each unread message to a command, from cron or a timer; nothing lost, nobody
stuck.

The command gets the message as one line of JSON on standard input and as BUS_* variables in its
environment, never in its command line. Exit code 0 acknowledges. A message that failed `allowed`
times, over as many runs, is a dead letter: its sender is told, it stays unread, and later runs pass
it over. A command that cannot be run (126, 127) is trouble of this machine: the run stops there,
and no attempt is counted. A file in the state folder for each name and hub remembers:

    {"attempts":{"ID":2},"handled":["ID"],"dead":["ID"]}

An attempt is counted before the command runs, so a message that takes the whole drain down is
counted too. `handled` are those whose command ended well but whose ack did not get through: the
next run acks them without running it again. A lock keeps two runs of one name apart.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from busclient._bus import Bus
from busclient._errors import BusError, LocalTrouble
from busclient._files import as_file_name, write_private
from busclient._messages.message import Message
from busclient._processes import end

logger = logging.getLogger("busclient")

_LONGEST_STEM = 200  # a name of a file has at most 255 bytes


@dataclass
class Report:
    """What a run did, as ids: handled and acked, failed (they come again), given up, and passed
    over as given up before.
    """

    done: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)
    is_other_running: bool = False


class Drainer:
    """A drain of one name's mail through one command line, run by the shell."""

    def __init__(
        self,
        bus: Bus,
        command: str,
        folder: Path,
        *,
        allowed: int = 5,
        timeout_s: float = 300,
        quiet: bool = False,
    ) -> None:
        self._bus, self._command = bus, command
        self._allowed, self._timeout_s, self._quiet = allowed, timeout_s, quiet
        stem = _stem(bus)
        self._path = folder / f"{stem}.json"
        self._lock_path = folder / f"{stem}.lock"
        # Of older clients: shared by `web/1` and `web_1`, and by all hubs. Each takes over what is
        # there; ids are unique.
        self._older_path = folder / f"drain-{bus.name.replace('/', '_')}.json"
        self._state = _State()

    def run(self, limit: int | None = None, *, retry_dead: bool = False) -> Report:
        """Hand over what is unread, at most `limit` messages; raises BusError when the hub or the
        state folder fails.
        """
        from filelock import FileLock, Timeout  # noqa: PLC0415

        report = Report()
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with FileLock(self._lock_path, timeout=0):
                self._state = _State.load(self._path if self._path.exists() else self._older_path)
                if retry_dead:
                    self._state.attempts.clear()
                    self._state.dead.clear()
                self._run(report, limit)
        except Timeout:
            report.is_other_running = True
        except OSError as error:
            raise LocalTrouble(
                f"{self._path} cannot be written: {error.strerror or error}."
            ) from error
        return report

    def _run(self, report: Report, limit: int | None) -> None:
        unread: set[str] = set()
        for message in self._bus.unread():
            unread.add(message.id)
            if message.id in self._state.dead:
                report.passed.append(message.id)
                continue
            if (
                limit is not None
                and len(report.done) + len(report.failed) + len(report.dead) >= limit
            ):
                break
            if message.id in self._state.handled or self._attempt(message, report):
                self._bus.ack(message)
                self._state.forget(message.id)
                report.done.append(message.id)
        else:
            self._state.keep_only(unread)
        self._save()

    def _attempt(self, message: Message, report: Report) -> bool:
        """Run the command once; returns whether the message is to be acked.

        Raises LocalTrouble when there is nothing to run.
        """
        attempts = self._state.attempts[message.id] = self._state.attempts.get(message.id, 0) + 1
        self._save()
        failure = None if attempts > self._allowed else self._execute_counted(message)
        if failure is None and attempts <= self._allowed:
            self._state.attempts.pop(message.id)
            self._state.handled.append(message.id)
            self._save()
            return True
        logger.warning(
            "message %s: %s (attempt %s of %s)", message.seq, failure, attempts, self._allowed
        )
        if attempts < self._allowed:
            report.failed.append(message.id)
        else:
            self._give_up(message, failure or "the drain itself ended")
            report.dead.append(message.id)
        return False

    def _execute_counted(self, message: Message) -> str | None:
        """As `_execute`; an attempt that this machine was in the way of is not counted."""
        try:
            return self._execute(message)
        except LocalTrouble:
            self._state.attempts[message.id] -= 1
            self._save()
            raise

    def _execute(self, message: Message) -> str | None:
        """Return what went wrong; None when the command ended with 0.

        Raises LocalTrouble when it could not be run at all.
        """
        try:
            process = subprocess.Popen(  # noqa: S602  the user's own command line; no part of a message is in it
                self._command,
                shell=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL if self._quiet else None,
                env={**os.environ, **environment(message)},
                start_new_session=os.name != "nt",
            )
        except OSError as error:
            raise _cannot_run(self._command, message, error.strerror or str(error)) from error
        try:
            process.communicate(
                json.dumps(dict(message.raw)).encode() + b"\n", timeout=self._timeout_s
            )
        except subprocess.TimeoutExpired:
            end(process)
            return f"the command was ended after {self._timeout_s:g} s"
        except BaseException:
            end(process)
            raise
        if process.returncode in _NOT_RUN:
            raise _cannot_run(self._command, message, _NOT_RUN[process.returncode])
        return None if process.returncode == 0 else f"the command ended with {process.returncode}"

    def _give_up(self, message: Message, why: str) -> None:
        self._state.dead.append(message.id)
        self._save()
        if "dead-letter" in message.tags:
            return  # two drains must not write each other letters for ever
        text = (
            f"{self._bus.name} could not handle your message {message.seq} ({message.id}) in"
            f" {self._allowed} attempts: {why}. It is passed over from now on; it is still unread"
            " and can be read by hand."
        )
        try:
            self._bus.post(
                text,
                to=message.sender,
                tags=["dead-letter"],
                in_reply_to=message,
                key=f"dead-letter {self._bus.name} {message.id}",
            )
        except BusError as error:
            logger.warning(
                "the sender of message %s could not be told: %s", message.seq, error.message
            )

    def _save(self) -> None:
        write_private(self._path, json.dumps(self._state.__dict__) + "\n", durable=False)


@dataclass
class _State:
    attempts: dict[str, int] = field(default_factory=dict)
    handled: list[str] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path) -> _State:
        """Return what is remembered; nothing when the file is not there or not readable as such: a
        message then comes once more.
        """
        try:
            fields: Any = json.loads(path.read_text())
            return cls(
                {str(id): int(count) for id, count in fields["attempts"].items()},
                list(fields["handled"]),
                list(fields["dead"]),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return cls()

    def forget(self, id: str) -> None:
        self.attempts.pop(id, None)
        self.handled = [other for other in self.handled if other != id]

    def keep_only(self, unread: set[str]) -> None:
        """Drop what has been acknowledged by others or has expired."""
        self.attempts = {id: count for id, count in self.attempts.items() if id in unread}
        self.handled = [id for id in self.handled if id in unread]
        self.dead = [id for id in self.dead if id in unread]


def environment(message: Message) -> dict[str, str]:
    """Return a message as BUS_* variables; those it has no value for are empty, so that none of an
    outer one shows through.
    """
    return {
        "BUS_ID": message.id,
        "BUS_SEQ": str(message.seq),
        "BUS_TS": message.ts,
        "BUS_FROM": message.sender,
        "BUS_VERIFIED": "1" if message.verified else "0",
        "BUS_TO": ",".join(message.to),
        "BUS_BODY": message.body,
        "BUS_TAGS": ",".join(message.tags),
        "BUS_PRIORITY": message.priority,
        "BUS_THREAD": message.thread or "",
        "BUS_IN_REPLY_TO": message.in_reply_to or "",
    }


_NOT_RUN = {
    126: "exit code 126: it, or something in it, may not be executed",
    127: "exit code 127: no such program",
}


def _cannot_run(command: str, message: Message, why: str) -> LocalTrouble:
    return LocalTrouble(
        f"The command cannot be run ({why}): {command[:200]}",
        hint=(
            f"Message {message.seq} and those after it wait, and no attempt is counted. Mend the"
            " command: is its path right?"
        ),
    )


def _stem(bus: Bus) -> str:
    """Return what the files of a drain are called: another name for each name at each hub."""
    url, _, via = bus.settings.place
    stem = as_file_name(f"drain-{bus.name} at {url}{f' by ssh {via}' if via else ''}")
    if len(stem) <= _LONGEST_STEM:
        return stem
    return f"{stem[:_LONGEST_STEM]}-{hashlib.sha256(stem.encode()).hexdigest()[:16]}"
