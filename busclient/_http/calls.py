"""One call to the hub: time-outs, retries with back-off, and errors in the client's own words.

Everything that is sent may be sent again: reads change nothing, an ack is idempotent, and posts,
commands and writes have an idempotency key. So all calls are retried after connection errors and
after 429, 502, 503 and 504; the few that must not be are sent with `ONCE`.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode

from busclient._codes import error_from
from busclient._errors import (
    BadAnswer,
    BusError,
    NotTrusted,
    Refused,
    Unavailable,
    Unreachable,
)
from busclient._http.deadline import deadline
from busclient._http.plain import basic
from busclient._http.transport import Answer, Broken, Request, Transport
from busclient._http.trouble import hinted, unreachable
from busclient._settings import Settings
from busclient._version import __version__

if TYPE_CHECKING:
    from requests.adapters import BaseAdapter

T = TypeVar("T")
_RETRIED = (429, 502, 503, 504)
_FOR_PEOPLE = (
    "driver_unavailable",
    "exec_unavailable",
    "too_many_questions",
)  # no patience mends these
_SERVICE_BACK_S = 1.0  # but the service may be restarting: once more
_SLOW_S = 3.0  # after which a person who waits wants to know why
_MAX_ANSWER = 256 * 1024 * 1024  # 500 messages of 64 KiB and their data, escaped


@dataclass(frozen=True)
class Patience:
    """How long to try. `total_s` is for a call with all its attempts, pauses and slow answers."""

    connect_s: float = 5.0
    read_s: float = 20.0
    total_s: float = 45.0
    attempts: int = 4
    backoff_s: float = 0.1  # doubles each time, with up to as much again at random
    longest_pause_s: float = 5.0  # a hub that asks for more is away for now


ONCE = Patience(attempts=1)


def new_key() -> str:
    """Return an idempotency key that nobody else makes: 128 random bits."""
    return os.urandom(16).hex()


@dataclass(frozen=True)
class Reply:
    """An answer that was read whole."""

    status: int
    content: bytes
    header: Callable[[str], str]  # empty where there is no such header


class Calls:
    """A connection to one hub, kept and used again. Not for several threads at once.

    `transport` is an adapter of requests, in place of sockets; `light` spares requests where the
    hub can do without.
    """

    def __init__(
        self,
        settings: Settings,
        transport: BaseAdapter | Transport | None,
        patience: Patience,
        sleep: Callable[[float], None],
        *,
        light: bool = False,
    ) -> None:
        self.settings, self.patience = settings, patience
        self._given, self._light, self._sleep = transport, light, sleep
        self._transport: Transport | None = None
        # Is told once that the hub lets a caller wait; from another thread
        self.on_slow: Callable[[str], None] | None = None

    def json(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        """Return the JSON object that answers a call; raises BusError, also for a 202 that says
        what is still missing.

        `request` as in `send`.
        """
        reply = self.send(method, path, **request)
        value = _parsed(reply.content)
        if not isinstance(value, dict):
            raise BadAnswer(
                f"{self.settings.url} answered something that is not the hub's JSON.",
                status=reply.status,
            )
        if reply.status == 202 and value.get("ok") is False:
            raise error_from(reply.status, value)
        return value

    def send(
        self,
        method: str,
        path: str,
        *,
        wait_s: float = 0,
        patience: Patience | None = None,
        also: Sequence[int] = (),
        **given: Any,
    ) -> Reply:
        """The answer to a call, read whole; raises BusError.

        `wait_s` is how long the hub was asked to hold the answer back, `also` are statuses that are
        no error; the rest goes to `request`.
        """
        patience = patience or self.patience
        request = self.request(method, path, **given)
        return self.retrying(
            lambda ends: self._attempt(ends, wait_s, patience, also, request), patience, wait_s
        )

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Request:
        """Return a request with our credential.

        `params` that are None are left out, `json` and `data` are the body. Raises Refused.
        """
        query = urlencode(
            {name: value for name, value in (params or {}).items() if value is not None}, doseq=True
        )
        body = _body(json) if json is not None else data
        if body is None and method != "GET":
            body = b""
        own = {
            "User-Agent": f"claude-bus/{__version__}",
            "Accept": "application/json",
            "Authorization": basic(self.settings),
            **({} if json is None else {"Content-Type": "application/json"}),
        }
        url = self.settings.url + path + (f"?{query}" if query else "")
        return Request(method, url, {**own, **(headers or {})}, body)

    def retrying(
        self, make: Callable[[float], T], patience: Patience | None = None, wait_s: float = 0
    ) -> T:
        """Return what `make` gives, called again after passing trouble; `make` is told when all has
        to be over (monotonic).
        """
        patience = patience or self.patience
        ends = time.monotonic() + wait_s + patience.total_s
        for attempt in range(1, patience.attempts + 1):
            try:
                return make(ends)
            except (Unreachable, Unavailable) as error:
                pause = self._pause(error, attempt, patience)
                if pause is None or time.monotonic() + pause >= ends:
                    raise
            self._sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def stream(
        self, path: str, *, idle_s: float, method: str = "GET", **given: Any
    ) -> Iterator[bytes]:
        """Yield the chunks of an endless answer, as they come; raises BusError when it breaks or is
        silent for `idle_s`.

        The rest goes to `request`.
        """
        request = self.request(method, path, **given)
        try:
            with self.transport().send(request, self.patience.connect_s, idle_s) as answer:
                if answer.status != 200:
                    raise _error_of(answer, _read(answer))
                yield from answer.chunks(live=True)
        except Broken as error:
            raise unreachable(self.settings, error) from error

    def transport(self) -> Transport:
        """Return the way to the hub, opened at the first call."""
        if self._transport is None:
            given = self._given
            if given is None:
                self._transport = transport_for(self.settings, light=self._light)
            else:
                self._transport = (
                    given if isinstance(given, Transport) else _by_adapter(self.settings, given)
                )
        return self._transport

    def error_of(self, answer: Answer) -> BusError:
        """Return the error that an answer stands for, which is read to its end."""
        return _error_of(answer, _read(answer))

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def _attempt(
        self, ends: float, wait_s: float, patience: Patience, also: Sequence[int], request: Request
    ) -> Reply:
        left = max(ends - time.monotonic(), 0.01)
        connect_s, read_s = min(patience.connect_s, left), min(patience.read_s + wait_s, left)
        try:
            with (
                deadline(left),
                self._slow_told(wait_s),
                self.transport().send(request, connect_s, read_s) as answer,
            ):
                content = _read(answer)
        except Broken as error:
            raise unreachable(self.settings, error) from error
        if not 200 <= answer.status < 300 and answer.status not in also:
            raise hinted(self.settings, _error_of(answer, content))
        return Reply(answer.status, content, answer.header)

    @contextlib.contextmanager
    def _slow_told(self, wait_s: float) -> Iterator[None]:
        """Tell `on_slow` when an answer is late, unless the hub was asked to hold it back."""
        if self.on_slow is None or wait_s:
            yield
            return
        timer = threading.Timer(_SLOW_S, self._tell_slow)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _tell_slow(self) -> None:
        tell, self.on_slow = self.on_slow, None
        if tell is not None:
            tell(
                f"{self.settings.url} has not answered for {_SLOW_S:g} s; still waiting (Ctrl-C"
                " stops)"
            )

    def _pause(self, error: BusError, attempt: int, patience: Patience) -> float | None:
        """Return seconds before the next attempt; None when there shall be none."""
        if (
            attempt >= patience.attempts
            or isinstance(error, (BadAnswer, NotTrusted))
            or (error.status is not None and error.status not in _RETRIED)
        ):
            return None
        if error.code in _FOR_PEOPLE:
            return _SERVICE_BACK_S if error.code == "exec_unavailable" and attempt == 1 else None
        pause = patience.backoff_s * 2 ** (attempt - 1) * (1 + random.random())  # noqa: S311  spreads a fleet's retries
        if error.retry_after_s is not None:
            pause = max(pause, error.retry_after_s)
        return pause if pause <= patience.longest_pause_s else None


def transport_for(settings: Settings, *, light: bool) -> Transport:
    """Return the way to the hub of these settings; by requests, unless it is to be `light` and can
    be.
    """
    if light:
        from busclient._http.light_transport import LightTransport, suits  # noqa: PLC0415

        if suits(settings):
            return LightTransport(settings)
    return _by_adapter(settings, None)


def _by_adapter(settings: Settings, adapter: BaseAdapter | None) -> Transport:
    from busclient._http.requests_transport import RequestsTransport  # noqa: PLC0415

    return RequestsTransport(settings, adapter)


def _body(value: Any) -> bytes:
    try:
        return json.dumps(value, allow_nan=False).encode()
    except ValueError as error:
        raise Refused(
            f"The request cannot be written as JSON: {error}.", hint="Numbers must be finite."
        ) from None


def _read(answer: Answer) -> bytes:
    """Return an answer's whole body, but never more than a hub would send."""
    chunks, size = [], 0
    for chunk in answer.chunks(live=False):
        chunks.append(chunk)
        size += len(chunk)
        if size > _MAX_ANSWER:
            raise BadAnswer(f"The answer is longer than {_MAX_ANSWER} bytes.")
    return b"".join(chunks)


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None


def _error_of(answer: Answer, content: bytes) -> BusError:
    if 300 <= answer.status < 400:
        place = answer.header("Location") or "elsewhere"
        return BadAnswer(
            f"The hub's address leads on to {place[:200]!r}.",
            status=answer.status,
            hint="Set BUS_URL to the final address.",
        )
    text = answer.header("Retry-After")
    return error_from(
        answer.status, _parsed(content), float(text) if text.isdigit() and len(text) < 9 else None
    )
