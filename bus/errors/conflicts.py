"""What stands against a request that is well formed: the state of what it is about."""

from __future__ import annotations

from bus.errors.base import BusError


class Conflict(BusError):
    code, status = "conflict", 409
    hint = "Look at how things are now, and ask for what is possible."


class CredentialExists(Conflict):
    code = "credential_exists"
    hint = "Rotate it for a new secret, or revoke it first."


class NameHeld(Conflict):
    code = "name_held"
    hint = (
        "Take another session name, or none: the hub then picks one. If the holder's process is"
        " gone, give its lease in `takeover`."
    )


class LeaseLost(Conflict):
    code = "lease_lost"
    hint = "Register again: POST /agents, without `lease`."


class NoCallsign(Conflict):
    code = "no_callsign"
    hint = "Give a session name, or let a session end. BUS_CALLSIGNS sets the list."


class FileLeaseHeld(Conflict):
    code = "lease_held"
    hint = (
        "Work on something else, wait until then, or ask the holder to release it. Shared leases"
        " (exclusive: false) go together with each other."
    )


class ApprovalClosed(Conflict):
    code = "approval_closed"
    hint = "Make the call again: that asks a new question."


class ActionClaimed(Conflict):
    code = "action_claimed"
    hint = "`holder` has it. Ask it, or take another one: GET /actions?unassigned=1."


class ActionClosed(Conflict):
    code = "action_closed"
    hint = "There is nothing left to do. Who asked it can open it again: PATCH, status open."


class AskAnswered(Conflict):
    code = "ask_answered"
    hint = "`answers` has what was said. There is nothing left to answer."


class AskClosed(Conflict):
    code = "ask_closed"
    hint = "`state` says why. What is still to be said goes into a reply."


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
        "Nothing was done: try again, with the same key. A snapshot freezes a container for a"
        " while. If it stays frozen, an admin can thaw it: POST /api/container/start."
    )
    retry_after_s = 5


class FileChanged(Conflict):
    code = "file_changed"
    hint = "Read it again, and write on top of what is there now. Nothing was written."


class PathMoved(Conflict):
    code = "path_moved"
    hint = (
        "Make the call again: that asks a new question, which shows the admin where it leads now."
        " Nothing was read or written."
    )


class QuestionLost(Conflict):
    code = "question_lost"
    hint = "Say no, or have the call made again, which asks a new question."


class NoticeNotDead(Conflict):
    code = "notice_not_dead"
    hint = "Only a dead letter is sent again. What is queued is sent by itself."


class SnapshotExists(Conflict):
    code = "snapshot_exists"
    hint = "Give another name, or none."


class UploadBusy(Conflict):
    code = "upload_busy"
    hint = "A request of before still has it. Try again shortly; HEAD says how far it is."
    retry_after_s = 1


class WrongOffset(Conflict):
    code = "wrong_offset"
    hint = "Go on from `offset`."


class UploadIncomplete(Conflict):
    code = "upload_incomplete"
    hint = "PATCH it with the rest, from `offset`; then post again."


class FileExpired(BusError):
    code, status = "file_expired", 410
    hint = "Ask its sender to send it again."


class InviteSpent(BusError):
    code, status = "invite_spent", 410
    hint = "Ask for a new one: bus invite NAME. Each works once, and for a day."


class Impossible(BusError):
    code, status = "impossible", 422
    hint = "The target cannot do this as it is: see the message."


class ImpossibleAsk(BusError):
    code, status = "impossible_ask", 422
    hint = "The fields do not go together: see the message."


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
    hint = (
        "The target's system refused it: its rights, a read-only file system, or a full disk."
        " Nothing was written."
    )


class NotSupported(Impossible):
    code = "not_supported"
    hint = (
        "GET /api/machines says the driver of each target; only containers have states and"
        " snapshots."
    )
