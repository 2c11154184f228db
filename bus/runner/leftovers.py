"""What is left of commands whose targets could not be reached: tried again until it is ended."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from bus.errors import BusError, UnknownTarget

logger = logging.getLogger("bus.runner")

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0


@dataclass
class _Leftover:
    target: str
    pause_s: float = _FIRST_PAUSE_S
    due: float = 0.0


class Leftovers:
    """Runs to be ended, by the ids of their calls. `tend` is called now and then and does not wait.

    `end` ends what is left of a call in a target and returns how many processes could not be ended
    (None: the target cannot tell). It raises while the target cannot be reached. `ended` is told of
    each run that is done with.
    """

    def __init__(
        self, end: Callable[[str, str], int | None], ended: Callable[[str, int | None], None]
    ) -> None:
        self._end, self._ended = end, ended
        self._left: dict[str, _Leftover] = {}
        self._mutex = threading.Lock()
        self._at_work = False

    def add(self, id: str, target: str) -> None:
        """Try this run again in a second, and then less and less often, down to once a minute."""
        with self._mutex:
            self._left[id] = _Leftover(target, due=time.monotonic() + _FIRST_PAUSE_S)

    def tend(self) -> None:
        """Start a thread that tries what is due: a target that does not answer takes seconds."""
        with self._mutex:
            due = {id: left for id, left in self._left.items() if left.due <= time.monotonic()}
            if self._at_work or not due:
                return
            self._at_work = True
        threading.Thread(target=self._try, args=(due,), name="leftovers", daemon=True).start()

    def _try(self, due: dict[str, _Leftover]) -> None:
        try:
            for id, left in due.items():
                self._try_one(id, left)
        finally:
            self._at_work = False

    def _try_one(self, id: str, left: _Leftover) -> None:
        try:
            self._ended(id, self._end_in(left.target, id))
        except (BusError, OSError) as error:
            logger.warning(
                "what call %s left in %s cannot be ended yet: %s", id, left.target, error
            )
            left.pause_s = min(left.pause_s * 2, _LONGEST_PAUSE_S)
            left.due = time.monotonic() + left.pause_s
            return
        with self._mutex:
            self._left.pop(id, None)

    def _end_in(self, target: str, id: str) -> int | None:
        try:
            return self._end(target, id)
        except UnknownTarget:  # nobody can reach it any more
            return None
