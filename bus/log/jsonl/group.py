"""Group commit inside a process: posts that come while one is being synced share the next sync.

The first to come leads: it takes all that waits, commits it, hands out the results and passes the
lead on. No thread of its own, so a lone post costs no hand-over between threads; under gevent the
followers are greenlets and the wake-ups cost next to nothing (docs/decisions/0002-worker-class.md
has the measurements).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from bus.errors import BusError, Busy, Unconfirmed
from bus.log.base import Appended, Draft
from bus.system.scheduler import Turns

_COMPANY_S = 0.05  # who posted this short a while ago may do so again, at the same time as another

Commit = Callable[[list[list[Draft]]], list[list[Appended]]]


class _Ticket:
    __slots__ = ("drafts", "error", "leads", "result", "woken")

    def __init__(self, drafts: list[Draft]) -> None:
        self.drafts = drafts
        self.result: list[Appended] | None = None
        self.error: BaseException | None = None
        self.leads = False
        self.woken: threading.Event | None = None


class GroupCommit:
    """Turns many calls of `append` into few calls of `commit`, one at a time."""

    def __init__(self, commit: Commit, timeout_s: float, turns: Turns) -> None:
        self._commit, self._turns = commit, turns
        # The append lock and the sync lock may each take `timeout_s`, once for those before us and
        # once for us.
        self._timeout_s = 4 * timeout_s + 10
        self._mutex = threading.Lock()
        self._waiting: list[_Ticket] = []
        self._has_leader = False
        self._last_caller, self._last_call, self._company_until = 0, 0.0, 0.0

    def append(self, drafts: Sequence[Draft]) -> list[Appended]:
        """Commit drafts, together with what others append meanwhile; raises what the commit
        raised.
        """
        ticket = _Ticket(list(drafts))
        self._note_caller()
        with self._mutex:
            self._waiting.append(ticket)
            if self._has_leader:
                ticket.woken = threading.Event()
            else:
                self._has_leader = ticket.leads = True
        if ticket.woken is not None:
            self._follow(ticket, ticket.woken)
        if ticket.leads:
            self._lead()
        if ticket.error is not None:
            raise ticket.error
        assert ticket.result is not None
        return ticket.result

    def _note_caller(self) -> None:
        """Remember whether two callers append at a time, or one after the other."""
        caller, now = threading.get_ident(), time.monotonic()
        if caller != self._last_caller and now - self._last_call < _COMPANY_S:
            self._company_until = now + _COMPANY_S
        self._last_caller, self._last_call = caller, now

    def _follow(self, ticket: _Ticket, woken: threading.Event) -> None:
        if woken.wait(self._timeout_s):
            return
        with self._mutex:
            if ticket.leads or ticket.result is not None:
                return
            if ticket in self._waiting:
                self._waiting.remove(ticket)
                raise Busy("The hub is waiting for its disk.")
        raise Unconfirmed("The hub is still waiting for its disk.")

    def _lead(self) -> None:
        # Whatever has arrived joins. One who appends alone does not wait for others: they may be
        # readers, of whom there is always one that has something to do.
        if self._last_call < self._company_until:
            self._turns.let_others()
        with self._mutex:
            batch, self._waiting = self._waiting, []
        try:
            results = self._commit([ticket.drafts for ticket in batch])
            for ticket, result in zip(batch, results, strict=True):
                ticket.result = result
        except BaseException as error:
            for ticket in batch:
                # One instance a thread: a raised exception carries its traceback with it.
                ticket.error = error if ticket.woken is None else _copy(error)
        finally:
            self._hand_over(batch)

    def _hand_over(self, batch: list[_Ticket]) -> None:
        with self._mutex:
            heir = self._waiting[0] if self._waiting else None
            self._has_leader = heir is not None
            if heir is not None:
                heir.leads = True
        for ticket in batch if heir is None else [heir, *batch]:
            if ticket.woken is not None:
                ticket.woken.set()


def _copy(error: BaseException) -> BaseException:
    if isinstance(error, BusError):
        return type(error)(error.message, hint=error.hint, **error.details)
    return Unconfirmed(f"The commit failed: {error!r}")
