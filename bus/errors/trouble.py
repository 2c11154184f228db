"""What is wrong with the hub, its disk, or what it depends on."""

from __future__ import annotations

from bus.errors.base import BusError


class Unavailable(BusError):
    code, status = "unavailable", 503
    hint = "Try again shortly, with the same idempotency key."
    retry_after_s = 1


class Busy(Unavailable):
    code = "busy"
    hint = "Nothing was stored. Try again shortly, with the same idempotency key."


class Unconfirmed(Unavailable):
    code = "unconfirmed"
    hint = (
        "It may or may not be stored. Try again with the same idempotency key: it cannot be"
        " doubled."
    )


class StorageFailed(Unavailable):
    code = "storage_failed"
    hint = (
        "Reads go on. An operator has to look at the disk and restart the hub, which verifies the"
        " log first."
    )
    retry_after_s = 30


class Rebuilding(Unavailable):
    code = "index_rebuilding"
    hint = "The index is being rebuilt from the log; nothing is lost. Try again shortly."
    retry_after_s = 2


class TooManyWaiting(Unavailable):
    code = "too_many_waiting"
    hint = "Poll without `wait`, or try again later; BUS_MAX_WAITING sets the cap."
    retry_after_s = 5


class HubStopping(Unavailable):
    code = "hub_stopping"
    hint = (
        "The call goes on. GET /api/exec/<id> tells how it ends; so does the same call again, with"
        " the same idempotency key."
    )


class ExecUnavailable(Unavailable):
    code = "exec_unavailable"
    hint = "An operator has to start claude-bus-exec (python -m bus exec-service). Nothing was run."
    retry_after_s = 5


class DriverUnavailable(Unavailable):
    """Raised only where nothing was done: the idempotency key of the call stays free."""

    code = "driver_unavailable"
    hint = "An operator has to see to LXD or ssh on the hub's machine. Nothing was run."
    retry_after_s = 5


class TargetFailed(BusError):
    code, status = "target_failed", 502
    hint = (
        "The message has what LXD or ssh said. It may or may not have been done; look before you"
        " repeat it."
    )


class NoRoom(BusError):
    code, status = "no_room", 507
    hint = (
        "The hub's disk is full: nothing was stored. It takes posts again by itself when there is"
        " room."
    )
    retry_after_s = 30


class Internal(BusError):
    code, status = "internal", 500
    hint = "This is a defect of the hub. Its log has the details under the reference given here."
