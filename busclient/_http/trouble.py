"""What a person needs to know of a chain of library errors: why no hub answered."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterator
from typing import Any

from busclient._errors import BadAnswer, NotTrusted, Unreachable
from busclient._settings import Settings

_BROKEN_OFF = (http.client.RemoteDisconnected, http.client.IncompleteRead, ConnectionResetError, BrokenPipeError)


def unreachable(settings: Settings, error: Exception) -> Unreachable:
    """The error of ours for one of requests'."""
    where = f"{settings.url} (through ssh {settings.ssh_host})" if settings.ssh_host else settings.url
    causes = [cause for cause in _chain(error) if not type(cause).__module__.startswith("requests")]
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return NotTrusted(f"The certificate of the hub at {where} is not trusted: {cause.verify_message or cause}.")
    is_other_protocol = any(isinstance(cause, http.client.HTTPException) for cause in causes)
    if is_other_protocol and not any(isinstance(cause, (OSError, *_BROKEN_OFF)) for cause in causes):
        return BadAnswer(f"What answers at {where} does not speak HTTP.")
    return Unreachable(f"The hub at {where} does not answer: {_reason(causes) or str(error)[:200]}.")


def is_refused(error: BaseException) -> bool:
    """Whether nothing listens at the hub's address, so that a hub may be started there."""
    return any(isinstance(cause, ConnectionRefusedError) for cause in _chain(error))


def is_unsent(error: BaseException) -> bool:
    """Whether a call failed before anything of it was sent: no address, no connection, no trust. False where that is open."""
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ProxyError  # noqa: PLC0415

    before = (
        socket.gaierror,
        ConnectionRefusedError,
        ssl.SSLCertVerificationError,
        ConnectTimeoutError,
        NewConnectionError,
        ProxyError,
    )
    return any(isinstance(cause, before) for cause in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error with all its causes, the outermost first; each once."""
    seen: list[BaseException] = []
    todo: list[Any] = [error]
    while todo:
        one = todo.pop(0)
        if isinstance(one, BaseException) and one not in seen:
            seen.append(one)
            yield one
            todo += [*one.args, getattr(one, "reason", None), one.__cause__]
            todo += [] if one.__suppress_context__ else [one.__context__]


def _reason(causes: list[BaseException]) -> str:
    """The most telling of the causes, in words; empty when there is none."""
    for cause in causes:
        if isinstance(cause, socket.gaierror):
            return "its host name cannot be resolved"
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed ({getattr(cause, 'verify_message', '') or cause.reason or cause})"
        if isinstance(cause, TimeoutError) or type(cause).__name__.endswith("TimeoutError"):
            return "the time is over"
    for cause in causes:
        if isinstance(cause, (ConnectionRefusedError, *_BROKEN_OFF)):
            return "the connection was refused" if isinstance(cause, ConnectionRefusedError) else "the connection broke off"
    return next((cause.strerror or str(cause) for cause in causes if isinstance(cause, OSError)), "")[:200]
