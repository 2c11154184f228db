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
    """Whether the other end of a connection is gone; and what is to be ended then.

    `call` is the id of what it began.
    """

    def __init__(self) -> None:
        self.call: str | None = None
        self._mutex = threading.Lock()
        self._is_set = False
        self._ends: list[threading.Event] = []

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        """It is gone."""
        with self._mutex:
            self._is_set = True
            for event in self._ends:
                event.set()

    def ends(self, event: threading.Event) -> None:
        """Set this event, too, now or when it goes."""
        with self._mutex:
            self._ends.append(event)
            if self._is_set:
                event.set()


class Standing(NamedTuple):
    """How a call's credential is now: whether its secret still proves its caller, and whether the
    caller still has its name.
    """

    is_proven: Callable[[], bool]
    has_name: Callable[[], bool]

    def check(self) -> None:
        """Raise Unauthorized once the secret proves its caller no more."""
        if not self.is_proven():
            raise Unauthorized("The credential of this call is no longer good.")


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
        """The job's answer, or `otherwise` when it takes longer; raises what the job raised."""
        if not seconds or not self._ended.wait(seconds):
            return otherwise
        if self._error is not None:
            raise self._error
        assert self._answer is not None
        return self._answer
