"""One POST over plain HTTP, for a program that somebody waits for: it does without `http.client`
and `ssl`, which take 20 ms to load.

It asks in HTTP/1.0: then the answer ends with the connection and is not chunked (RFC 9112, 6.3).
"""

from __future__ import annotations

import binascii
import json
import socket
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from busclient._errors import BadAnswer, Unreachable
from busclient._http.proxies import proxy_of
from busclient._settings import Settings
from busclient._version import __version__

_LONGEST = 1 << 20  # bytes of an answer
_PIECE = 65_536


def suits(settings: Settings) -> bool:
    """Return whether the hub of these settings is reached straight, without TLS."""
    is_plain = settings.url.startswith("http://") and settings.url.isascii()
    return is_plain and settings.ssh_host is None and proxy_of(settings) is None


def post(
    settings: Settings,
    path: str,
    params: Mapping[str, Any],
    fields: Mapping[str, Any],
    within_s: float,
) -> dict[str, Any]:
    """Return the JSON object that answers a POST; raises BusError."""
    ends = time.monotonic() + within_s
    hub = urlsplit(settings.url)
    body = json.dumps(fields).encode()
    lines = (
        f"POST {hub.path}{path}?{urlencode(params)} HTTP/1.0",
        f"Host: {hub.netloc.rpartition('@')[2]}",
        f"User-Agent: claude-bus/{__version__}",
        "Accept: application/json",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        f"Authorization: {basic(settings)}",
    )
    request = "\r\n".join((*lines, "", "")).encode("ascii") + body
    try:
        # As bytes: a name that is text would load the codec of international names, 5 ms.
        host: Any = (hub.hostname or "").encode()
        with socket.create_connection((host, hub.port or 80), _left(ends)) as connection:
            connection.sendall(request)
            answer = _read(connection, ends)
    except (OSError, ValueError) as error:
        raise Unreachable(f"{settings.url} does not answer: {error}") from error
    return _object(settings, answer)


def basic(settings: Settings) -> str:
    """Return the credential as a header, in UTF-8."""
    credential = f"{settings.user}:{settings.password}".encode("utf-8", "surrogateescape")
    return "Basic " + binascii.b2a_base64(credential, newline=False).decode("ascii")


def _left(ends: float) -> float:
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


def _read(connection: socket.socket, ends: float) -> bytes:
    """Return all that comes until the hub closes the connection."""
    answer = bytearray()
    while len(answer) <= _LONGEST:
        connection.settimeout(_left(ends))
        piece = connection.recv(_PIECE)
        if not piece:
            return bytes(answer)
        answer += piece
    raise ValueError("the answer is too long")


def _object(settings: Settings, answer: bytes) -> dict[str, Any]:
    head, _, content = answer.partition(b"\r\n\r\n")
    version, _, rest = head.partition(b"\r\n")[0].partition(b" ")
    status = int(rest[:3]) if version.startswith(b"HTTP/1.") and rest[:3].isdigit() else 0
    try:
        value = json.loads(content)
    except ValueError:  # half an answer, too
        value = None
    if status == 200 and isinstance(value, dict):
        return value
    if status >= 400:
        from busclient._codes import error_from  # noqa: PLC0415

        raise error_from(status, value)
    raise BadAnswer(
        f"{settings.url} answered something that is not the hub's JSON.", status=status or None
    )
