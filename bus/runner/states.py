"""How calls are that were made before: those that run, and those that have ended."""

from __future__ import annotations

from collections.abc import Mapping

from bus.errors import BusError, StillRunning
from bus.hub.hub import Hub
from bus.index.calls import Found
from bus.log.outputs import Results
from bus.runner.answers import Answer
from bus.runner.protocol import hint_of, raised
from bus.runner.running import Running


class States:
    """Tells how calls are; `running` has those that run now, by their ids."""

    def __init__(self, hub: Hub, results: Results, running: Mapping[str, Running]) -> None:
        self._hub, self._results, self._running = hub, results, running

    def replay(self, found: Found) -> Answer:
        """Return what the first call under a key returned.

        Raises StillRunning, or the error that the first call ended with.
        """
        id = found.asked["call"]
        if found.done is None:
            if id in self._running:
                raise StillRunning(f"The first call under this key, {id}, has not ended.", id=id)
            found = self._hub.calls.found(id) or found  # it may have ended since it was looked up
        try:
            return {**given(self.state_of(found)), "replayed": True}
        except BusError as error:
            error.details["replayed"] = True
            raise

    def state_of(self, found: Found) -> Answer:
        """Return how a call is, with everything that its answer had.

        It has `error` and `status` if the call ended with an error.
        """
        asked, done = found
        id = asked["call"]
        running = self._running.get(id)
        if done is None and running is not None:
            return {"ok": True, "id": id, "state": "running", **running.so_far()}
        answer = None if self._hub.credentials.is_over(asked) else self._results.get(id)
        if answer is not None:
            return answer if "error" in answer else {"state": "done", **answer}
        facts = {
            name: value
            for name, value in (done or {}).items()
            if name not in ("kind", "seq", "id", "ts", "call", "result")
        }
        state = "unknown" if done is None else done["state"]
        if state in ("error", "denied") and done is not None:
            # Its file is gone; the code and the words are in the log.
            error = {
                "error": done["error"],
                "message": done["reason"],
                "hint": hint_of(done["error"]),
                "id": id,
            }
            return {"error": error, "status": 0}
        return {
            "ok": state == "done",
            "id": id,
            "stdout": None,
            "stderr": None,
            **facts,
            "state": state,
        }


def given(answer: Answer) -> Answer:
    """Return an answer; raises the error that is kept in its place."""
    if "error" in answer and "status" in answer:
        raise raised(answer["error"])
    return answer
