"""Making a call: right, record, driver, record, answer."""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import replace

import orjson

from bus.errors import BusError, Internal, UnknownTarget, no_target
from bus.hub.calls import Allowed, Authorisation, Begun, Denied, NeedsApproval, Replay
from bus.hub.hub import Hub
from bus.index.calls import UNDONE, Found
from bus.log.outputs import Results
from bus.model.caller import Caller
from bus.model.calls import CONTAINER, EXEC, FILE_READ, Call
from bus.model.evidence import place
from bus.model.records import Record
from bus.runner import answers, preview
from bus.runner.answers import Answer
from bus.runner.drivers.base import Driver, Printed, Targets
from bus.runner.execution import Execution, took
from bus.runner.limits import Slots
from bus.runner.recovery import Recovery
from bus.runner.running import HangUp, Later, Running, Standing
from bus.runner.states import States, given

logger = logging.getLogger("bus.runner")

Emit = Callable[[Answer], None]
Post = Callable[[Answer], None]
SLOW_ACT_S = 10.0
_PRUNE_EVERY_S = 3600.0
_FORGET_EVERY_S = 30.0


class Service:
    """What the runner does with a checked call. May be used by many threads at once."""

    def __init__(
        self,
        hub: Hub,
        targets: Targets,
        results: Results,
        slots: Slots,
        *,
        max_output: int,
        max_file: int,
        restores_kept: int,
        post: Post,
        admins: Callable[[], list[str]],
        members: Callable[[], Collection[str]],
    ) -> None:
        self.hub, self.targets, self.results = hub, targets, results
        self._slots, self._max_output, self._max_file = slots, max_output, max_file
        self._post, self._admins, self._members = post, admins, members
        self._running: dict[str, Running] = {}
        self._recovery = Recovery(hub, targets, results, self._say)
        self._states = States(hub, results, self._running)
        self._execution = Execution(max_file, restores_kept, self._recovery.leftovers)
        self._asking: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._unrecorded: list[tuple[str, str, Answer, Answer | None, Answer | None]] = []
        self._prune_at = self._forget_at = 0.0
        self._swept = 0
        self._mutex = threading.Lock()

    # -- one call --------------------------------------------------------------------------------

    def make(
        self, caller: Caller, call: Call, emit: Emit, hung_up: HangUp, standing: Standing
    ) -> Answer:
        """Make a call, or return what the first one under its key returned; raises BusError.

        `emit` is for streams. The call is ended when its credential is: a detached one with its
        caller's name, any other one with the secret.
        """
        with ExitStack() as held:
            found = self.hub.calls.authorise(caller, call)
            cite = self._cite(caller, call, found)
            if found == NeedsApproval(None) or (isinstance(found, Allowed) and found.approval):
                # One call of a caller at a time, decided again: another may have asked, or used the
                # yes, in the meantime.
                held.enter_context(self._asking[caller.name])
                found = self.hub.calls.authorise(caller, call)
                if found == NeedsApproval(None):
                    found = NeedsApproval(self._asked(caller, call))
            match found:
                case Denied(error):
                    raise error
                case NeedsApproval(question):
                    assert question is not None
                    raise self.hub.approvals.required(question)
            standing.check()
            if isinstance(found, Replay):
                return self._states.replay(found.first)
            is_let = standing.has_name if call.detach else standing.is_proven
            return self._begin(replace(found, cite=cite), emit, hung_up, held, is_let)

    def _cite(self, caller: Caller, call: Call, found: Authorisation) -> Answer | None:
        """Return where the result of a call is to be posted, if it is; raises NotFound for a
        message that its caller may not see.
        """
        if call.thread is None or not isinstance(found, (Allowed, NeedsApproval)):
            return None
        try:
            text = self.hub.messages.get(call.thread, self.hub.privacy.view(caller))
        except BusError as error:
            self.hub.calls.failed(caller, call, error)
            raise
        return place(caller, call.sender or caller.name, orjson.loads(text))

    def _asked(self, caller: Caller, call: Call) -> Record:
        """Ask the admins about a call, and return the question."""
        try:
            with self._slots.one_more(call.target, caller.name):
                facts = preview.facts(call, self.driver_of(call.target), self._max_file)
            question = self.hub.approvals.ask(caller, call, self.hub.journal.new_id(), facts)
        except BusError as error:
            self.hub.calls.failed(caller, call, error)
            raise
        self._say(answers.asking(question, self._admins()))
        return question

    def _begin(
        self,
        allowed: Allowed,
        emit: Emit,
        hung_up: HangUp,
        held: ExitStack,
        is_let: Callable[[], bool],
    ) -> Answer:
        """Take a slot, record that the call runs, and run it; the record releases `held`."""
        call = allowed.call
        slot = ExitStack()
        driver = self._reached(allowed, slot)
        with slot:
            id = self.hub.journal.new_id()
            running = Running(call.type, is_let, Printed(self._max_output))
            if call.stream:
                hung_up.ends(running.cancel)
            # Before the record: whoever finds that must find that it runs, or takes it for lost.
            with self._mutex:
                self._running[id] = running
            begun: Begun | None = None
            try:
                begun = self.hub.calls.begin(allowed, id)
            finally:
                if begun is None or begun.replay is not None:
                    self._forget(id)
            held.close()
            if begun.replay is not None:
                return self._states.replay(begun.replay)
            hung_up.call = id
            return self._start(id, allowed, driver, emit, running, slot)

    def _reached(self, allowed: Allowed, slot: ExitStack) -> Driver:
        """Return the driver, and take a slot.

        Raises what is in the way. That is recorded, and leaves the idempotency key unused.
        """
        caller, call = allowed.caller, allowed.call
        try:
            driver = self.driver_of(call.target)
            with ExitStack() as taken:
                taken.enter_context(self._slots.one_more(call.target, caller.name))
                if call.stream or call.detach or allowed.approval is not None:
                    # Once it has begun, its caller would hear too late that it cannot run, and the
                    # yes would be used up.
                    driver.ready(call.target)
                slot.enter_context(taken.pop_all())
        except BusError as error:
            self.hub.calls.failed(caller, call, error)
            raise
        return driver

    def driver_of(self, target: str) -> Driver:
        """Return the driver of a target; raises UnknownTarget, DriverUnavailable.

        Only for callers who have a right there, and for admins: the error tells a member that is no
        target from a name that nobody has.
        """
        try:
            return self.targets.driver_of(target)
        except UnknownTarget:
            if target not in self._members():
                raise
            raise UnknownTarget(no_target(target, is_member=True)) from None

    def _start(
        self,
        id: str,
        allowed: Allowed,
        driver: Driver,
        emit: Emit,
        running: Running,
        slot: ExitStack,
    ) -> Answer:
        """Run the call here; if the caller does not wait, in a thread that takes the slot along."""
        call = allowed.call
        if call.stream:
            emit({"id": id, "state": "running"})
        if not call.detach and call.type != CONTAINER:
            return self._run(id, allowed, driver, running, emit)
        done = Later(lambda: self._run(id, allowed, driver, running, emit), slot.pop_all())
        threading.Thread(target=done.run, name=f"call {id}", daemon=True).start()
        return done.within(
            0 if call.detach else SLOW_ACT_S, {"ok": True, "id": id, "state": "running"}
        )

    def _run(
        self, id: str, allowed: Allowed, driver: Driver, running: Running, emit: Emit
    ) -> Answer:
        started = time.monotonic()
        try:
            answer, facts = self._execution.drive(id, allowed, driver, running, emit)
            if answers.result_of(answer) == "error":  # it was ended before its own end
                facts["state"] = "done"
                if not running.is_let():
                    facts["reason"] = "its credential was revoked, or its secret was over"
        except BusError as error:
            answer, facts = self._failure(id, error, started)
        except Exception as error:
            logger.exception("call %s", id)
            answer, facts = self._failure(
                id, Internal(f"The service failed at call {id}: {type(error).__name__}."), started
            )
        try:
            is_mine = self._has_name(allowed.caller)
            is_stored = (
                is_mine and allowed.call.type != FILE_READ and facts.get("error") not in UNDONE
            )
            cited = None
            if allowed.cite is not None and is_mine:
                cited = self.hub.calls.citing(allowed)
            self._keep(id, answer, facts, cited, is_stored=is_stored)
        finally:
            self._forget(id)
        if allowed.call.detach and is_mine:
            self._tell(allowed, id, answer)
        return given(answer)

    def _failure(self, id: str, error: BusError, started: float) -> tuple[Answer, Answer]:
        error.details["id"] = id
        answer = {"error": error.as_dict(), "status": error.status}
        return answer, {"error": error.code, "reason": error.message, **took(started)}

    def _has_name(self, caller: Caller) -> bool:
        """Return whether this caller still has its name.

        Also if the index cannot tell: then its results are swept later.
        """
        return self.hub.credentials.tenure_of(caller.name) in (caller.tenure, None)

    def _forget(self, id: str) -> None:
        with self._mutex:
            self._running.pop(id, None)

    def _keep(
        self, id: str, answer: Answer, facts: Answer, cited: Answer | None, *, is_stored: bool
    ) -> None:
        """Keep the answer, then record the end.

        An end that cannot be recorded now is tried again by `tend`, because the call did run. What
        was read from a file is not stored: a repeated read reads again. Nor is an answer that
        leaves the idempotency key unused.
        """
        end = (id, answers.result_of(answer), facts, cited, answer if is_stored else None)
        try:
            if is_stored:
                self.results.put(id, answer)
        except Exception as error:
            logger.error("the output of call %s could not be kept: %s", id, error)
        try:
            self.hub.calls.end(*end)
        except Exception as error:
            logger.error("the end of call %s could not be recorded: %s", id, error)
            with self._mutex:
                self._unrecorded.append(end)

    def _tell(self, allowed: Allowed, id: str, answer: Answer) -> None:
        self._say(
            answers.told(
                id,
                allowed.call.sender or allowed.caller.name,
                allowed.call.target,
                answers.outcome(answer),
                answer.get("exitCode"),
            )
        )

    def _say(self, fields: Answer) -> None:
        """Post a message of the bus's own. It is news: the log has what it tells."""
        try:
            self._post(fields)
        except BusError as error:
            logger.error("a message could not be posted: %s", error)

    # -- calls that were made before -------------------------------------------------------------

    def state_of(self, found: Found) -> Answer:
        """Return how a call is; see `States.state_of`."""
        return self._states.state_of(found)

    def stop(self, id: str) -> bool:
        """End a command with its tree of processes; return False if it does not run."""
        running = self._running.get(id)
        if running is None or running.type != EXEC:
            return False
        running.cancel.set()
        return True

    def stop_all(self) -> None:
        """End everything that runs."""
        with self._mutex:
            for running in self._running.values():
                running.cancel.set()

    def end_revoked(self) -> None:
        """End the commands whose credential is no longer valid.

        What cannot be ended in the middle runs to its end.
        """
        with self._mutex:
            commands = [running for running in self._running.values() if running.type == EXEC]
        for running in commands:
            if not running.cancel.is_set() and not running.is_let():
                running.cancel.set()

    def is_idle(self) -> bool:
        """Return whether nothing runs."""
        return not self._running

    # -- upkeep ----------------------------------------------------------------------------------

    def recover(self) -> int:
        """Record how lost calls ended; see `Recovery.recover`."""
        return self._recovery.recover(self._running)

    def tend(self) -> None:
        """Record and end what could not be before, and remove results that nobody may have any
        more.
        """
        self._recovery.leftovers.tend()
        self._sweep()
        with self._mutex:
            waiting, self._unrecorded = self._unrecorded, []
        for at, end in enumerate(waiting):
            try:
                self.hub.calls.end(*end)
            except BusError:
                with self._mutex:
                    self._unrecorded += waiting[at:]
                return
        if time.monotonic() > self._prune_at or self.results.is_growing():
            self._prune_at = time.monotonic() + _PRUNE_EVERY_S
            self.results.prune()
        if time.monotonic() > self._forget_at:
            self._forget_at = time.monotonic() + _FORGET_EVERY_S
            self.hub.approvals.forget_closed()

    def _sweep(self) -> None:
        """Remove the results of callers that were revoked since the last look.

        The first look removes those of all callers that ever were.
        """
        newest = self.hub.credentials.last_tenure()
        if newest == self._swept:
            return
        for id in self.results.kept():
            found = self.hub.calls.found(id)
            if found is not None and self.hub.credentials.is_over(found.asked):
                self.results.drop(id)
        self._swept = newest
