"""One call to the hub: time-outs, retries with back-off, and errors in the client's own words.

Everything that is sent may be sent again: reads change nothing, an ack is idempotent, and posts, commands and writes have
an idempotency key. So all calls are retried after connection errors and after 429, 502, 503 and 504; the few that must
not be are sent with `ONCE`.
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

from busclient._errors import BadAnswer, BusError, NotTrusted, Unavailable, Unreachable, error_from
from busclient._http.trouble import unreachable
from busclient._settings import Settings
from busclient._version import __version__

if TYPE_CHECKING:
    import requests
    from requests.adapters import BaseAdapter

T = TypeVar("T")
_RETRIED = (429, 502, 503, 504)
_FOR_PEOPLE = ("driver_unavailable", "exec_unavailable", "too_many_questions")  # no patience mends these
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
    """An idempotency key that nobody else makes: 128 random bits."""
    return os.urandom(16).hex()


class Calls:
    """A connection to one hub, kept and used again. Not for several threads at once."""

    def __init__(
        self, settings: Settings, transport: BaseAdapter | None, patience: Patience, sleep: Callable[[float], None]
    ) -> None:
        self.settings, self.patience = settings, patience
        self._transport, self._sleep = transport, sleep
        self._session: requests.Session | None = None
        self.on_slow: Callable[[str], None] | None = None  # is told once that the hub lets a caller wait; from another thread

    def json(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        """The JSON object that answers a call; raises BusError, also for a 202 that says what is still missing.

        `request` as in `send`.
        """
        reply = self.send(method, path, **request)
        value = _parsed(reply.content)
        if not isinstance(value, dict):
            raise BadAnswer(f"{self.settings.url} answered something that is not the hub's JSON.", status=reply.status_code)
        if reply.status_code == 202 and value.get("ok") is False:
            raise error_from(reply.status_code, value)
        return value

    def send(
        self,
        method: str,
        path: str,
        *,
        wait_s: float = 0,
        patience: Patience | None = None,
        also: Sequence[int] = (),
        **request: Any,
    ) -> requests.Response:
        """The answer to a call, read whole; raises BusError.

        `wait_s` is how long the hub was asked to hold the answer back, `also` are statuses that are no error; the rest
        goes to `Session.request`.
        """
        patience = patience or self.patience
        request |= {"method": method, "url": self.settings.url + path}
        return self.retrying(lambda ends: self._attempt(ends, wait_s, patience, also, request), patience, wait_s)

    def retrying(self, make: Callable[[float], T], patience: Patience | None = None, wait_s: float = 0) -> T:
        """What `make` gives, called again after passing trouble; `make` is told when all has to be over (monotonic)."""
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

    def stream(self, path: str, *, idle_s: float, method: str = "GET", **request: Any) -> Iterator[bytes]:
        """The chunks of an endless answer, as they come; raises BusError when it breaks or is silent for `idle_s`."""
        import requests  # noqa: PLC0415

        request |= {"method": method, "url": self.settings.url + path, "timeout": (self.patience.connect_s, idle_s)}
        try:
            with self.session().request(stream=True, allow_redirects=False, **request) as reply:
                if reply.status_code != 200:
                    raise _error_of(reply)
                # Chunked: each chunk as it comes. A proxy that does not chunk gives no sign where to stop, so byte by byte.
                yield from reply.iter_content(None if getattr(reply.raw, "chunked", False) else 1)
        except requests.RequestException as error:
            raise unreachable(self.settings, error) from error

    def session(self) -> requests.Session:
        """The session, opened at the first call."""
        if self._session is None:
            self._session = self._open()
        return self._session

    def close(self) -> None:
        """Close the connection."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def _open(self) -> requests.Session:
        import requests  # noqa: PLC0415  0.1 s that `bus --help` need not spend

        transport = self._transport
        if transport is None:
            transport = _transport_for(self.settings)
        session = requests.Session()
        session.mount("http://", transport)
        session.mount("https://", transport)
        user, password = (text.encode("utf-8", "surrogateescape") for text in (self.settings.user, self.settings.password))
        session.auth = (user, password)  # type: ignore[assignment]  # as UTF-8
        session.headers["User-Agent"] = f"claude-bus/{__version__}"
        session.headers["Accept"] = "application/json"
        # A proxy has no business between this machine and itself, and ~/.netrc none with our credential.
        session.trust_env = not self.settings.is_loopback and self.settings.ssh_host is None
        return session

    def _attempt(
        self, ends: float, wait_s: float, patience: Patience, also: Sequence[int], request: Mapping[str, Any]
    ) -> requests.Response:
        import requests  # noqa: PLC0415

        from busclient._http.transport import deadline  # noqa: PLC0415

        left = max(ends - time.monotonic(), 0.01)
        timeout = (min(patience.connect_s, left), min(patience.read_s + wait_s, left))
        try:
            with (
                deadline(left),
                self._slow_told(wait_s),
                self.session().request(timeout=timeout, stream=True, allow_redirects=False, **request) as reply,
            ):
                _read(reply)
        except requests.RequestException as error:
            raise unreachable(self.settings, error) from error
        if not 200 <= reply.status_code < 300 and reply.status_code not in also:
            raise _error_of(reply)
        return reply

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
            tell(f"{self.settings.url} has not answered for {_SLOW_S:g} s; still waiting (Ctrl-C stops)")

    def _pause(self, error: BusError, attempt: int, patience: Patience) -> float | None:
        """Seconds before the next attempt; None when there shall be none."""
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


def _transport_for(settings: Settings) -> BaseAdapter:
    if settings.ssh_host is not None:
        from busclient._http.ssh import SshTransport  # noqa: PLC0415

        return SshTransport(settings.ssh_host)
    from busclient._http.transport import DirectTransport  # noqa: PLC0415

    return DirectTransport()


def _read(reply: requests.Response) -> None:
    """Read an answer whole, but never more than a hub would send."""
    chunks, size = [], 0
    for chunk in reply.iter_content(1 << 20):
        chunks.append(chunk)
        size += len(chunk)
        if size > _MAX_ANSWER:
            raise BadAnswer(f"The answer is longer than {_MAX_ANSWER} bytes.")
    reply._content = b"".join(chunks)
    reply._content_consumed = True  # type: ignore[attr-defined]


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None


def _error_of(reply: requests.Response) -> BusError:
    if 300 <= reply.status_code < 400:
        place = reply.headers.get("Location", "elsewhere")
        return BadAnswer(
            f"The hub's address leads on to {place[:200]!r}.", status=reply.status_code, hint="Set BUS_URL to the final address."
        )
    text = reply.headers.get("Retry-After", "")
    return error_from(reply.status_code, _parsed(reply.content), float(text) if text.isdigit() and len(text) < 9 else None)
