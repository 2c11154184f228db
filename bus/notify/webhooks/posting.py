"""One request to a receiver: bounded in time and in what is read of its answer. Redirects are not
followed.
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime

from bus.model.webhooks import Outcome, place
from bus.notify.webhooks.addresses import Connection, Network, Refused
from bus.version import __version__

WHOLE_S = 15.0  # from the look-up of the name to the end of the answer
_LINGER_S = 0.5  # for a body that nobody reads: a receiver may not like to be cut off
_MOST_HEAD, _MOST_BODY, _AT_ONCE = 16 * 1024, 64 * 1024, 16 * 1024
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?: [^\r\n]*)?")
_MOST_INTERIM = 8


class Posts:
    """Sends requests. `whole_s` is what one may take; `clock` gives seconds since 1970."""

    def __init__(
        self, network: Network, clock: Callable[[], float], whole_s: float = WHOLE_S
    ) -> None:
        self._network, self._clock, self._whole_s = network, clock, whole_s
        self._mutex = threading.Lock()
        self._open: set[Connection] = set()
        self._is_cancelled = False

    def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        """Post a body, and return how it ended."""
        where = place(url)
        connection = Connection(self._network, where)
        with self._mutex:
            if self._is_cancelled:
                return Outcome(None, "the hub stops")
            self._open.add(connection)
        watchdog = threading.Timer(self._whole_s, connection.cut)
        watchdog.daemon = True
        try:
            watchdog.start()
            sent = connection.open()
            sent.settimeout(self._whole_s)
            head = {"Host": where.authority, "User-Agent": f"claude-bus/{__version__}", **headers}
            sent.sendall(_request(where.path, head, len(body)) + body)
            return self._answer(sent)
        except Refused as error:
            return Outcome(None, str(error))
        except (OSError, ValueError, RuntimeError) as error:
            return Outcome(None, "it took too long" if connection.is_cut else _why(error))
        finally:
            watchdog.cancel()
            with self._mutex:
                self._open.discard(connection)
            connection.close()

    def cancel(self) -> None:
        """End all requests that are under way, and send no more."""
        with self._mutex:
            self._is_cancelled = True
            for connection in self._open:
                connection.cut()

    def _answer(self, sent: socket.socket) -> Outcome:
        data = b""
        for _ in range(_MOST_INTERIM):
            head, data = _head(sent, data)
            found = _STATUS.fullmatch(head.split(b"\r\n", 1)[0])
            if found is None:
                return Outcome(None, "the answer is not HTTP")
            status = int(found[1])
            if status >= 200:
                _linger(sent, _length(head) - len(data))
                return Outcome(status, _refusal(status), self._retry_after_s(head))
        return Outcome(None, "the answer has no end")

    def _retry_after_s(self, head: bytes) -> float | None:
        """Return how long the receiver wants to be left alone: it says seconds, or a time."""
        text = _header(head, b"retry-after")
        if text.isascii() and text.isdigit() and len(text) < 10:
            return float(text)
        with suppress(ValueError, TypeError, OverflowError):
            return max(0.0, parsedate_to_datetime(text).timestamp() - self._clock())
        return None


def _request(path: str, headers: Mapping[str, str], size: int) -> bytes:
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    lines += ["Content-Type: application/json", f"Content-Length: {size}", "Connection: close"]
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def _head(sent: socket.socket, data: bytes) -> tuple[bytes, bytes]:
    """Return the head of an answer and what came behind it; raises ValueError for one that is too
    long, or not whole.
    """
    while b"\r\n\r\n" not in data:
        if len(data) > _MOST_HEAD:
            raise ValueError("the head of the answer is too long")
        more = sent.recv(_AT_ONCE)
        if not more:
            raise ValueError("there was no answer" if not data else "the answer is not whole")
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def _linger(sent: socket.socket, left: int) -> None:
    """Read the body of an answer, or what of it comes in a moment; nobody looks at it."""
    sent.settimeout(_LINGER_S)
    read = 0
    with suppress(OSError):
        while left > 0 and read < _MOST_BODY and (more := sent.recv(_AT_ONCE)):
            read += len(more)
            left -= len(more)


def _length(head: bytes) -> int:
    """Return how long the body is said to be; where it is not said, as long as is read of any."""
    text = _header(head, b"content-length")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else _MOST_BODY


def _header(head: bytes, name: bytes) -> str:
    for line in head.split(b"\r\n")[1:]:
        field, _, value = line.partition(b":")
        if field.strip().lower() == name:
            return value.strip().decode("latin-1")
    return ""


def _refusal(status: int) -> str | None:
    if status < 300:
        return None
    if status < 400:
        return f"status {status}: redirects are not followed"
    return f"status {status}"


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it took too long"
    if isinstance(error, socket.gaierror):
        return "its host is not found"
    said = error.strerror if isinstance(error, OSError) else str(error)
    return (said or type(error).__name__)[:200]
