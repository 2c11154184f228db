"""The hub's errors: one family, one list of codes.

An error carries its facts as fields of `details` and makes its own text. It is raised where the fact is
known and answered in one place (`bus.web.errors`).

    BusError
    ├── BadRequest            400  the request is not well formed
    │   ├── BadJson           400  not strict JSON
    │   ├── UnknownField      400  a field or parameter that does not exist
    │   ├── BadField          400  a field with a wrong type or value
    │   └── MissingField      400  a required field is not there
    ├── Unauthorized          401
    ├── ForeignOrigin         403  a browser page of another site made this call
    ├── NotFound              404  no such message
    ├── NoSuchRoute           404
    ├── MethodNotAllowed      405
    ├── TooLarge              413
    ├── UnsupportedMedia      415
    ├── KeyReused             422  the idempotency key was used for other content
    ├── UnknownReply          422  in_reply_to names no message
    ├── Unavailable           503  try again
    │   ├── Busy              503  another process holds the log
    │   ├── Unconfirmed       503  written, but not known to be on stable storage
    │   ├── StorageFailed     503  a write or sync failed: read-only until restarted
    │   ├── Rebuilding        503  the index is being made anew
    │   └── TooManyWaiting    503  the cap of long polls and streams is reached
    ├── NoRoom                507  the disk is full
    └── Internal              500  a defect of the hub

`docs/protocol.md` has a paragraph for every code; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class BusError(Exception):
    """What every error of the hub is.

    `code` is stable and for programs, the message says what happened to what, `hint` what to do now.
    `retry_after_s` is None where a retry of the same request cannot help.
    """

    code = "error"
    status = 500
    hint = ""
    retry_after_s: int | None = None

    def __init__(self, message: str, *, hint: str | None = None, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        if hint is not None:
            self.hint = hint

    def as_dict(self) -> dict[str, Any]:
        """The body of the answer: `{"ok":false,"error":…,"message":…,"hint":…,"docs":…}` and the details."""
        return {
            "ok": False,
            "error": self.code,
            "message": self.message,
            "hint": self.hint,
            "docs": f"/docs#{self.code}",
            **self.details,
        }


class BadRequest(BusError):
    code, status = "bad_request", 400
    hint = "See /docs for the form of each request."


class BadJson(BadRequest):
    code = "bad_json"
    hint = "Send one strict JSON object in UTF-8: no duplicate keys, no NaN, at most 16 levels deep."


class UnknownField(BadRequest):
    code = "unknown_field"


class BadField(BadRequest):
    code = "bad_field"


class MissingField(BadRequest):
    code = "missing_field"


class Unauthorized(BusError):
    code, status = "unauthorized", 401
    hint = 'Use HTTP basic auth: curl -u "$BUS_USER:$BUS_PASS" …'


class ForeignOrigin(BusError):
    code, status = "foreign_origin", 403
    hint = "Calls that change something are not taken from web pages of another origin."


class NotFound(BusError):
    code, status = "not_found", 404
    hint = "Give the id or seq of a message that the hub has sent you."


class NoSuchRoute(BusError):
    code, status = "no_such_route", 404
    hint = "GET /openapi.json lists every route."


class MethodNotAllowed(BusError):
    code, status = "method_not_allowed", 405
    hint = "GET /openapi.json lists every route with its methods."


class TooLarge(BusError):
    code, status = "too_large", 413
    hint = "Send less, or put the large part where the reader can fetch it and post a pointer."


class UnsupportedMedia(BusError):
    code, status = "unsupported_media", 415
    hint = "Send JSON, NDJSON, a form, or text with the fields as query parameters; uncompressed."


class KeyReused(BusError):
    code, status = "key_reused", 422
    hint = "Use a new idempotency key for new content; repeat a key only to repeat the same request."


class UnknownReply(BusError):
    code, status = "unknown_reply", 422
    hint = "in_reply_to is the id or seq of an existing message."


class Unavailable(BusError):
    code, status = "unavailable", 503
    hint = "Try again shortly, with the same idempotency key."
    retry_after_s = 1


class Busy(Unavailable):
    code = "busy"
    hint = "Nothing was stored. Try again shortly, with the same idempotency key."


class Unconfirmed(Unavailable):
    code = "unconfirmed"
    hint = "It may or may not be stored. Try again with the same idempotency key: it cannot be doubled."


class StorageFailed(Unavailable):
    code = "storage_failed"
    hint = "Reads go on. An operator has to look at the disk and restart the hub, which verifies the log first."
    retry_after_s = 30


class Rebuilding(Unavailable):
    code = "index_rebuilding"
    hint = "The index is being made anew from the log; nothing is lost. Try again shortly."
    retry_after_s = 2


class TooManyWaiting(Unavailable):
    code = "too_many_waiting"
    hint = "Poll without `wait`, or try again later; BUS_MAX_WAITING sets the cap."
    retry_after_s = 5


class NoRoom(BusError):
    code, status = "no_room", 507
    hint = "The hub's disk is full: nothing was stored. It takes posts again by itself when there is room."
    retry_after_s = 30


class Internal(BusError):
    code, status = "internal", 500
    hint = "This is a defect of the hub. Its log has the details under the reference given here."


def family(root: type[BusError] = BusError) -> Iterator[type[BusError]]:
    """Every error class below `root`, for the tests and the OpenAPI page that list all codes."""
    for child in root.__subclasses__():
        yield child
        yield from family(child)
