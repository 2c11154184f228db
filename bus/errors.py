"""The hub's errors: one family, one list of codes.

An error carries its facts as fields of `details` and makes its own text. It is raised where the
fact is known and answered in one place (`bus.web.http.errors`).

    BusError
    ├── BadRequest            400  the request is not well formed
    │   ├── BadJson           400  not strict JSON
    │   ├── UnknownField      400  a field or parameter that does not exist
    │   ├── BadField          400  a field with a wrong type or value
    │   └── MissingField      400  a required field is not there
    ├── Unauthorized          401
    ├── Forbidden             403
    │   ├── ForeignOrigin     403  a browser page of another site made this call
    │   ├── NotAllowed        403  this role may not call this route
    │   ├── NotYourName       403  the credential does not speak for this name
    │   ├── NotPermitted      403  the permissions do not allow this call
    │   └── ApprovalDenied    403  an admin said no to this very call
    ├── ApprovalRequired      202  nothing was done yet: an admin is asked
    ├── NotFound              404  no such message
    │   ├── UnknownTarget     404  neither a container nor in the table of machines
    │   ├── NoSuchCall        404
    │   ├── NoSuchApproval    404
    │   ├── NoSuchCredential  404
    │   ├── NoSuchFile        404  in the target
    │   └── NoSuchSnapshot    404
    ├── NoSuchRoute           404
    ├── MethodNotAllowed      405
    ├── TooSlow               408  the body did not come in time
    ├── Conflict              409
    │   ├── CredentialExists  409
    │   ├── ApprovalClosed    409  it was answered, used, or has expired
    │   ├── StillRunning      409  the first call under this idempotency key has not ended
    │   ├── TargetStopped     409  the container does not run
    │   ├── TargetBusy        409  the container is frozen, or something else is being done with it
    │   ├── FileChanged       409  the file is not the one that `if_sha256` names
    │   ├── PathMoved         409  the path leads elsewhere than when an admin said yes
    │   ├── QuestionLost      409  what would be approved is not there to be seen any more
    │   └── SnapshotExists    409
    ├── InviteSpent           410  the invite was used, or has expired
    ├── TooLarge              413
    ├── UnsupportedMedia      415
    ├── KeyReused             422  the idempotency key was used for other content
    ├── UnknownReply          422  in_reply_to names no message
    ├── Impossible            422  the target cannot do this as it is
    │   ├── NoSuchProgram     422  bash, or argv[0], is not there or cannot be run
    │   ├── NoSuchFolder      422  the working folder, or the folder of a file to be written
    │   ├── NoSuchUser        422  in the target
    │   ├── NotAFile          422  a folder, a device, a FIFO, a socket, or a link that leads elsewhere
    │   ├── FileRefused       422  the target's system does not let this file be read or written
    │   └── NotSupported      422  this kind of target has no such thing
    ├── TooMany               429  later
    │   ├── OverQuota         429  what one credential may hold, or cause in a day
    │   ├── TooManyRunning    429  calls at once for this target or caller
    │   ├── TooManyQuestions  429  questions of this caller wait for an admin
    │   └── TooManyAttempts   429  wrong invites or passwords from this address
    ├── Unavailable           503  try again
    │   ├── Busy              503  another process holds the log
    │   ├── Unconfirmed       503  written, but not known to be on stable storage
    │   ├── StorageFailed     503  a write or sync failed: read-only until restarted
    │   ├── Rebuilding        503  the index is being rebuilt
    │   ├── TooManyWaiting    503  the cap of long polls and streams is reached
    │   ├── HubStopping       503  it let this call go, which goes on by itself
    │   ├── ExecUnavailable   503  the service that runs commands does not answer
    │   └── DriverUnavailable 503  LXD or ssh cannot be reached
    ├── TooCostly             503  the question took longer than any may: narrow it
    ├── TargetFailed          502  LXD or ssh failed in a way that has no code of its own
    ├── NoRoom                507  the disk is full
    └── Internal              500  a defect of the hub

`docs/protocol.md` has a paragraph for every code; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class BusError(Exception):
    """What every error of the hub is.

    `code` is stable and for programs, the message says what happened to what, `hint` what to do
    now. `retry_after_s` is None where a retry of the same request cannot help.
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
        """Return the body of the answer: `{"ok":false,"error":…,"message":…,"hint":…,"docs":…}` and
        the details.
        """
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
    hint = (
        "Send one strict JSON object in UTF-8: no duplicate keys, no NaN, at most 16 levels deep."
    )


class UnknownField(BadRequest):
    code = "unknown_field"


class BadField(BadRequest):
    code = "bad_field"


class MissingField(BadRequest):
    code = "missing_field"


class Unauthorized(BusError):
    code, status = "unauthorized", 401
    hint = 'Use HTTP basic auth: curl -u "$BUS_USER:$BUS_PASS" …'


class Forbidden(BusError):
    code, status = "forbidden", 403
    hint = "This is not for your credential: use one that may, or ask an admin."


class ForeignOrigin(Forbidden):
    code = "foreign_origin"
    hint = "Calls that change something are not taken from web pages of another origin."


class NotAllowed(Forbidden):
    code = "not_allowed"
    hint = "GET /openapi.json says who may call each route; an admin can add a credential with the role that is needed."


class NotYourName(Forbidden):
    code = "not_your_name"
    hint = "Leave the name out, or give your own: the credential's, or one of its sessions (name/session)."


class NotPermitted(Forbidden):
    code = "not_permitted"
    hint = "An admin can grant it: bus permit SOURCE TARGET. GET /api/permissions/check says which rule decides."


class ApprovalDenied(Forbidden):
    code = "approval_denied"
    hint = "An admin has refused this very call. Ask for another, or ask them."


class ApprovalRequired(BusError):
    code, status = "approval_required", 202
    hint = "Nothing was done. GET /api/approvals/<id>?wait=60 says when it is answered; then make the same call again."


class NotFound(BusError):
    code, status = "not_found", 404
    hint = "Give the id or seq of a message that the hub has sent you."


class UnknownTarget(NotFound):
    code = "unknown_target"
    hint = "GET /api/machines lists the targets that there are."


class NoSuchCall(NotFound):
    code = "no_such_call"
    hint = "Give the id that the answer to the call has. Only its caller, its target and admins can ask for it."


class NoSuchApproval(NotFound):
    code = "no_such_approval"
    hint = "GET /api/approvals lists those that you may see."


class NoSuchCredential(NotFound):
    code = "no_such_credential"
    hint = "GET /api/credentials lists the names that there are."


class NoSuchFile(NotFound):
    code = "no_such_file"
    hint = "Paths are those inside the target, absolute."


class NoSuchSnapshot(NotFound):
    code = "no_such_snapshot"
    hint = "GET /api/container/snapshots?name=NAME lists the snapshots of a container."


class NoSuchRoute(BusError):
    code, status = "no_such_route", 404
    hint = "GET /openapi.json lists every route."


class MethodNotAllowed(BusError):
    code, status = "method_not_allowed", 405
    hint = "GET /openapi.json lists every route with its methods."


class TooSlow(BusError):
    code, status = "too_slow", 408
    hint = "Send the whole body at once: at most a minute between two parts of it, and three minutes in all."


class Conflict(BusError):
    code, status = "conflict", 409
    hint = "Look at how things are now, and ask for what is possible."


class CredentialExists(Conflict):
    code = "credential_exists"
    hint = "Rotate it for a new secret, or revoke it first."


class ApprovalClosed(Conflict):
    code = "approval_closed"
    hint = "Make the call again: that asks anew."


class StillRunning(Conflict):
    code = "still_running"
    hint = "It runs once. Ask again with the same key, or GET /api/exec/<id>."
    retry_after_s = 2


class TargetStopped(Conflict):
    code = "target_stopped"
    hint = "An admin can start it: POST /api/container/start."


class TargetBusy(Conflict):
    """Raised only where nothing was done: the idempotency key of the call stays free."""

    code = "target_busy"
    hint = (
        "Nothing was done: try again, with the same key. A snapshot freezes a container for a while. "
        "If it stays frozen, an admin can thaw it: POST /api/container/start."
    )
    retry_after_s = 5


class FileChanged(Conflict):
    code = "file_changed"
    hint = "Read it again, and write on top of what is there now. Nothing was written."


class PathMoved(Conflict):
    code = "path_moved"
    hint = "Make the call again: that asks anew, and shows the admin where it leads now. Nothing was read or written."


class QuestionLost(Conflict):
    code = "question_lost"
    hint = "Say no, or have the call made again: that asks anew."


class SnapshotExists(Conflict):
    code = "snapshot_exists"
    hint = "Give another name, or none."


class InviteSpent(BusError):
    code, status = "invite_spent", 410
    hint = "Ask for a new one: bus invite NAME. Each works once, and for a day."


class TooLarge(BusError):
    code, status = "too_large", 413
    hint = "Send less, or put the large part where the reader can fetch it and post a pointer."


class UnsupportedMedia(BusError):
    code, status = "unsupported_media", 415
    hint = "Send JSON, NDJSON, a form, or text with the fields as query parameters; uncompressed."


class KeyReused(BusError):
    code, status = "key_reused", 422
    hint = (
        "Use a new idempotency key for new content; repeat a key only to repeat the same request."
    )


class UnknownReply(BusError):
    code, status = "unknown_reply", 422
    hint = "in_reply_to is the id or seq of an existing message."


class Impossible(BusError):
    code, status = "impossible", 422
    hint = "The target cannot do this as it is: see the message."


class NoSuchProgram(Impossible):
    code = "no_such_program"
    hint = "`command` needs bash in the target; `argv` runs a program without one."


class NoSuchFolder(Impossible):
    code = "no_such_folder"
    hint = "Give a folder that exists in the target; file/write makes it with create_dirs."


class NoSuchUser(Impossible):
    code = "no_such_user"
    hint = "Give a user of the target by name or number, or leave it out."


class NotAFile(Impossible):
    code = "not_a_file"
    hint = "Only regular files are read and written; `type` says what this is."


class FileRefused(Impossible):
    code = "file_refused"
    hint = "The target's system refused it: its rights, a read-only file system, or a full disk. Nothing was written."


class NotSupported(Impossible):
    code = "not_supported"
    hint = "GET /api/machines says the driver of each target; only containers have states and snapshots."


class TooMany(BusError):
    code, status = "too_many", 429
    hint = "Wait, then try again."
    retry_after_s: int | None = 1


class OverQuota(TooMany):
    code = "over_quota"
    hint = "Let some of them end. BUS_MAX_REQUESTS and BUS_MAX_WAITING_EACH cap each credential; bus credential list shows both."

    def __init__(
        self, message: str, *, hint: str | None = None, retry_after_s: int = 5, **details: Any
    ) -> None:
        super().__init__(message, hint=hint, retry_after_s=retry_after_s, **details)
        self.retry_after_s = retry_after_s


class TooManyRunning(TooMany):
    code = "too_many_running"
    hint = "Try again when one of them has ended. BUS_EXEC_PER_TARGET and BUS_EXEC_PER_CALLER set the caps."


class TooManyQuestions(TooMany):
    code = "too_many_questions"
    hint = "Wait until an admin has answered some of them: bus approve --all-from NAME answers all that one caller has asked."
    retry_after_s = None  # a person has to act; trying again would only fill the log


class TooManyAttempts(TooMany):
    code = "too_many_attempts"
    hint = "Wait, then check the invite or the password before you try again."
    retry_after_s = 60


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
    hint = "The index is being rebuilt from the log; nothing is lost. Try again shortly."
    retry_after_s = 2


class TooManyWaiting(Unavailable):
    code = "too_many_waiting"
    hint = "Poll without `wait`, or try again later; BUS_MAX_WAITING sets the cap."
    retry_after_s = 5


class HubStopping(Unavailable):
    code = "hub_stopping"
    hint = "The call goes on. GET /api/exec/<id> tells how it ends; so does the same call again, with the same idempotency key."


class ExecUnavailable(Unavailable):
    code = "exec_unavailable"
    hint = "An operator has to start claude-bus-exec (python -m bus exec-service). Nothing was run."
    retry_after_s = 5


class DriverUnavailable(Unavailable):
    """Raised only where nothing was done: the idempotency key of the call stays free."""

    code = "driver_unavailable"
    hint = "An operator has to see to LXD or ssh on the hub's machine. Nothing was run."
    retry_after_s = 5


class TooCostly(BusError):
    code, status = "too_costly", 503
    hint = "Ask for less: a shorter stretch with since and before, rarer words, or fewer filters that match much each."


class TargetFailed(BusError):
    code, status = "target_failed", 502
    hint = "The message has what LXD or ssh said. It may or may not have been done; look before you repeat it."


class NoRoom(BusError):
    code, status = "no_room", 507
    hint = "The hub's disk is full: nothing was stored. It takes posts again by itself when there is room."
    retry_after_s = 30


class Internal(BusError):
    code, status = "internal", 500
    hint = "This is a defect of the hub. Its log has the details under the reference given here."


def no_target(name: str, is_member: bool) -> str:
    """Return that a name is no target, for those who may know it; a member's is the common mistake."""
    return (
        f"{name} is a member, but no target: add it to targets.toml."
        if is_member
        else f"There is no target {name}."
    )


def family(root: type[BusError] = BusError) -> Iterator[type[BusError]]:
    """Yield every error class below `root`, for the tests and the OpenAPI page that list all codes."""
    for child in root.__subclasses__():
        yield child
        yield from family(child)
