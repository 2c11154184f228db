"""What a person needs to know of a chain of library errors: why no hub answered."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from collections.abc import Iterator, Sequence
from typing import Any

from busclient._errors import BadAnswer, BusError, NotTrusted, NotYourName, Unreachable
from busclient._settings import Settings

_BROKEN_OFF = (
    http.client.RemoteDisconnected,
    http.client.IncompleteRead,
    ConnectionResetError,
    BrokenPipeError,
)

# What OpenSSH says when it has opened no way to the hub: each is a whole line of its own, never one
# of a banner.
_NO_WAY_THERE = re.compile(
    r"channel \d+: open failed: |(?:\S+: )?stdio forwarding (?:request )?failed", re.IGNORECASE
)
_NOT_LOGGED_IN = re.compile(
    r"Host key verification failed\.|\S+: Permission denied \(|ssh: (?:Could not resolve"
    r" hostname|connect to host) "
)
_NO_TLS = ("HTTP_REQUEST", "WRONG_VERSION_NUMBER")


class SshFailed(OSError):
    """What ssh said before it ended.

    `is_unsent` when that was before anything could go through it.
    """

    def __init__(self, host: str, lines: Sequence[str]) -> None:
        super().__init__(f"ssh to {host} failed: {' '.join(lines).rstrip('.')}")
        self.host = host
        self.has_no_way = any(_NO_WAY_THERE.match(line) for line in lines)
        self.is_unsent = self.has_no_way or any(_NOT_LOGGED_IN.match(line) for line in lines)

    def hint(self, url: str) -> str:
        """Return what to do now."""
        if self.has_no_way:
            return (
                f"ssh reaches {self.host}. Does the hub run there, at {url}, and does its sshd"
                " allow forwarding?"
            )
        return f"`ssh {self.host}` must work without a question: try it by hand once."


def unreachable(settings: Settings, error: Exception) -> Unreachable:
    """Return the error of ours for a transport's Broken, or whatever it was caused by."""
    where = (
        f"{settings.url} (through ssh {settings.ssh_host})" if settings.ssh_host else settings.url
    )
    causes = [cause for cause in chain(error) if not type(cause).__module__.startswith("requests")]
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return NotTrusted(
                f"The certificate of the hub at {where} is not trusted:"
                f" {cause.verify_message or cause}."
            )
    is_other_protocol = any(isinstance(cause, http.client.HTTPException) for cause in causes)
    if is_other_protocol and not any(
        isinstance(cause, (OSError, *_BROKEN_OFF)) for cause in causes
    ):
        return BadAnswer(f"What answers at {where} does not speak HTTP.")
    hint = next(
        (cause.hint(settings.url) for cause in causes if isinstance(cause, SshFailed)), None
    )
    return Unreachable(
        f"The hub at {where} does not answer: {in_words(causes) or str(error)[:200]}.", hint=hint
    )


def hinted(settings: Settings, error: BusError) -> BusError:
    """Return an error of the hub with what these settings say of its cause, if they do."""
    if isinstance(error, NotYourName):
        error.hint = settings.hint_of_other_user or error.hint
    return error


def is_refused(error: BaseException) -> bool:
    """Return whether nothing listens at the hub's address, so that a hub may be started there."""
    return any(isinstance(cause, ConnectionRefusedError) for cause in chain(error))


def is_unsent(error: BaseException) -> bool:
    """Return whether a call failed before anything of it was sent: no address, no connection, no
    trust.

    False where that is open.
    """
    return any(getattr(cause, "is_unsent", False) for cause in chain(error))


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error with all its causes, the outermost first; each once."""
    seen: list[BaseException] = []
    todo: list[Any] = [error]
    while todo:
        one = todo.pop(0)
        if isinstance(one, BaseException) and one not in seen:
            seen.append(one)
            yield one
            todo += [*one.args, getattr(one, "reason", None), one.__cause__]
            todo += [] if one.__suppress_context__ else [one.__context__]


def in_words(causes: Sequence[BaseException]) -> str:
    """Return the most telling of the causes, in words; empty when there is none."""
    for cause in causes:
        if isinstance(cause, socket.gaierror):
            return "its host name cannot be resolved"
        if isinstance(cause, ssl.SSLError) and cause.reason in _NO_TLS:
            return "what answers there does not speak TLS; is it http, not https?"
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed ({getattr(cause, 'verify_message', '') or cause.reason or cause})"
        if isinstance(cause, TimeoutError) or type(cause).__name__.endswith("TimeoutError"):
            return "the time is over"
    for cause in causes:
        if isinstance(cause, (ConnectionRefusedError, *_BROKEN_OFF)):
            return (
                "the connection was refused"
                if isinstance(cause, ConnectionRefusedError)
                else "the connection broke off"
            )
    return next(
        (cause.strerror or str(cause) for cause in causes if isinstance(cause, OSError)), ""
    )[:200]
