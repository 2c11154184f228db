"""The web workers' end of the line to the service that runs commands: see `bus.runner.protocol`."""

from __future__ import annotations

import socket
import time
from collections.abc import Generator
from contextlib import closing, suppress
from pathlib import Path

import orjson

from bus.errors import ExecUnavailable
from bus.runner.protocol import ALIVE_EVERY_S, LEAVE, MAX_LINE, Line, cut_off, encoded, raised
from bus.system.sockets import address_of

_CONNECT_S = 5.0
_NEWS_FOR_S = 1.0
_SILENCE_S = 6 * ALIVE_EVERY_S


class RunnerClient:
    """The client's end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._was_there: bool | None = None
        self._ask_after = 0.0
        self._open: set[socket.socket] = set()

    def let_go(self) -> None:
        """Get every waiting request answered at once, because the hub is stopping.

        May be called again.
        """
        while self._open:
            connection = self._open.pop()
            with suppress(OSError):  # it has just been answered
                connection.send(LEAVE)

    def ask(self, request: Line, within_s: float | None = None) -> Line:
        """Return the one answer to a request.

        Raises what the service answers, ExecUnavailable and TargetFailed. With `within_s` (less
        than ALIVE_EVERY_S) it gives up on a slower service: for what the caller can do without.
        """
        with closing(self.lines(request, within_s or _SILENCE_S)) as lines:
            for line in lines:
                if line is not None:
                    return line
                if within_s is not None:
                    break
        raise cut_off("before it had answered")

    def lines(
        self, request: Line, silence_s: float = _SILENCE_S
    ) -> Generator[Line | None, None, None]:
        """Yield the answers to a request, and None for a sign of life. Closing the iterator hangs
        up.
        """
        with closing(self._connected()) as connection:
            try:
                # A service that has too much to do answers and hangs up before it has read all.
                with suppress(BrokenPipeError, ConnectionResetError):
                    connection.sendall(encoded(request))
                connection.settimeout(silence_s)
                self._open.add(connection)
                with connection.makefile("rb") as file:
                    line: Line | None = None
                    while line is None or "result" not in line:
                        yield (line := _checked(file.readline(MAX_LINE)))
            except OSError as error:
                raise cut_off(f"in the middle: {error}") from error
            finally:
                self._open.discard(connection)

    def is_there(self) -> bool:
        """Return whether the service answers; it is asked at most once a second.

        Whoever comes while one asks gets the last result, so that a service that hangs does not
        hold up everybody.
        """
        now = time.monotonic()
        if now > self._ask_after or self._was_there is None:
            self._ask_after = now + _NEWS_FOR_S
            self._was_there = self._answers()
        return bool(self._was_there)

    def _answers(self) -> bool:
        try:
            self._connected().close()
        except ExecUnavailable:
            return False
        return True

    def _connected(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(_CONNECT_S)
            with address_of(self.path) as address:
                connection.connect(address)
        except OSError as error:
            connection.close()
            raise ExecUnavailable(
                f"The service that runs commands does not answer: {error.strerror or error}."
            ) from error
        return connection


def _checked(data: bytes) -> Line | None:
    if data == b"\n":
        return None
    if not data.endswith(b"\n"):
        raise cut_off("in the middle of an answer" if data else "before it had answered")
    try:
        line: Line = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise cut_off("in the middle of a line") from error
    if "error" in line:
        raise raised(line["error"])
    return line
