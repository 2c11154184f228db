"""How the web workers talk to the service that runs commands: lines of JSON over a unix socket.

One connection a request. The client sends one object; the service answers with objects, a line each, and empty lines as
signs of life, and closes. An object `{"error":{…},"status":…}` is an error of the family, and is raised as that. The
request carries the caller's own Authorization header: the service proves it again and trusts nothing else. A worker that
stops sends LEAVE; the service answers at once with the id under which the call goes on, where a hang-up would end a stream.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Generator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import orjson

from bus.errors import BusError, ExecUnavailable, Internal, TargetFailed, family
from bus.sockets import address_of

MAX_LINE = 48 * 1024 * 1024
LEAVE = b"leave\n"
ALIVE_EVERY_S = 5.0
_CONNECT_S = 5.0
_NEWS_FOR_S = 1.0
_SILENCE_S = 6 * ALIVE_EVERY_S

Line = dict[str, Any]


class ExecService:
    """The client's end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._was_there: bool | None = None
        self._ask_after = 0.0
        self._open: set[socket.socket] = set()

    def let_go(self) -> None:
        """Have every request that waits answered at once, because the hub is stopping. May be called again."""
        while self._open:
            connection = self._open.pop()
            with suppress(OSError):  # it has just been answered
                connection.send(LEAVE)

    def ask(self, request: Line, within_s: float | None = None) -> Line:
        """The one answer to a request; raises what the service answers, ExecUnavailable, TargetFailed.

        With `within_s` (less than ALIVE_EVERY_S) a service that is slower is given up: for what can be done without.
        """
        with closing(self.lines(request, within_s or _SILENCE_S)) as lines:
            for line in lines:
                if line is not None:
                    return line
                if within_s is not None:
                    break
        raise _cut_off("before it had answered")

    def lines(self, request: Line, silence_s: float = _SILENCE_S) -> Generator[Line | None, None, None]:
        """The answers to a request, None for a sign of life. Closing the iterator hangs up."""
        with closing(self._connected()) as connection:
            try:
                connection.sendall(encoded(request))
                connection.settimeout(silence_s)
                self._open.add(connection)
                with connection.makefile("rb") as file:
                    line: Line | None = None
                    while line is None or "result" not in line:
                        yield (line := _checked(file.readline(MAX_LINE)))
            except OSError as error:
                raise _cut_off(f"in the middle: {error}") from error
            finally:
                self._open.discard(connection)

    def is_there(self) -> bool:
        """Whether the service answers: asked at most once a second.

        Whoever comes while one asks gets the news of before, so that a service that hangs does not hold up everybody.
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
            raise ExecUnavailable(f"The service that runs commands does not answer: {error.strerror or error}.") from error
        return connection


def error_line(error: BusError) -> Line:
    """An error as an answer."""
    return {"error": error.as_dict(), "status": error.status}


def _checked(data: bytes) -> Line | None:
    if data == b"\n":
        return None
    if not data.endswith(b"\n"):
        raise _cut_off("in the middle of an answer" if data else "before it had answered")
    try:
        line: Line = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise _cut_off("in the middle of a line") from error
    if "error" in line:
        raise raised(line["error"])
    return line


def raised(fields: dict[str, Any]) -> BusError:
    """The error that these fields (`BusError.as_dict`) describe."""
    details = {name: value for name, value in fields.items() if name not in ("ok", "error", "message", "hint", "docs")}
    for kind in family():
        if kind.code == fields["error"]:
            return kind(fields["message"], hint=fields["hint"], **details)
    return Internal(f"The service that runs commands answered {fields['error']!r}.")


def hint_of(code: str) -> str:
    """What the error with this code says to do."""
    return next((kind.hint for kind in family() if kind.code == code), "")


def _cut_off(why: str) -> TargetFailed:
    return TargetFailed(
        f"The service that runs commands broke off {why}.",
        hint="It may or may not have run; with an idempotency key, the same call again tells, and never runs twice.",
    )


def encoded(line: Line | None) -> bytes:
    """An answer, or a sign of life, as it goes over the line, and on to the caller of a stream."""
    return b"\n" if line is None else orjson.dumps(line) + b"\n"
