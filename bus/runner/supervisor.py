"""Runs a service in a process of its own, and starts it again when that dies: the one that runs
commands, or the listener for peers.

For where no systemd does: scripts/run.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress

logger = logging.getLogger("bus.runner")

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
_LOOK_EVERY_S = 1.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
_WELL_S = 60.0  # one that has lived so long begins with the first pause again
_LAST_WORDS_S = 20.0  # the service takes 15 at most to end what it runs


class Supervisor:
    """Keeps `run` running in a child until the process `parent` is gone, or a signal stops it;
    `what` it is called in the log.

    `run` is called in the child with the number of this process, and must end when that ends. No
    thread may run here, because it forks.
    """

    def __init__(self, run: Callable[[int], None], parent: int, what: str) -> None:
        self._run, self._parent, self._what = run, parent, what
        self._stopping = False

    def keep(self) -> None:
        """Return once it is to stop, and the child has ended."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        pause_s = _FIRST_PAUSE_S
        while not self._stopping:
            started = time.monotonic()
            code = self._until_ended(self._start())
            if self._stopping:
                return
            pause_s = _FIRST_PAUSE_S if time.monotonic() - started > _WELL_S else pause_s
            how = f"with code {code}" if code >= 0 else f"by signal {-code}"
            logger.warning("%s ended %s; it is started again in %g s", self._what, how, pause_s)
            self._wait(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    def _start(self) -> int:
        me = os.getpid()
        child = os.fork()
        if child:
            return child
        code = 1
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            self._run(me)
            code = 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        except BaseException:
            logger.exception("%s failed", self._what)
        finally:
            sys.stderr.flush()
            os._exit(code)  # what is above in the stack is the supervisor's

    def _until_ended(self, child: int) -> int:
        """Wait for the child, and end it when it is time to stop.

        Returns its code, or the negative of its signal.
        """
        deadline = None
        while True:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            if self._stopping and deadline is None:
                deadline = time.monotonic() + _LAST_WORDS_S
                os.kill(child, signal.SIGTERM)
            if deadline is not None and time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
            self._wait(_LOOK_EVERY_S, until_child=True)

    def _wait(self, seconds: float, until_child: bool = False) -> None:
        """Wait, but no longer than until it is to stop, or until the child may have ended."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            with suppress(InterruptedError):
                came = signal.sigtimedwait(_SIGNALS, min(left, _LOOK_EVERY_S))
                if came is not None and came.si_signo != signal.SIGCHLD:
                    self._stopping = True
                if os.getppid() != self._parent:
                    self._stopping = True
                if self._stopping or (came is not None and until_child):
                    return
