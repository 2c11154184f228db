"""Handing a call to the driver of its target, and what comes back."""

from __future__ import annotations

import time
from collections.abc import Callable

from bus.hub.calls import Allowed
from bus.model.call_kinds import MAX_LIMIT
from bus.model.calls import CONTAINER, EXEC, FILE_READ, Call
from bus.runner import answers, operations
from bus.runner.answers import Answer
from bus.runner.drivers.base import Driver
from bus.runner.leftovers import Leftovers
from bus.runner.running import Running

Emit = Callable[[Answer], None]


class Execution:
    """Runs calls. `max_file` is in bytes, `restores_kept` a number of snapshots."""

    def __init__(self, max_file: int, restores_kept: int, leftovers: Leftovers) -> None:
        self._max_file, self._restores_kept, self._leftovers = max_file, restores_kept, leftovers

    def drive(
        self, id: str, allowed: Allowed, driver: Driver, running: Running, emit: Emit
    ) -> tuple[Answer, Answer]:
        """Hand a call to the driver; return the answer, and the facts for the log."""
        call = allowed.call
        started = time.monotonic()
        if call.type == EXEC:
            return self._exec(id, call, driver, running, emit)
        if call.type == CONTAINER:
            done = operations.act(driver, call, self._restores_kept)
            return {
                "ok": True,
                "id": id,
                "name": call.target,
                "state": "done",
                **done,
            }, done | took(started)
        if call.type == FILE_READ:
            limit = call.request.get("limit", MAX_LIMIT)
            file = driver.read(
                call.target,
                call.request["path"],
                call.request["offset"],
                limit,
                self._max_file,
                allowed.real_path,
            )
            return answers.of_file(id, file, call.request["offset"]), answers.facts_of_file(
                file
            ) | took(started)
        file = driver.write(
            call.target, operations.write(call, allowed.base_sha256, allowed.real_path)
        )
        return answers.of_file(id, file, None), answers.facts_of_file(file) | took(started)

    def _exec(
        self, id: str, call: Call, driver: Driver, running: Running, emit: Emit
    ) -> tuple[Answer, Answer]:
        chunks = answers.Chunks()

        def on_output(stream: str, data: bytes) -> None:
            line = chunks.line(stream, data)
            if line is not None:
                emit(line)

        ended = driver.exec(
            call.target,
            operations.run(call, id, running.printed),
            on_output if call.stream else None,
            running.cancel,
        )
        if ended.is_unreached:
            self._leftovers.add(id, call.target)
        for line in chunks.rest():
            emit(line)
        return answers.of_exec(id, ended), answers.facts_of_exec(ended)


def took(started: float) -> Answer:
    """Return how long something took that started at this `time.monotonic`, as a fact of a call."""
    return {"duration_ms": round((time.monotonic() - started) * 1000)}
