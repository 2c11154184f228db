"""The process `python -m bus notify`: one thread follows the log, and each service has one that
sends and one that listens. It only reads the log, so it can neither slow nor fail a post.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout

from bus.errors import BusError
from bus.hub.hub import Hub
from bus.notices.queue import Queue
from bus.notify.following import Follower
from bus.notify.sending import Sender
from bus.notify.settings import Settings
from bus.system import modes

logger = logging.getLogger("bus.notify")

_LOOK_EVERY_S = 0.25
_BEAT_EVERY_S, _TIDY_EVERY_S = 2.0, 600.0
_PAUSE_S = 2.0  # after something that should not happen
_LAST_WORDS_S = 5.0


class Notifier:
    """See the head of this module. `is_over` says that the process is to end.

    Raises OSError if another process sends the notices of this data folder.
    """

    def __init__(
        self,
        hub: Hub,
        queue: Queue,
        settings: Settings,
        follower: Follower,
        stopped: threading.Event,
        run: Path,
        is_over: Callable[[], bool] = lambda: False,
    ) -> None:
        self._hub, self._queue, self._settings, self._follower = hub, queue, settings, follower
        self._stopped, self._is_over = stopped, is_over
        self._woken: dict[str, threading.Event] = {}
        self._senders = [
            Sender(name, service, queue, hub.journal.time)
            for name, service in settings.services.items()
        ]
        run.mkdir(mode=modes.FOLDER, parents=True, exist_ok=True)
        self._lock = FileLock(run / "notify.lock", timeout=0, mode=modes.FILE, thread_local=False)
        try:
            self._lock.acquire()
        except Timeout:
            raise OSError("another process sends the notices of this data folder") from None

    def start(self) -> None:
        """Take up what the process before has left: from here on, nothing is missed."""
        back = self._queue.recover()
        if back:
            logger.warning("%d notices may be sent twice: their answers were lost", back)
        self._follower.start()
        services = self._settings.services.values()
        self._queue.set_texts({who: s.text_senders for s in services for who in s.texts})
        self._beat()

    def serve(self) -> None:
        """Follow the log and send, until `stop_soon`. Call `start` first."""
        self._woken = {sender.name: threading.Event() for sender in self._senders}
        threads = [self._thread(self._follow, "follow")]
        for sender in self._senders:
            threads.append(self._thread(partial(self._send, sender), sender.name))
            self._thread(partial(self._listen, sender), f"{sender.name} in")
        last_tidy = 0.0
        while not self._stopped.wait(_BEAT_EVERY_S):
            if self._is_over():
                self._stopped.set()
            last_tidy += _BEAT_EVERY_S
            with _GoingOn("noting that the process is there"):
                self._beat()
                if last_tidy >= _TIDY_EVERY_S:
                    last_tidy = 0.0
                    self._queue.tidy()
        self._wake()
        for thread in threads:
            thread.join(_LAST_WORDS_S)
        self._lock.release()

    def stop_soon(self) -> None:
        """Have `serve` return; may be called from a signal handler."""
        self._stopped.set()

    def _thread(self, work: Callable[[], None], name: str) -> threading.Thread:
        thread = threading.Thread(target=work, name=name, daemon=True)
        thread.start()
        return thread

    def _beat(self) -> None:
        self._queue.beat({sender.name: sender.trouble() for sender in self._senders})

    def _wake(self) -> None:
        for woken in self._woken.values():
            woken.set()

    def _follow(self) -> None:
        while not self._stopped.is_set():
            count = 0
            with _GoingOn("following the log") as went:
                if self._follower.is_behind():
                    count = self._follower.step()
            if count:
                self._wake()
            else:
                self._stopped.wait(_LOOK_EVERY_S if went.is_well else _PAUSE_S)

    def _send(self, sender: Sender) -> None:
        woken = self._woken[sender.name]
        while not self._stopped.is_set():
            woken.clear()
            wait_s = _PAUSE_S
            with _GoingOn(f"sending to {sender.name}"):
                wait_s = sender.round()
            if wait_s > 0:
                # Not longer than this: a retry by an admin comes from another process.
                woken.wait(min(wait_s, _PAUSE_S))

    def _listen(self, sender: Sender) -> None:
        while not self._stopped.is_set():
            with _GoingOn(f"listening to {sender.name}"):
                sender.service.listen()
                return
            self._stopped.wait(_PAUSE_S)


class _GoingOn:
    """What fails in the block is logged, and the thread goes on."""

    def __init__(self, what: str) -> None:
        self._what, self.is_well = what, True

    def __enter__(self) -> _GoingOn:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if error is None:
            return False
        self.is_well = False
        if isinstance(error, BusError):
            logger.warning("%s waits: %s", self._what, error)
        elif isinstance(error, Exception):
            logger.error("%s failed", self._what, exc_info=error)
        else:
            return False
        return True
