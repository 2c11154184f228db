"""How requests share a worker: with gevent, or with threads."""

from __future__ import annotations

import logging
import threading

import gevent
import gevent.monkey
import gevent.threadpool

from bus.system import transient
from bus.system.scheduler import Job, Turns

# less than a pass of the loop takes; with 0, gevent goes on before it has looked at any socket
ONE_ROUND_S = 0.0001

_AT_MOST_S = 0.002
_CARRIERS = 2  # threads for large files; a sync of a post never waits for one of a gigabyte
_real_sleep = gevent.monkey.get_original("time", "sleep")


class GeventTurns(Turns):
    """gevent's way: requests are greenlets of one thread, so what blocks it blocks them all."""

    def __init__(self) -> None:
        self._carriers: gevent.threadpool.ThreadPool | None = None

    def let_others(self) -> None:
        # Reads whatever has arrived. Bounded, because a hub that is never idle must still commit.
        with gevent.Timeout(_AT_MOST_S, False):
            gevent.idle()

    def one_round(self) -> None:
        gevent.sleep(ONE_ROUND_S)

    def nap(self) -> None:
        # The system's sleep: gevent's takes a millisecond at the least, three times what a sync
        # does.
        _real_sleep(0.00003)

    def block(self, job: Job) -> None:
        try:
            gevent.get_hub().threadpool.apply(job)
        except RuntimeError as error:
            if not transient.is_passing(error):
                raise
            job()  # there is no thread to be had: others wait a little

    def carry(self, job: Job) -> None:
        if self._carriers is None:
            self._carriers = gevent.threadpool.ThreadPool(_CARRIERS)
        self._carriers.apply(job)

    def beside(self, job: Job) -> None:
        gevent.get_hub().threadpool.spawn(_logged, job)


class ThreadTurns(Turns):
    """For another worker class, or `flask run`."""

    def beside(self, job: Job) -> None:
        threading.Thread(target=_logged, args=(job,), daemon=True).start()


def turns() -> Turns:
    """Return the way of the worker that this runs in."""
    return GeventTurns() if gevent.monkey.is_module_patched("threading") else ThreadTurns()


def _logged(job: Job) -> None:
    try:
        job()
    except Exception:
        logging.getLogger("bus").exception("a job beside the requests failed")
