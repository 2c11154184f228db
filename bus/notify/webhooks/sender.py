"""Sends mail to webhooks: in order to each, to all of them at the same time.

The worker that leads calls `tend` again and again; each webhook that has something to send then
gets a thread of its own (in a gevent worker, a greenlet), until nothing is left or an attempt
fails. What it has come to is in the log, so the next leader goes on from there. At least once: what
was sent and not yet noted when a worker dies is sent again, under the same `webhook-id`.
"""

from __future__ import annotations

import base64
import hmac
import json
import logging
import math
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from bus.errors import BusError, TooMany
from bus.hub.notices import notice
from bus.hub.webhooks import Step, Webhooks
from bus.index.webhooks import Mail, Row
from bus.model import records
from bus.model.caller import HUMANS
from bus.model.webhooks import GONE, TRIED_MS, Answer, Outcome, Progress
from bus.notify.webhooks.addresses import Network
from bus.notify.webhooks.posting import Posts

logger = logging.getLogger("bus.notify")

MOST_AT_ONCE, MOST_OF_ONE = 64, 8  # webhooks; of the names of one machine
MOST_TESTS = 8
_PAGE, _MOST_DEAD = 20, 500
_NOTED_EVERY_S = 1.0
_GRACE_S, _STOP_S, _LOOKING_S = 0.5, 2.0, 0.02
_NO_SECRET = "its secret is lost: remove the webhook and add it again"


def signature(secret: str, id: str, timestamp: int, body: bytes) -> str:
    """Return the value of `webhook-signature`."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    said = f"{id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, said, "sha256")).decode()


class _Run:
    """The work on one webhook: how far it has come, and what of that the log does not know yet."""

    def __init__(self, row: Row, posts: Posts, stopped: threading.Event, noted_at: float) -> None:
        self.row, self.posts, self.stopped = row, posts, stopped
        self.progress = row.progress
        self.dead: list[int] = []
        self.done: list[int] = []
        self.is_noted, self.must_be_noted, self.noted_at = True, False, noted_at

    def is_to_be_noted(self) -> bool:
        """Whether the log should know now: of messages that were taken, once a second is enough."""
        is_late = time.monotonic() - self.noted_at >= _NOTED_EVERY_S
        return not self.is_noted and (self.must_be_noted or is_late)

    def reached(self, progress: Progress, mail: Mail, *, sent: bool) -> None:
        """A message is done with; `sent`: and that is to be noted."""
        self.progress = progress
        if mail.replay_ms:
            self.done.append(mail.seq)
        else:
            self.progress = progress.past(mail.seq)
        self.is_noted = self.is_noted and not sent

    def give_up(self, mail: Mail) -> None:
        """A message becomes a dead letter."""
        self.dead.append(mail.seq)
        if not mail.replay_ms:
            self.progress = self.progress.past(mail.seq)


class WebhookSender:
    """See the head of this module. `luck` gives numbers from 0 to 1, for the pauses."""

    def __init__(
        self,
        webhooks: Webhooks,
        network: Network,
        clock: Callable[[], float] = time.time,
        luck: Callable[[], float] = random.random,
    ) -> None:
        self.network = network
        self._webhooks, self._clock, self._luck = webhooks, clock, luck
        self._mutex = threading.Lock()
        self._running: dict[str, tuple[threading.Thread, str]] = {}
        self._posts, self._stopped = Posts(network, clock), threading.Event()
        self._looked_at: dict[str, int] = {}  # the last record when there was nothing to send
        self._passed: dict[str, int] = {}  # up to where there was nothing but one's own messages
        self._last = ""  # whom the last call of `tend` looked at last
        self._noted_at: dict[str, float] = {}
        self._unsaved: dict[str, _Run] = {}  # with what the log does not know yet
        self._tests = threading.BoundedSemaphore(MOST_TESTS)

    # -- who works on what -----------------------------------------------------------------------

    def tend(self) -> None:
        """Begin to work on each webhook that has something to send, as far as there is room."""
        position = self._webhooks.position()
        rows = [
            row
            for row in self._webhooks.due()
            if row.id in self._unsaved or self._looked_at.get(row.id) != position
        ]
        began = time.monotonic()
        for row in sorted(rows, key=lambda row: (row.id <= self._last, row.id)):
            if time.monotonic() - began > _LOOKING_S:
                break
            self._last = row.id
            if self._has_work(row):
                self._begin(row)
            elif row.id not in self._unsaved and row.id not in self._running:
                self._looked_at[row.id] = position

    def _has_work(self, row: Row) -> bool:
        run = self._unsaved.get(row.id)
        if run is not None and run.is_to_be_noted():
            return True
        done = () if run is None else run.done
        return bool(self._webhooks.mail(self._as_passed(row), done, 1))

    def _as_passed(self, row: Row) -> Row:
        return row._replace(progress=row.progress.past(self._passed.get(row.id, 0)))

    def stop(self) -> None:
        """End all work, and note what has been reached; takes three seconds at the most."""
        with self._mutex:
            posts, stopped = self._posts, self._stopped
            self._posts, self._stopped = Posts(self.network, self._clock), threading.Event()
            threads = [thread for thread, _ in self._running.values()]
        stopped.set()
        _join(threads, _GRACE_S)  # an answer that is on its way
        posts.cancel()
        _join(threads, _STOP_S)
        for run in list(self._unsaved.values()):
            with suppress(BusError, OSError):
                self._note(run)
        for known in (self._looked_at, self._passed, self._noted_at, self._unsaved):
            known.clear()

    def test(self, row: Row) -> tuple[Outcome, Answer]:
        """Send a message that is only a test, out of order. Raises TooMany."""
        if not self._tests.acquire(blocking=False):
            raise TooMany(f"{MOST_TESTS} tests of webhooks are under way.")
        try:
            return self._test(row)
        finally:
            self._tests.release()

    def _test(self, row: Row) -> tuple[Outcome, Answer]:
        id = self._webhooks.new_id()
        body = f"This is a test of the webhook {row.id} for {row.name}."
        message = {"seq": 0, "id": id, "ts": records.utc(self._clock())}
        message |= notice(f"webhook {id}", [row.name], body, tags=["webhook-test"])
        for name in ("kind", "digest", "client_id"):
            del message[name]
        return self._send(self._posts, row, id, json.dumps(message).encode())

    def _begin(self, row: Row) -> None:
        machine = row.name if row.name.startswith(HUMANS) else row.name.partition("/")[0]
        with self._mutex:
            of_one = sum(owner == machine for _, owner in self._running.values())
            is_full = len(self._running) >= MOST_AT_ONCE or of_one >= MOST_OF_ONE
            if row.id in self._running or is_full:
                return
            run = self._unsaved.pop(row.id, None)
            if run is None:
                noted_at = self._noted_at.get(row.id, -math.inf)
                run = _Run(self._as_passed(row), self._posts, self._stopped, noted_at)
            thread = threading.Thread(target=self._work, args=(run,), daemon=True)
            self._running[row.id] = (thread, machine)
        try:
            thread.start()
        except RuntimeError:  # no more threads now
            self._end(row.id)
            raise

    def _end(self, id: str) -> None:
        with self._mutex:
            self._running.pop(id, None)

    def _work(self, run: _Run) -> None:
        id = run.row.id
        try:
            self._note_in_time(run)
            while self._may_go_on(run) and self._deliver_some(run):
                pass
            self._note_in_time(run)
        except BusError as error:
            logger.info("the webhook %s waits: %s", id, error)
        except Exception:
            logger.exception("the webhook %s failed; it is tried again", id)
        finally:
            if not run.is_noted:
                self._unsaved[id] = run
            self._end(id)

    # -- the work on one -------------------------------------------------------------------------

    def _may_go_on(self, run: _Run) -> bool:
        progress = run.progress
        is_off = progress.state == GONE or progress.next_ms > self._webhooks.now_ms()
        return not (is_off or run.stopped.is_set())

    def _deliver_some(self, run: _Run) -> bool:
        """Send the next few messages; return whether to go on."""
        row = run.row._replace(progress=run.progress)
        found = self._webhooks.mail(row, run.done, _PAGE)
        if not found:
            return False
        return all(self._deliver(run, mail) for mail in found)

    def _deliver(self, run: _Run, mail: Mail) -> bool:
        """Send one message; return whether to go on."""
        message = json.loads(mail.text)
        if message["from"] == run.row.name or "retracted" in message:
            run.reached(run.progress, mail, sent=bool(mail.replay_ms))
            self._passed[run.row.id] = run.progress.cursor
            return True
        now = self._webhooks.one(run.row.id)
        if now is None or run.stopped.is_set():
            run.is_noted = run.is_noted or now is None
            return False
        outcome, answer = self._send(run.posts, run.row, message["id"], mail.text.encode())
        if not outcome.is_delivered and run.stopped.is_set():
            return False
        progress = run.progress.with_answer(answer)
        if outcome.is_delivered:
            run.must_be_noted = run.must_be_noted or progress.failures > 0
            run.reached(progress.delivered(), mail, sent=True)
            self._passed[run.row.id] = run.progress.cursor
            self._note_in_time(run)
            return True
        self._fail(run, mail, progress, outcome)
        return False

    def _fail(self, run: _Run, mail: Mail, progress: Progress, outcome: Outcome) -> None:
        now_ms = self._webhooks.now_ms()
        run.progress = progress.failed(outcome, now_ms, self._luck())
        run.is_noted, run.must_be_noted = False, True
        if not outcome.is_gone and _since_ms(mail) <= now_ms - TRIED_MS:
            run.give_up(mail)
            if outcome.is_about_the_message:
                # The receiver is there, and may like the next one.
                run.progress = run.progress.delivered()
            else:
                self._give_up_old(run, now_ms - TRIED_MS)
        self._note(run)

    def _give_up_old(self, run: _Run, until_ms: int) -> None:
        """Nobody was there for a day: give up all that has waited as long."""
        row = run.row._replace(progress=run.progress)
        for mail in self._webhooks.mail(row, [*run.done, *run.dead], _MOST_DEAD):
            if _since_ms(mail) > until_ms:
                break
            run.give_up(mail)

    def _send(self, posts: Posts, row: Row, id: str, body: bytes) -> tuple[Outcome, Answer]:
        began, timestamp = time.monotonic(), int(self._clock())
        secret = self._webhooks.secret(row.id)
        if secret is None:
            outcome = Outcome(None, _NO_SECRET)
        else:
            headers = {
                "webhook-id": id,
                "webhook-timestamp": str(timestamp),
                "webhook-signature": signature(secret, id, timestamp, body),
            }
            outcome = posts.send(row.url, headers, body)
        answer: Answer = {
            "time": records.utc(self._clock()),
            "message": id,
            "status": outcome.status,
            "error": outcome.error,
            "ms": int((time.monotonic() - began) * 1000),
        }
        return outcome, answer

    def _note_in_time(self, run: _Run) -> None:
        if run.is_to_be_noted():
            self._note(run)

    def _note(self, run: _Run) -> None:
        """Put into the log what it does not know yet."""
        self._webhooks.note(run.row, Step(run.progress, tuple(run.dead), tuple(run.done)))
        run.row = run.row._replace(progress=run.progress)
        run.is_noted, run.must_be_noted, run.noted_at = True, False, time.monotonic()
        self._noted_at[run.row.id] = run.noted_at
        run.dead.clear()
        run.done.clear()


def _join(threads: list[threading.Thread], within_s: float) -> None:
    until = time.monotonic() + within_s
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))


def _since_ms(mail: Mail) -> int:
    """Return since when a message is to be sent."""
    return mail.replay_ms or records.unix_ms(json.loads(mail.text)["ts"])
