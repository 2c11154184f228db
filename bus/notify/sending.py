"""Sending to one service: in order to each target, within its limits, again after a pause."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable

from bus.model.masking import masked
from bus.model.notices import TRIED_S, Notice, pause_s
from bus.notices.queue import Queue
from bus.notify.services.base import Refused, Retry, Service

logger = logging.getLogger("bus.notify")

_IDLE_S = 60.0
_LONGEST_REASON = 300


class Sender:
    """Empties the queue of one service. `luck` gives numbers from 0 to 1, for the pauses."""

    def __init__(
        self,
        name: str,
        service: Service,
        queue: Queue,
        clock: Callable[[], float],
        luck: Callable[[], float] = random.random,
    ) -> None:
        self.name, self.service = name, service
        self._queue, self._clock, self._luck = queue, clock, luck
        self._held_until = 0.0
        self.error: str | None = None  # why the service takes nothing now

    def round(self) -> float:
        """Send what may be sent now, at most once to each target; return in how many seconds there
        may be more to do.
        """
        next_s = _IDLE_S
        for target, next_ms in self._queue.lanes(self.name):
            wait_s = max(
                next_ms / 1000 - self._clock(),
                self._held_until - self._clock(),
                self.service.ready_in_s(target),
            )
            if wait_s <= 0:
                self._send_some(target)
                wait_s = 0.0
            next_s = min(next_s, wait_s)
        return max(0.0, next_s)

    def trouble(self) -> str | None:
        """Return why the service takes nothing now, or why nothing comes in from it; None: all is
        well.
        """
        said = self.error or self.service.trouble
        return None if said is None else masked(said, self.service.secrets)[:_LONGEST_REASON]

    def _send_some(self, target: str) -> None:
        waiting = self._queue.first(self.name, target, self.service.most_at_once)
        if not waiting:
            return
        some = waiting[: max(1, self.service.together(target, waiting))]
        ids = [notice.id for notice in some]
        self._queue.begin(ids)
        try:
            ref = self.service.send(target, some)
        except Retry as error:
            self._fail(some, error)
        except Refused as error:
            self._queue.give_up(ids, self._reason(error))
            self.error = None
        except Exception as error:
            logger.exception("sending to %s failed", self.name)
            self._fail(some, Retry(f"a defect: {type(error).__name__}", is_unsure=True))
        else:
            self._queue.sent(ids, ref)
            self.error = None

    def _fail(self, notices: list[Notice], error: Retry) -> None:
        ids = [notice.id for notice in notices]
        reason = self._reason(error)
        tries = notices[0].tries + 1
        in_s = error.after_s if error.after_s is not None else pause_s(tries, self._luck())
        if error.is_whole:
            self.error, self._held_until = reason, self._clock() + in_s
        now_ms = self._queue.now_ms()
        is_old = [notice.made_ms + TRIED_S * 1000 <= now_ms for notice in notices]
        old = [id for id, old in zip(ids, is_old, strict=True) if old]
        young = [id for id in ids if id not in old]
        if old:
            self._queue.give_up(old, f"{reason}; given up after a day")
        if young:
            self._queue.retry(young, reason, in_s, is_unsure=error.is_unsure)
        logger.info("%s waits %.0f s: %s", self.name, in_s, reason)

    def _reason(self, error: Exception) -> str:
        return masked(str(error), self.service.secrets)[:_LONGEST_REASON]
