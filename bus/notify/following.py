"""Following the log: from a durable cursor, record by record, into the queue of notices."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import islice

from bus.errors import BusError
from bus.hub.hub import Hub
from bus.model.notices import NewNotice
from bus.model.records import Position
from bus.notices.queue import Queue
from bus.notify.events import Events
from bus.notify.rules import Rule, notices_of

logger = logging.getLogger("bus.notify")

AT_ONCE = 200  # records that are read with one step of the cursor


class Follower:
    """Reads the log. What it has read is in the queue in the same moment as the cursor is past it,
    so nothing is told twice and nothing is left out, whenever the process ends.
    """

    def __init__(self, hub: Hub, queue: Queue, events: Events, rules: Sequence[Rule]) -> None:
        self._hub, self._queue, self._events, self._rules = hub, queue, events, rules
        self._cursor: Position | None = None  # as the queue has it: nobody else moves it

    def start(self) -> None:
        """Begin where the last process ended; the first time, or on another log, at its end."""
        self._cursor = cursor = self._queue.cursor()
        if cursor is not None and self._hub.log.holds(cursor):
            return
        if cursor is not None:
            logger.warning(
                "the log is not the one that was followed up to record %d; notices begin at its"
                " end now",
                cursor.seq,
            )
        self._take_in(self._hub.log.position(), [])

    def is_behind(self) -> bool:
        """Return whether there is something to read."""
        return self._cursor is None or self._hub.log.position().seq > self._cursor.seq

    def step(self) -> int:
        """Read the next records; return how many there were."""
        if self._cursor is None:
            self.start()
            return 0
        notices: list[NewNotice] = []
        count, position = 0, self._cursor
        for position, record in islice(self._hub.log.read(self._cursor), AT_ONCE):  # noqa: B007
            count += 1
            try:
                event = self._events.of(record)
            except (BusError, KeyError, TypeError, ValueError):
                # One record that cannot be told must not hold up all that come after it.
                logger.exception("record %s is not told", record.get("seq"))
                continue
            if event is not None:
                notices += notices_of(event, self._rules)
        if count:
            self._take_in(position, notices)
        return count

    def _take_in(self, position: Position, notices: Sequence[NewNotice]) -> None:
        self._queue.take_in(position, notices)
        self._cursor = position
