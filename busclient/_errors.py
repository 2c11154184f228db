"""The client's errors: one family, made from the hub's codes.

    BusError
    ├── SettingsError         no settings, or unusable ones: nothing was sent
    ├── LocalTrouble          this machine cannot: no ssh, no hub packages, a disk that is full
    │   └── OutboxFailed      the hub is away, and the outbox failed too: NOT sent
    ├── Unreachable           no hub answered: refused, no such host, time over
    │   ├── BadAnswer         something answered that is not the hub
    │   └── NotTrusted        its certificate is not one that this machine trusts: nothing was sent
    ├── Unavailable           the hub answered that it cannot now: try again later
    │   ├── TooManyWaiting    its cap of long polls and streams is reached
    │   ├── TooMany           too many commands run at once, or too many invites were tried
    │   ├── TargetBusy        the container is frozen, or something else is being done with it
    │   ├── StillRunning      the first call under this idempotency key has not ended
    │   └── NoRoom            its disk is full
    ├── OutcomeUnknown        it was begun and may have been done: look before you repeat it
    ├── ApprovalRequired      nothing was done yet: an admin is asked first (`id`, `expires`)
    ├── Unauthorized          wrong user name or password
    ├── Forbidden             the credential may not do this
    │   ├── NotPermitted      no permission allows this call
    │   ├── ApprovalDenied    an admin said no to this very call
    │   └── NotYourName       the credential does not speak for this name
    ├── NotFound              no such message, file, call, …
    │   └── UnknownTarget     no such container or machine
    ├── Refused               the request is wrong; the same again will be refused again
    │   ├── TooLarge
    │   ├── KeyReused         the idempotency key belongs to other content
    │   ├── InviteSpent       the invite was used, or has expired
    │   ├── Conflict          what is there now stands against it
    │   │   ├── TargetStopped     the container does not run
    │   │   └── FileChanged       the file is not the one that `if_sha256` names
    │   └── Impossible        the target cannot do it as it is: no such program, folder, user, …
    └── HubFailed             a defect of the hub

Calls raise `Unreachable` and `Unavailable` after their own retries. `Bus.post` raises neither while
it has an outbox: it keeps the message there. `CODES` is the one list of the hub's codes; a test
compares it with the hub's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any


class BusError(Exception):
    """What every error of the client is.

    `code` and `status` are the hub's (None when no hub spoke), `hint` says what to do now,
    `details` are the other facts of the hub's answer, `retry_after_s` is how long the hub asks to
    wait.
    """

    hint = ""

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        status: int | None = None,
        hint: str | None = None,
        retry_after_s: float | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code, self.status, self.retry_after_s = code, status, retry_after_s
        self.details = dict(details or {})
        if hint is not None:
            self.hint = hint

    def as_dict(self) -> dict[str, Any]:
        """For `--json`: `{"ok":false,"error":…,"message":…,"hint":…}` and the details."""
        kind = self.code or _code_of(type(self))
        return {
            **self.details,
            "ok": False,
            "error": kind,
            "message": self.message,
            "hint": self.hint,
        }


class SettingsError(BusError):
    hint = "Join a hub with `bus join URL`, or start one on this machine with `bus up`."


class LocalTrouble(BusError):
    pass


class OutboxFailed(LocalTrouble):
    hint = "The message is NOT sent and NOT kept. Make room or mend the folder, then post it again."


class Unreachable(BusError):
    hint = "Is the hub up, and is BUS_URL right? `bus doctor` looks at each step of the way."


class BadAnswer(Unreachable):
    hint = "BUS_URL leads to something that is not the hub, or a proxy between is in trouble."


class NotTrusted(Unreachable):
    hint = (
        "Nothing was sent. A self-signed certificate is trusted with CURL_CA_BUNDLE=FILE in the"
        " environment (docs/deploy.md); one that is over, or for another name, the hub's operator"
        " replaces."
    )


class Unavailable(BusError):
    hint = "Try again shortly."


class TooManyWaiting(Unavailable):
    pass


class TooMany(Unavailable):
    pass


class TargetBusy(Unavailable):
    pass


class StillRunning(Unavailable):
    hint = "It runs once, whatever you do. Ask again with the same key, or for the call by its id."


class NoRoom(Unavailable):
    pass


class OutcomeUnknown(BusError):
    hint = "It may or may not have been done: look before you repeat it."


class ApprovalRequired(BusError):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        answer = (
            f"Nothing was done. An admin answers with `bus approve {self.id}`; then make the same"
            " call again."
        )
        self.hint = self.hint or answer

    @property
    def id(self) -> str:
        """The id of the question; `Net.approval` waits for its answer."""
        return str(self.details.get("id", ""))

    @property
    def expires(self) -> str | None:
        """Until when it can be answered, if the hub says so."""
        found = self.details.get("expires")
        return found if isinstance(found, str) else None


class Unauthorized(BusError):
    hint = "Check BUS_USER and BUS_PASS; `bus doctor` says where they were found."


class Forbidden(BusError):
    pass


class NotPermitted(Forbidden):
    pass


class ApprovalDenied(Forbidden):
    pass


class NotYourName(Forbidden):
    hint = (
        "BUS_NAME must be BUS_USER, or a session of it (BUS_USER/…); the credential speaks for no"
        " other name."
    )


class NotFound(BusError):
    pass


class UnknownTarget(NotFound):
    pass


class Refused(BusError):
    pass


class TooLarge(Refused):
    pass


class KeyReused(Refused):
    pass


class InviteSpent(Refused):
    pass


class Conflict(Refused):
    pass


class TargetStopped(Conflict):
    pass


class FileChanged(Conflict):
    pass


class Impossible(Refused):
    pass


class HubFailed(BusError):
    hint = "This is a defect of the hub; its log says more."


CODES: dict[str, type[BusError]] = {
    "approval_closed": Conflict,
    "approval_denied": ApprovalDenied,
    "approval_required": ApprovalRequired,
    "bad_field": Refused,
    "bad_json": Refused,
    "bad_request": Refused,
    "busy": Unavailable,
    "conflict": Conflict,
    "credential_exists": Conflict,
    "driver_unavailable": Unavailable,
    "exec_unavailable": Unavailable,
    "file_changed": FileChanged,
    "file_refused": Impossible,
    "forbidden": Forbidden,
    "foreign_origin": Forbidden,
    "impossible": Impossible,
    "index_rebuilding": Unavailable,
    "internal": HubFailed,
    "invite_spent": InviteSpent,
    "key_reused": KeyReused,
    "method_not_allowed": Refused,
    "missing_field": Refused,
    "hub_stopping": Unavailable,
    "no_room": NoRoom,
    "no_such_approval": NotFound,
    "no_such_call": NotFound,
    "no_such_credential": NotFound,
    "no_such_file": NotFound,
    "no_such_folder": Impossible,
    "no_such_program": Impossible,
    "no_such_route": NotFound,
    "no_such_snapshot": NotFound,
    "no_such_user": Impossible,
    "not_a_file": Impossible,
    "not_allowed": Forbidden,
    "not_found": NotFound,
    "not_permitted": NotPermitted,
    "not_supported": Impossible,
    "not_your_name": NotYourName,
    "over_quota": TooMany,
    "path_moved": Conflict,
    "question_lost": Conflict,
    "snapshot_exists": Conflict,
    "still_running": StillRunning,
    "storage_failed": Unavailable,
    "target_busy": TargetBusy,
    "target_failed": OutcomeUnknown,
    "target_stopped": TargetStopped,
    "too_costly": Refused,
    "too_large": TooLarge,
    "too_many": TooMany,
    "too_many_attempts": TooMany,
    "too_many_questions": TooMany,
    "too_many_running": TooMany,
    "too_many_waiting": TooManyWaiting,
    "too_slow": Unavailable,
    "unauthorized": Unauthorized,
    "unavailable": Unavailable,
    "unconfirmed": Unavailable,
    "unknown_field": Refused,
    "unknown_reply": Refused,
    "unknown_target": UnknownTarget,
    "unsupported_media": Refused,
}

# For answers of a proxy, and for codes that are newer than this client.
_STATUSES: dict[int, type[BusError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    429: Unavailable,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
    507: NoRoom,
}

_OWN_HINTS = (Unauthorized, NotYourName, ApprovalRequired, StillRunning)  # the hub's are for curl

# In terms of this client, where the hub's are for curl.
_HINTS = {
    "no_such_folder": "Give a folder that exists in the target; `bus put --create-dirs` makes those"
    " above a file.",
    "not_permitted": "An admin allows it with `bus permit SOURCE TARGET`; `bus permissions --check"
    " SOURCE TARGET ACTION` says which rule decides.",
    "target_busy": "Nothing was done: try again. A snapshot freezes a container for a while. If it"
    " stays frozen, an admin thaws it with `bus container start NAME`.",
    "target_stopped": "An admin starts it with `bus container start NAME`.",
}
# Only where the hub's hint names a route: what it says of a single case stays.
_ROUTE = re.compile(
    r"\b(?:GET|POST|PUT|DELETE) /|(?<![\w/])/(?:api|docs|openapi|search)\b|\bcurl\b"
)
_OTHER_VERSION = "The hub and this client are of different versions: bring both to the same one."
_FOR_ROUTES = {
    "hub_stopping": "The call goes on. `bus call ID` tells how it ends; so does the same call"
    " again, with the same key.",
    "method_not_allowed": _OTHER_VERSION,
    "no_such_approval": "`bus approve` lists those that you may see.",
    "no_such_credential": "`bus credential list` shows the names.",
    "no_such_route": _OTHER_VERSION,
    "no_such_snapshot": "`bus container snapshots NAME` lists the snapshots of a container.",
    "not_allowed": "This needs a credential of another role: ask an admin.",
    "not_supported": "`bus machines` says the driver of each target; only containers have states"
    " and snapshots.",
    "unknown_target": "`bus machines` lists the targets.",
}
_SHARED_HINT = (
    "The shared user may not. Ask an admin for `bus invite NAME`, then `bus join URL --invite"
    " CODE`; the first admin's credential is in data/admin.env of the hub, of one that `bus up`"
    " started in ~/.local/share/claude-bus/hub/admin.env."
)


def error_from(status: int, payload: Any, retry_after_s: float | None = None) -> BusError:
    """Return the error that an answer stands for.

    `payload` is its JSON, or None when it had none (a proxy answered).
    """
    fields = payload if isinstance(payload, dict) else {}
    code = fields.get("error") if isinstance(fields.get("error"), str) else None
    is_ours = code is not None and status < 500  # a 202 can say what is still missing
    kind = (
        CODES.get(code or "")
        or _STATUSES.get(status)
        or (Refused if 400 <= status < 500 or is_ours else HubFailed)
    )
    if code is None and kind not in (Unauthorized, Unavailable, NoRoom):
        kind = BadAnswer  # a proxy spoke, and knows nothing of what the hub would say
    message, hint = fields.get("message"), _hint_for(code or "", fields)
    return kind(
        message
        if isinstance(message, str)
        else f"The answer was HTTP status {status}, and not in the hub's form.",
        code=code,
        status=status,
        hint=None if kind in _OWN_HINTS else hint,
        retry_after_s=retry_after_s,
        details={
            name: value
            for name, value in fields.items()
            if name not in ("ok", "error", "message", "hint", "docs")
        },
    )


def _hint_for(code: str, fields: Mapping[str, Any]) -> str | None:
    """Return what to do, in commands.

    None, for the hint of the error's class, where the hub names only a route or says nothing.
    """
    if code == "not_allowed" and fields.get("role") == "shared":
        return _SHARED_HINT
    hint = _HINTS.get(code, fields.get("hint"))
    if isinstance(hint, str) and _ROUTE.search(hint):
        return _FOR_ROUTES.get(code)
    return hint if isinstance(hint, str) else None


def _code_of(kind: type[BusError]) -> str:
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in kind.__name__).lstrip(
        "_"
    )
