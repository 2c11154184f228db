"""One operation on a container at a time: others wait in line, for a bounded time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from bus.errors import TargetBusy


class _Turn:
    """One operation in the line; compared by identity."""

    def __init__(self, kind: str) -> None:
        self.kind = kind


class Queues:
    """A line for each target. First come, first served."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._lines: dict[str, deque[_Turn]] = {}

    @contextmanager
    def turn(self, target: str, within_s: float, kind: str, joins: str = "") -> Iterator[None]:
        """Run the block once everybody before has had their turn; raises TargetBusy after
        `within_s`.

        If the present turn is of the kind `joins`, the block runs beside it: a stop by force cuts a
        patient stop short.
        """
        me = _Turn(kind)
        with self._changed:
            line = self._lines.setdefault(target, deque())
            line.append(me)
            if not self._changed.wait_for(lambda: line[0] is me or line[0].kind == joins, within_s):
                line.remove(me)
                raise TargetBusy(
                    f"Other operations on {target} have not ended within {within_s:.0f} s."
                    " Nothing was done."
                )
            if line[0] is not me:
                line.remove(me)
                line.insert(1, me)
        try:
            yield
        finally:
            with self._changed:
                line.remove(me)
                if not line:
                    del self._lines[target]
                self._changed.notify_all()

    def has(self, target: str) -> bool:
        """Return whether an operation on this target runs, or waits for its turn."""
        return target in self._lines
