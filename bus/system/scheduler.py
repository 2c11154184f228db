"""How the requests of a worker take turns.

With threads the system sees to it; `bus.server.gunicorn_config` has gevent's way.
"""

from __future__ import annotations

import time
from collections.abc import Callable

Job = Callable[[], object]


class Turns:
    """The ways of a program that has real threads, or nothing else to do."""

    def let_others(self) -> None:
        """Let everybody who could go on now do so, then come back."""
        time.sleep(0)

    def one_round(self) -> None:
        """Let each of the others have one turn: between the parts of a long piece of work."""
        time.sleep(0)

    def nap(self) -> None:
        """Stop for about a tenth of a millisecond, to ask again for a lock that is taken."""
        time.sleep(0.0001)

    def block(self, job: Job) -> None:
        """Do a job that may sit in the system for long, without holding up others; raises what it
        raises.
        """
        job()

    def carry(self, job: Job) -> None:
        """Do a part of the work on a large file, as `block` does, but never in the way of what
        `block` does; raises what it raises.
        """
        job()

    def beside(self, job: Job) -> None:
        """Do a long job some time, beside the requests; here at once."""
        job()


class Breather:
    """Calls `rest` after each so many bytes of work: for long work that is done piece by piece."""

    BYTES = 32 * 1024

    def __init__(self, rest: Job) -> None:
        self._rest, self._since = rest, 0

    def did(self, size: int) -> None:
        """So many bytes are done."""
        self._since += size
        if self._since > self.BYTES:
            self._rest()
            self._since = 0
