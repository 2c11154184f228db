"""Every error becomes one JSON answer here, whoever raised it."""

from __future__ import annotations

import errno
import logging
import secrets
import sqlite3
from collections.abc import Mapping
from typing import Any

from flask import Flask, request
from werkzeug.exceptions import HTTPException

from bus.errors import (
    BadRequest,
    BusError,
    Busy,
    Internal,
    MethodNotAllowed,
    NoRoom,
    NoSuchRoute,
    TooLarge,
    Unavailable,
)
from bus.model.harmless import harmless
from bus.system import transient
from bus.web.http.replies import Reply, json_reply

logger = logging.getLogger("bus.web")


def init_app(app: Flask) -> None:
    """Answer all errors of an app in the hub's form."""
    app.register_error_handler(BusError, error_reply)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _crash)


def error_reply(error: BusError) -> Reply:
    """The answer to an error."""
    fields = error.as_dict()
    # They repeat what a request said, and are read in terminals; what a program compares is in
    # other fields.
    fields |= {name: harmless(fields[name]) for name in ("message", "hint")}
    reply = json_reply(fields, error.status)
    if error.status == 401:
        reply.headers["WWW-Authenticate"] = 'Basic realm="claude-bus", charset="UTF-8"'
    if error.retry_after_s is not None:
        reply.headers["Retry-After"] = str(error.retry_after_s)
    return reply


def _http_error(error: HTTPException) -> Reply:
    if error.code == 404:
        return error_reply(NoSuchRoute(f"There is no route {request.path[:200]!r}."))
    if error.code == 405:
        allowed = sorted(getattr(error, "valid_methods", None) or ())
        reply = error_reply(
            MethodNotAllowed(
                f"{request.method} is not for {request.path}; {', '.join(allowed)} is.",
                allowed=allowed,
            )
        )
        reply.headers["Allow"] = ", ".join(allowed)
        return reply
    if error.code == 413:
        return error_reply(TooLarge("The request is too large."))
    if error.code is not None and 300 <= error.code < 400:
        return error.get_response()  # type: ignore[return-value]
    return error_reply(BadRequest(error.description or "The request cannot be read."))


def _crash(error: Exception) -> Reply:
    return crash_reply(error, request.environ)


def crash_reply(error: Exception, environ: Mapping[str, Any]) -> Reply:
    """The answer to an error that nobody foresaw: a reference here, the rest in the hub's log."""
    if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
        return error_reply(Busy("Another process holds the index."))
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return error_reply(NoRoom("The hub's disk is full."))
    if transient.is_passing(error):
        logger.warning(
            "short of something at %s %r: %s",
            environ["REQUEST_METHOD"],
            environ["PATH_INFO"],
            transient.why(error),
        )
        return error_reply(
            Unavailable(
                f"The hub's process is short of something for the moment: {transient.why(error)}."
            )
        )
    reference = secrets.token_hex(4)
    logger.error(
        "crash %s: %s %r",
        reference,
        environ["REQUEST_METHOD"],
        environ["PATH_INFO"],
        exc_info=error,
    )
    return error_reply(
        Internal(f"The hub failed at this request (reference {reference}).", reference=reference)
    )
