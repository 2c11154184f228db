"""Which error an answer of the hub stands for, and what a user of this client should do then.

`CODES` is the one list of the hub's codes; a test compares it with the hub's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from busclient._errors import (
    ApprovalDenied,
    ApprovalRequired,
    AskAnswered,
    BadAnswer,
    BusError,
    Conflict,
    FileChanged,
    FileLeaseHeld,
    Forbidden,
    HubFailed,
    Impossible,
    InviteSpent,
    KeyReused,
    LeaseLost,
    NameHeld,
    NoRoom,
    NotFound,
    NotPermitted,
    NotYourName,
    OutcomeUnknown,
    Refused,
    StillRunning,
    TargetBusy,
    TargetStopped,
    TooLarge,
    TooMany,
    TooManyWaiting,
    Unauthorized,
    Unavailable,
    UnknownRecipient,
    UnknownTarget,
)

CODES: dict[str, type[BusError]] = {
    "action_claimed": Conflict,
    "action_closed": Conflict,
    "approval_closed": Conflict,
    "approval_denied": ApprovalDenied,
    "approval_required": ApprovalRequired,
    "ask_answered": AskAnswered,
    "ask_closed": Conflict,
    "bad_brief": Refused,
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
    "impossible_ask": Refused,
    "index_rebuilding": Unavailable,
    "internal": HubFailed,
    "invite_spent": InviteSpent,
    "key_reused": KeyReused,
    "lease_held": FileLeaseHeld,
    "lease_lost": LeaseLost,
    "loop_guard": TooMany,
    "method_not_allowed": Refused,
    "missing_field": Refused,
    "hub_stopping": Unavailable,
    "name_held": NameHeld,
    "no_callsign": Conflict,
    "no_room": NoRoom,
    "no_such_agent": NotFound,
    "no_such_approval": NotFound,
    "no_such_call": NotFound,
    "no_such_credential": NotFound,
    "no_such_expectation": NotFound,
    "no_such_file": NotFound,
    "no_such_folder": Impossible,
    "no_such_lease": NotFound,
    "no_such_notice": NotFound,
    "no_such_program": Impossible,
    "no_such_ask": NotFound,
    "no_such_action": NotFound,
    "no_such_brief": NotFound,
    "no_such_range": Refused,
    "no_such_role": NotFound,
    "no_such_route": NotFound,
    "no_such_snapshot": NotFound,
    "no_such_user": Impossible,
    "no_such_webhook": NotFound,
    "notice_not_dead": Conflict,
    "not_a_file": Impossible,
    "not_allowed": Forbidden,
    "not_found": NotFound,
    "not_permitted": NotPermitted,
    "not_supported": Impossible,
    "not_asked": Forbidden,
    "not_your_action": Forbidden,
    "not_your_message": Forbidden,
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
    "file_expired": NotFound,
    "no_such_attachment": NotFound,
    "no_such_upload": NotFound,
    "sum_differs": Refused,
    "upload_busy": Unavailable,
    "upload_incomplete": Conflict,
    "wrong_offset": Conflict,
    "unavailable": Unavailable,
    "unconfirmed": Unavailable,
    "unknown_field": Refused,
    "unknown_recipient": UnknownRecipient,
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
    "action_claimed": "Ask who has it, or take another one: `bus action --free`.",
    "action_closed": "There is nothing left to do. Who asked it opens it again with `bus action"
    " update NUMBER --status open`.",
    "no_such_action": "`bus action --all` lists those that are not closed.",
    "no_such_brief": "`bus read ID` shows any message.",
    "not_your_action": "Who has it, who asked it and admins change it; `bus action claim NUMBER`"
    " takes what nobody has.",
    "ask_answered": "`bus asks ID` shows what was said.",
    "ask_closed": "What is still to be said goes into a reply: `bus reply ID TEXT`.",
    "no_such_ask": "`bus asks` lists them; a message of `bus post` is no ask.",
    "lease_held": "Work on something else, wait until then, or ask the holder to release it:"
    " `bus post NAME TEXT`. What both take with --shared goes together.",
    "not_asked": "Only those who were asked answer: `bus asks --owed` shows what waits for you.",
    "no_such_folder": "Give a folder that exists in the target; `bus put --create-dirs` makes those"
    " above a file.",
    "not_permitted": "An admin allows it with `bus permit SOURCE TARGET`; `bus permissions --check"
    " SOURCE TARGET ACTION` says which rule decides.",
    "unknown_recipient": "Correct the name. Without --strict, the message would wait for it.",
    "target_busy": "Nothing was done: try again. A snapshot freezes a container for a while. If it"
    " stays frozen, an admin thaws it with `bus container start NAME`.",
    "target_stopped": "An admin starts it with `bus container start NAME`.",
}
# Only where the hub's hint names a route: what it says of a single case stays.
_ROUTE = re.compile(
    r"\b(?:GET|POST|PUT|PATCH|DELETE) /|\bcurl\b"
    r"|(?<![\w/])/(?:api|docs|openapi|search|agents|webhooks)\b"
)
_OTHER_VERSION = "The hub and this client are of different versions: bring both to the same one."
_FOR_ROUTES = {
    "hub_stopping": "The call goes on. `bus call ID` tells how it ends; so does the same call"
    " again, with the same key.",
    "method_not_allowed": _OTHER_VERSION,
    "no_such_agent": "`bus agents` lists the agents.",
    "no_such_ask": "`bus asks` lists those that you see.",
    "no_such_approval": "`bus approve` lists those that you may see.",
    "no_such_credential": "`bus credential list` shows the names.",
    "no_such_expectation": "`bus expect` lists those that concern you.",
    "no_such_lease": "`bus leases` lists those that hold.",
    "no_such_notice": "`bus notices` lists those that are kept.",
    "no_such_role": "`bus role` lists the roles.",
    "no_such_route": _OTHER_VERSION,
    "no_such_upload": "Send it again.",
    "no_such_snapshot": "`bus container snapshots NAME` lists the snapshots of a container.",
    "no_such_webhook": "`bus webhook list` lists yours.",
    "not_allowed": "This needs a credential of another role: ask an admin.",
    "not_supported": "`bus machines` says the driver of each target; only containers have states"
    " and snapshots.",
    "too_large": "`bus send FILE TO TEXT` sends a file of any size.",
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
    told = fields.get("hint")
    hint = _HINTS.get(code, told)
    if code == "unknown_recipient" and isinstance(told, str) and "strict" not in told:
        return told  # of an action: nothing waits for a name
    if isinstance(hint, str) and _ROUTE.search(hint):
        return _FOR_ROUTES.get(code)
    return hint if isinstance(hint, str) else None
