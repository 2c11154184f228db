"""What runs now: how it is ended, and how far its output has come."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import NamedTuple

from bus.errors import BusError, Unauthorized
from bus.runner import answers
from bus.runner.answers import Answer
from bus.runner.drivers.base import Printed


class HangUp:
    """Whether the other end of a connection is gone, and what must end when it goes.

    `call` is the id of the call that the connection began.
    """

    def __init__(self) -> None:
        self.call: str | None = None
        self._mutex = threading.Lock()
        self._is_set = False
        self._ends: list[threading.Event] = []

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        """Note that the other end is gone."""
        with self._mutex:
            self._is_set = True
            for event in self._ends:
                event.set()

    def ends(self, event: threading.Event) -> None:
        """Set this event too, when the other end goes, or now if it is gone."""
        with self._mutex:
            self._ends.append(event)
            if self._is_set:
                event.set()


class Standing(NamedTuple):
    """How the credential of a call stands now.

    `is_proven` says whether its secret still proves its caller, `has_name` whether the caller still
    has its name.
    """

    is_proven: Callable[[], bool]
    has_name: Callable[[], bool]

    def check(self) -> None:
        """Raise Unauthorized if the secret no longer proves its caller."""
        if not self.is_proven():
            raise Unauthorized("The credential of this call is no longer valid.")


@dataclass
class Running:
    """A call that runs now: how it is ended, and its output so far.

    `is_let` says whether it may run on.
    """

    type: str
    is_let: Callable[[], bool]
    printed: Printed
    cancel: threading.Event = field(default_factory=threading.Event)

    def so_far(self) -> Answer:
        """Return the output so far, as in an answer."""
        found: Answer = {}
        for name in ("stdout", "stderr"):
            output = self.printed.output(name)
            text, encoding = answers.as_text(output.data, is_cut=True)
            found |= {name: text, f"{name}_encoding": encoding, f"{name}_size": output.size}
        return found


class Later:
    """A job in a thread, for which somebody may wait a while."""

    def __init__(self, job: Callable[[], Answer], slot: ExitStack) -> None:
        self._job, self._slot, self._ended = job, slot, threading.Event()
        self._answer: Answer | None = None
        self._error: BusError | None = None

    def run(self) -> None:
        try:
            self._answer = self._job()
        except BusError as error:
            self._error = error
        finally:
            self._slot.close()
            self._ended.set()

    def within(self, seconds: float, otherwise: Answer) -> Answer:
        """Return the job's answer, or `otherwise` if it takes longer; raises the job's error."""
        if not seconds or not self._ended.wait(seconds):
            return otherwise
        if self._error is not None:
            raise self._error
        assert self._answer is not None
        return self._answer
