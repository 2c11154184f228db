"""How the web workers talk to the service that runs commands: lines of JSON over a unix socket.

Each request has a connection of its own. The client sends one object; the service answers with
objects, a line each, and empty lines as signs of life, and closes. An object
`{"error":{…},"status":…}` is an error of `bus.errors`, which the client raises. The request carries
the caller's own Authorization header: the service checks it again and trusts nothing else. A worker
that stops sends LEAVE, because a hang-up would end a stream; the service then answers at once with
the id under which the call goes on.
"""

from __future__ import annotations

from typing import Any

import orjson

from bus.errors import BusError, Internal, TargetFailed, family

MAX_LINE = 48 * 1024 * 1024
LEAVE = b"leave\n"
ALIVE_EVERY_S = 5.0

Line = dict[str, Any]


def error_line(error: BusError) -> Line:
    """An error as an answer."""
    return {"error": error.as_dict(), "status": error.status}


def raised(fields: dict[str, Any]) -> BusError:
    """The error that these fields (`BusError.as_dict`) describe."""
    details = {
        name: value
        for name, value in fields.items()
        if name not in ("ok", "error", "message", "hint", "docs")
    }
    for kind in family():
        if kind.code == fields["error"]:
            return kind(fields["message"], hint=fields["hint"], **details)
    return Internal(f"The service that runs commands answered {fields['error']!r}.")


def hint_of(code: str) -> str:
    """What the error with this code says to do."""
    return next((kind.hint for kind in family() if kind.code == code), "")


def cut_off(why: str) -> TargetFailed:
    return TargetFailed(
        f"The service that runs commands broke off {why}.",
        hint="It may or may not have run; with an idempotency key, the same call again tells,"
        " and never runs twice.",
    )


def encoded(line: Line | None) -> bytes:
    """An answer, or a sign of life, as it goes over the line, and on to the caller of a stream."""
    return b"\n" if line is None else orjson.dumps(line) + b"\n"
