"""The exit codes of `bus`. Scripts rely on them: a code keeps its meaning for ever."""

from __future__ import annotations

from busclient._errors import (
    ApprovalRequired,
    BusError,
    Forbidden,
    HubFailed,
    LocalTrouble,
    NotFound,
    OutcomeUnknown,
    Refused,
    SettingsError,
    Unauthorized,
    Unavailable,
    Unreachable,
)

(
    OK,
    DEFECT,
    USAGE,
    QUEUED,
    AWAY,
    CREDENTIAL,
    NOT_FOUND,
    REFUSED,
    LOCAL,
    SETTINGS,
    UNWELL,
    UNHANDLED,
    ASKED,
    UNKNOWN,
) = range(14)
TIME_OVER, NOT_RUN, INTERRUPTED = 124, 125, 130

MEANINGS = {
    OK: "done",
    DEFECT: "a defect of this command or of the hub",
    USAGE: "the command line is wrong",
    QUEUED: (
        "post: the hub is away or has no room; the message is safe in the outbox and goes out later"
    ),
    AWAY: "the hub could not be reached or cannot now: nothing was read or changed",
    CREDENTIAL: "the user name or password is wrong, or may not do this",
    NOT_FOUND: "no such message, machine, file or call",
    REFUSED: "the hub refuses the request as it is",
    LOCAL: "this machine is in the way (disk, ssh, git, packages, `claude`)",
    SETTINGS: "settings are missing or wrong",
    UNWELL: "doctor: a step failed; webhook test: the receiver did not take it",
    UNHANDLED: (
        "drain: a message could not be handled; it stays unread. import: a file was not taken"
    ),
    ASKED: "an admin is asked first: nothing was done yet",
    UNKNOWN: "it was begun, and may or may not have been done",
    TIME_OVER: (
        "wait: no message came in time; exec, call: the command's time was over; call --wait: it"
        " still runs"
    ),
    NOT_RUN: (
        "exec, call: not run, ended, or nobody knows how it ended (every other code of theirs is"
        " the command's own)"
    ),
    INTERRUPTED: "interrupted",
}

_OF_ERRORS: tuple[tuple[type[BusError], int], ...] = (
    (SettingsError, SETTINGS),
    (LocalTrouble, LOCAL),
    (Unreachable, AWAY),
    (Unavailable, AWAY),
    (Unauthorized, CREDENTIAL),
    (Forbidden, CREDENTIAL),
    (NotFound, NOT_FOUND),
    (Refused, REFUSED),
    (ApprovalRequired, ASKED),
    (OutcomeUnknown, UNKNOWN),
    (HubFailed, DEFECT),
)


def of(error: BusError) -> int:
    """Return the exit code for an error."""
    return next((code for kind, code in _OF_ERRORS if isinstance(error, kind)), DEFECT)
