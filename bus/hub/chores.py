"""What the hub does by itself: work that no request asks for, done by the process that leads."""

from __future__ import annotations

import logging
from collections.abc import Callable

from bus.errors import Unavailable
from bus.live.leader import Leader

logger = logging.getLogger("bus.hub.chores")

Chore = Callable[[], object]


class Chores:
    """The list of what is to be done, and who does it. Each chore does a bounded piece of work."""

    def __init__(self, leader: Leader) -> None:
        self._leader = leader
        self._chores: list[Chore] = []
        self._ends: list[Chore] = []

    def add(self, chore: Chore, end: Chore | None = None) -> None:
        """Have `chore` called each time that the leader does its work, and `end` when it leaves."""
        self._chores.append(chore)
        if end is not None:
            self._ends.append(end)

    def do(self) -> bool:
        """Do each chore once if this process leads; return whether it does.

        A chore that fails is logged and called again the next time. It keeps no other one from
        being done.
        """
        if not self._leader.lead():
            return False
        for chore in self._chores:
            try:
                chore()
            except Unavailable as error:
                logger.info("a chore waits: %s", error)
            except Exception:
                logger.exception("a chore failed; it is tried again")
        return True

    def leave(self) -> None:
        """Let another process lead, once what the chores have begun is at an end."""
        for end in self._ends:
            end()
        self._leader.leave()
