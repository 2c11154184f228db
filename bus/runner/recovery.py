"""What a service that died left behind: how its calls ended, and processes that still run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Container
from concurrent.futures import ThreadPoolExecutor

from bus.errors import BusError, UnknownTarget
from bus.hub.hub import Hub
from bus.log.outputs import Results
from bus.model.calls import EXEC
from bus.model.records import Record
from bus.runner import answers
from bus.runner.answers import Answer
from bus.runner.drivers.base import Targets
from bus.runner.leftovers import Leftovers

logger = logging.getLogger("bus.runner")

_ENDED_AT_ONCE = 8


class Recovery:
    """Finds out about lost calls, and ends what they left. `say` posts a message of the bus."""

    def __init__(
        self, hub: Hub, targets: Targets, results: Results, say: Callable[[Answer], None]
    ) -> None:
        self._hub, self._targets, self._results, self._say = hub, targets, results, say
        self.leftovers = Leftovers(self._end_left, self._left_ended)

    def recover(self, running: Container[str]) -> int:
        """Record how the lost calls ended, those that are not among `running`: mostly `unknown`.

        Returns how many there were.
        """
        for asked in self._hub.calls.unreached():
            self.leftovers.add(asked["call"], asked["target"])
        lost = [record for record in self._hub.calls.unfinished() if record["call"] not in running]
        # Many at once: a target that does not answer takes seconds.
        with ThreadPoolExecutor(_ENDED_AT_ONCE) as pool:
            found_out = list(pool.map(self._found_out, lost))
        for record, (result, facts) in zip(lost, found_out, strict=True):
            id, outcome = record["call"], answers.OUTCOMES[result]
            is_over = self._hub.credentials.is_over(record)
            cited = record if "cite" in record and not is_over else None
            self._hub.calls.end(id, result, facts, cited, self._results.get(id))
            if record.get("detach") and not is_over:
                self._say(answers.told(id, record["from"], record["target"], outcome))
        return len(lost)

    def _found_out(self, record: Record) -> tuple[str, Answer]:
        """Return how a lost call ended.

        Its answer says so if it was kept before the service died; else nobody knows.
        """
        answer = self._results.get(record["call"])
        if answer is None:
            return "unknown", {"reason": "the service ended while it ran", **self._ended(record)}
        if "error" in answer:
            return "error", {
                "error": answer["error"]["error"],
                "reason": answer["error"]["message"],
            }
        result = answers.result_of(answer)
        return result, answers.facts_of_answer(answer) | (
            {"state": "done"} if result == "error" else {}
        )

    def _ended(self, record: Record) -> Answer:
        """End what a lost command left behind, if its target can be reached."""
        if record["type"] != EXEC:
            return {}
        try:
            leaked = self._end_left(record["target"], record["call"])
        except UnknownTarget:
            leaked = None
        except BusError as error:
            logger.warning(
                "what call %s left behind could not be ended: %s", record["call"], error.message
            )
            self.leftovers.add(record["call"], record["target"])
            return {"leaked": None, "unreached": True}
        return {} if leaked == 0 else {"leaked": leaked}

    def _end_left(self, target: str, id: str) -> int | None:
        """End what is left of a call in a target; raises if the target cannot be reached."""
        return self._targets.driver_of(target).end(target, id)

    def _left_ended(self, id: str, leaked: int | None) -> None:
        """Record that what a call left behind was ended after all."""
        self._hub.calls.reaped(id, leaked)
        answer = self._results.get(id)
        if answer is not None:
            self._results.put(id, {**answer, "leaked": leaked})
