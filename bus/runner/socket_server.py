"""The runner's socket: a thread for each connection, and one runner at a time."""

from __future__ import annotations

import logging
import os
import select
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import orjson
from filelock import FileLock, Timeout

from bus.credentials import Credentials
from bus.errors import BadRequest, BusError, Busy, HubStopping, Internal, NotAllowed
from bus.index.calls import Found
from bus.model import calls
from bus.model.caller import MACHINES, Caller
from bus.runner import answers
from bus.runner.protocol import ALIVE_EVERY_S, LEAVE, MAX_LINE, Line, encoded, error_line
from bus.runner.running import HangUp, Standing
from bus.runner.service import Service
from bus.system import modes
from bus.system.sockets import address_of

logger = logging.getLogger("bus.runner")

# Each takes a thread. There are more than calls that may run, for those who only ask.
MOST_CONNECTIONS = 512
REQUEST_S = 10.0  # for the whole request; the hub sends it at once
_PART = 1 << 20
_SLOW_READER_S = 20.0
_TEND_EVERY_S = 1.0
_LISTED_FOR_S = 1.0
_LAST_WORDS_S = 15.0
# A run ends at its time, and its caller hears that it timed out, before the reader counts as gone.
_MARGIN_S = 0.5
_BEGUN_IN_S = 2.0


class SocketServer:
    """Takes requests until it is stopped.

    Raises OSError if another runner serves this socket, or this data.
    """

    def __init__(
        self, path: Path, data_dir: Path, service: Service, credentials: Credentials, max_file: int
    ) -> None:
        self.path, self.service = path, service
        self._credentials, self._max_file = credentials, max_file
        for folder in (path.parent, data_dir / "run"):
            folder.mkdir(mode=modes.FOLDER, parents=True, exist_ok=True)
        # The lock is on the data, not on the socket: a second runner would take the calls of the
        # first for lost, and end them.
        self._lock = FileLock(
            data_dir / "run" / "exec.lock", timeout=0, mode=modes.FILE, thread_local=False
        )
        self._stopping = threading.Event()
        self._listing = threading.Lock()
        self._listed: tuple[float, Line] = (0.0, {})
        try:
            self._lock.acquire()
        except Timeout:
            raise OSError(f"another service runs commands for {data_dir} already") from None
        self._server = self._listen()

    def serve(self, parent: int | None = None) -> None:
        """Serve until `stop_soon`, or until the process `parent` is gone.

        Then end what runs, and record that.
        """
        lost = self.service.recover()
        if lost:
            logger.warning("%d calls ran when the service ended; nobody knows how they ended", lost)
        tending = threading.Thread(target=self._tend, args=(parent,), name="tend", daemon=True)
        tending.start()
        try:
            self._server.serve_forever(poll_interval=0.1)
        finally:
            self._stopping.set()
            self.service.stop_all()
            self._wait_until_idle()
            tending.join(_TEND_EVERY_S)
            self._server.server_close()
            self.path.unlink(missing_ok=True)
            self._lock.release()

    def stop_soon(self) -> None:
        """Have `serve` return; may be called from a signal handler."""
        if not self._stopping.is_set():
            self._stopping.set()
            threading.Thread(target=self._server.shutdown, name="stop").start()

    def _wait_until_idle(self) -> None:
        deadline = time.monotonic() + _LAST_WORDS_S
        while not self.service.is_idle() and time.monotonic() < deadline:
            time.sleep(0.05)

    def _listen(self) -> _Server:
        if _answers(self.path):
            self._lock.release()
            raise OSError(f"another service listens at {self.path} already")
        self.path.unlink(missing_ok=True)
        before = os.umask(modes.UMASK)
        try:
            with address_of(self.path) as address:
                return _Server(address, self._answer)
        finally:
            os.umask(before)

    def _tend(self, parent: int | None) -> None:
        while not self._stopping.wait(_TEND_EVERY_S):
            if parent is not None and os.getppid() != parent:
                self.stop_soon()
            try:
                self.service.end_revoked()
                self.service.tend()
            except Exception:
                logger.exception("tending failed")

    # -- a request -------------------------------------------------------------------------------

    def _answer(self, connection: socket.socket) -> None:
        talk = _Talk(connection)
        try:
            request = talk.request()
            if request is not None:
                talk.send(self._answered(request, talk))
        except BusError as error:
            talk.send(error_line(error))
        except Exception as error:
            logger.exception("a request failed")
            talk.send(
                error_line(
                    Internal(f"The service that runs commands failed: {type(error).__name__}.")
                )
            )
        finally:
            talk.end()

    def _answered(self, request: Line, talk: _Talk) -> Line:
        caller = self._credentials.caller_of(request.get("authorization"))
        if caller.role not in MACHINES:
            raise NotAllowed(
                f"{caller.name} is a {caller.role}.", role=caller.role, allowed=sorted(MACHINES)
            )
        does: dict[str, Callable[[Caller, Line, _Talk], Line]] = {
            "call": self._call,
            "state": self._state,
            "stop": self._stop_call,
            "targets": self._targets,
            "snapshots": self._snapshots,
        }
        talk.watch(begins=request.get("op") == "call")
        if request.get("op") not in does:
            raise BadRequest("The service that runs commands does not know this request.")
        answer = does[request["op"]](caller, request, talk)
        self._standing(caller, request).check()
        return answer

    def _standing(self, caller: Caller, request: Line) -> Standing:
        header = request.get("authorization")
        return Standing(
            lambda: self._credentials.still_proves(header, caller),
            lambda: self._credentials.still_has_name(caller),
        )

    def _call(self, caller: Caller, request: Line, talk: _Talk) -> Line:
        call = calls.check(
            request["type"], request["fields"], self._max_file, request.get("act", "")
        )
        if call.stream:
            # A reader that pauses holds the command back, but not beyond the time that it may run.
            talk.be_patient(call.request["timeout_s"] + _MARGIN_S)
        standing = self._standing(caller, request)

        def emit(line: Line) -> None:
            standing.check()
            talk.send(line)

        try:
            answer = self.service.make(caller, call, emit, talk.hung_up, standing)
        finally:
            if call.type == calls.CONTAINER:
                self._listed = (0.0, {})  # who asks next sees what this has changed
        return {
            "result": answers.without_texts(answer)
            if call.stream and "replayed" not in answer
            else answer
        }

    def _state(self, caller: Caller, request: Line, talk: _Talk) -> Line:
        return {"result": self.service.state_of(self._found(caller, request))}

    def _stop_call(self, caller: Caller, request: Line, talk: _Talk) -> Line:
        found = self._found(caller, request)
        if not caller.is_admin and found.asked["auth"] != caller.name:
            raise NotAllowed(
                "Only its caller and admins may end a call.",
                role=caller.role,
                allowed=["caller", "admin"],
            )
        return {
            "result": {
                "ok": True,
                "id": found.asked["call"],
                "ended": self.service.stop(found.asked["call"]),
            }
        }

    def _targets(self, caller: Caller, request: Line, talk: _Talk) -> Line:
        with self._listing:  # however many ask, LXD is asked once a second
            made, answer = self._listed
            if time.monotonic() - made > _LISTED_FOR_S:
                listed, unavailable = self.service.targets.list()
                answer = {
                    "result": {
                        "targets": [target.__dict__ for target in listed],
                        "unavailable": unavailable,
                    }
                }
                self._listed = time.monotonic(), answer
            return answer

    def _snapshots(self, caller: Caller, request: Line, talk: _Talk) -> Line:
        if not caller.is_admin:
            raise NotAllowed(
                "Containers are managed by admins.", role=caller.role, allowed=["admin"]
            )
        target = calls.target(request, "name")
        found = self.service.driver_of(target).snapshots(target)
        return {"result": [answers.of_snapshot(snapshot) for snapshot in found]}

    def _found(self, caller: Caller, request: Line) -> Found:
        return self.service.hub.calls.get(caller, str(request.get("id", "")))


def _answers(path: Path) -> bool:
    """Return whether somebody listens at this socket."""
    with socket.socket(socket.AF_UNIX) as probe, suppress(OSError), address_of(path) as address:
        probe.connect(address)
        return True
    return False


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: str, answer: Callable[[socket.socket], None]) -> None:
        self._answer = answer
        self._places = threading.Semaphore(MOST_CONNECTIONS)
        super().__init__(address, socketserver.BaseRequestHandler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give a connection a thread of its own, or refuse it if there are too many."""
        if self._places.acquire(blocking=False):
            try:
                super().process_request(request, client_address)
            except BaseException:  # the system has no thread left
                self._places.release()
                raise
            return
        refusal = Busy(
            f"The service that runs commands has {MOST_CONNECTIONS} requests under way, "
            "which is all it takes."
        )
        with suppress(OSError):
            request.send(encoded(error_line(refusal)), socket.MSG_DONTWAIT)
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def finish_request(self, request: Any, client_address: Any) -> None:
        self._answer(cast(socket.socket, request))


class _Talk:
    """One connection: its request, its lines, sent one at a time, and whether the other end is
    there.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection, self._mutex = connection, threading.Lock()
        self.hung_up = HangUp()
        self._ended = threading.Event()
        self._patient_until = 0.0
        self._is_left = False
        connection.settimeout(_SLOW_READER_S)

    def request(self) -> Line | None:
        """Return the request; None if the other end went away, or sent too much.

        Raises Busy if the request is not whole in time: nothing has been done then.
        """
        late = Busy(f"The request did not reach the service that runs commands in {REQUEST_S:g} s.")
        deadline = time.monotonic() + REQUEST_S
        data, part = bytearray(), b""
        while b"\n" not in part:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise late
            if len(data) > MAX_LINE:
                return None
            self._connection.settimeout(left_s)
            try:
                part = self._connection.recv(_PART)
            except TimeoutError:
                raise late from None
            if not part:
                return None
            data += part
        self._connection.settimeout(_SLOW_READER_S)
        request: Line = orjson.loads(data[: data.index(b"\n")])
        return request

    def send(self, line: Line | None) -> None:
        """Send a line. If nobody reads any more, drop it and set `hung_up`."""
        with self._mutex:
            if not self.hung_up.is_set() and not self._is_left:
                left = self._patient_until - time.monotonic()
                self._connection.settimeout(left if left > 0 else _SLOW_READER_S)
                try:
                    self._connection.sendall(encoded(line))
                except OSError:
                    self.hung_up.set()

    def be_patient(self, seconds: float) -> None:
        """Let the reader pause for so long, from now on, before it counts as gone."""
        self._patient_until = time.monotonic() + seconds

    def watch(self, begins: bool) -> None:
        """From now on send signs of life, and notice if the other end goes away, or wants to.

        `begins`: the request may begin a call, which then has an id.
        """
        threading.Thread(target=self._watch, args=(begins,), name="watch", daemon=True).start()

    def _watch(self, begins: bool) -> None:
        poll = select.poll()
        with suppress(ValueError):  # it is closed already
            poll.register(self._connection, select.POLLIN)
        while not self._ended.is_set():
            came = poll.poll(ALIVE_EVERY_S * 1000)
            if self._ended.is_set():
                return
            # The request is whole: what comes after it is the end, or the word that the hub is
            # stopping.
            if came:
                if self._wants_to_leave():
                    self._let_go(begins)
                else:
                    self.hung_up.set()
                return
            self.send(None)

    def _wants_to_leave(self) -> bool:
        with suppress(OSError):
            return self._connection.recv(len(LEAVE), socket.MSG_DONTWAIT) == LEAVE
        return False

    def _let_go(self, begins: bool) -> None:
        """Tell a hub that is stopping under which id its call goes on, and nothing after that."""
        deadline = time.monotonic() + (_BEGUN_IN_S if begins else 0)
        while (
            self.hung_up.call is None and time.monotonic() < deadline and not self._ended.wait(0.02)
        ):
            pass
        id = self.hung_up.call
        if id is None:
            hint = (
                "Make it again. It may have begun: with an idempotency key it does not run twice."
            )
            self.send(error_line(HubStopping("The hub is stopping.", hint=hint)))
        else:
            self.send(
                error_line(HubStopping(f"The hub is stopping; the call {id} goes on.", id=id))
            )
        self._is_left = True

    def end(self) -> None:
        """Say nothing more, and hang up."""
        self._ended.set()
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
