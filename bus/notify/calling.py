"""One HTTP request to a service: bounded in time and in what is read, and clear about whether the
service may have got it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import requests

from bus.notify.services.base import Refused, Retry
from bus.version import __version__

MOST_READ = 1 << 20
CONNECT_S, ANSWER_S = 10.0, 20.0
_LONGEST_WAIT_S = 3600.0
ABOUT_THE_NOTICE = (400, 413, 415, 422)


class Reply(NamedTuple):
    """What a service has answered. `retry_after_s`: for so long it wants to be left alone."""

    status: int
    body: bytes
    retry_after_s: float | None = None


def call(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    auth: tuple[str, str] | None = None,
    json: Any = None,
    data: Any = None,
    answer_s: float = ANSWER_S,
    clock: Callable[[], float] = time.time,
) -> Reply:
    """Send a request, and return the answer, whatever its status. Redirects are not followed.

    Raises Retry, whose text never has the address: there may be a secret in it. Its `is_unsure`
    says that the service may have got the request.
    """
    deadline = time.monotonic() + CONNECT_S + answer_s
    with requests.Session() as session:
        # Without this, a password for the host in ~/.netrc would go along.
        session.auth = auth if auth is not None else _no_auth
        head = {"User-Agent": f"claude-bus/{__version__}", "Connection": "close"}
        try:
            with session.request(
                method,
                url,
                headers={**head, **(headers or {})},
                json=json,
                data=data,
                timeout=(CONNECT_S, answer_s),
                allow_redirects=False,
                stream=True,
            ) as answer:
                body = _read(answer, deadline)
                wait_s = _retry_after_s(answer.headers.get("Retry-After", ""), clock)
                return Reply(answer.status_code, body, wait_s)
        except requests.exceptions.ConnectTimeout:
            raise Retry("it cannot be reached: no connection in time") from None
        except requests.exceptions.SSLError:
            raise Retry("it cannot be reached: its certificate does not hold") from None
        except requests.exceptions.ProxyError:
            raise Retry("it cannot be reached: the proxy does not let it be") from None
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidHeader) as error:
            raise Retry(f"the settings make no request: {type(error).__name__}") from None
        except requests.exceptions.Timeout:
            raise Retry("no answer in time", is_unsure=True) from None
        except requests.exceptions.RequestException as error:
            if _was_not_connected(error):
                raise Retry("it cannot be reached") from None
            raise Retry("the connection broke before the answer", is_unsure=True) from None


def check(reply: Reply) -> None:
    """Raise Retry or Refused for an answer that is not a yes, by its status alone."""
    status = reply.status
    if 200 <= status < 300:
        return
    if 300 <= status < 400:
        raise Retry(f"status {status}: redirects are not followed, so give the last address")
    if status in ABOUT_THE_NOTICE:
        raise Refused(f"status {status}")
    raise Retry(f"status {status}", after_s=reply.retry_after_s)


def _read(answer: requests.Response, deadline: float) -> bytes:
    """Return the beginning of a body. One that does not come in time is a lost answer."""
    parts, size = [], 0
    for part in answer.iter_content(16 * 1024):
        parts.append(part)
        size += len(part)
        if size >= MOST_READ:
            break
        if time.monotonic() > deadline:
            raise requests.exceptions.ReadTimeout
    return b"".join(parts)[:MOST_READ]


def _retry_after_s(text: str, clock: Callable[[], float]) -> float | None:
    if text.isascii() and text.isdigit() and len(text) < 10:
        return min(float(text), _LONGEST_WAIT_S)
    with suppress(ValueError, TypeError, OverflowError):
        wait_s = parsedate_to_datetime(text).timestamp() - clock()
        return min(max(0.0, wait_s), _LONGEST_WAIT_S)
    return None


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _was_not_connected(error: BaseException) -> bool:
    """Return whether no connection was made: then the service has got nothing."""
    names = ("NewConnectionError", "NameResolutionError", "ConnectTimeoutError")
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return type(reason).__name__ in names
