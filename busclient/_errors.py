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
    │   ├── UnknownRecipient  nobody has this name, and the post is strict
    │   └── UnknownTarget     no such container or machine
    ├── Refused               the request is wrong; the same again will be refused again
    │   ├── TooLarge
    │   ├── KeyReused         the idempotency key belongs to other content
    │   ├── InviteSpent       the invite was used, or has expired
    │   ├── Conflict          what is there now stands against it
    │   │   ├── AskAnswered       the question has its answers (`first`)
    │   │   ├── NameHeld          another session has this name (`holder`)
    │   │   ├── LeaseLost         the name is another session's now
    │   │   ├── TargetStopped     the container does not run
    │   │   ├── FileLeaseHeld     others work on these files (`conflicts`)
    │   │   └── FileChanged       the file is not the one that `if_sha256` names
    │   └── Impossible        the target cannot do it as it is: no such program, folder, user, …
    └── HubFailed             a defect of the hub

Calls raise `Unreachable` and `Unavailable` after their own retries. `Bus.post` raises neither while
it has an outbox: it keeps the message there. Which code of the hub is which of them is in
`busclient._codes`.
"""

from __future__ import annotations

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


class UnknownRecipient(NotFound):
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


class NameHeld(Conflict):
    @property
    def holder(self) -> Mapping[str, Any]:
        """Who holds the name: `lease`, `since`, `host`, `pid` and so on, as far as it said."""
        found = self.details.get("holder")
        return found if isinstance(found, dict) else {}


class AskAnswered(Conflict):
    @property
    def first(self) -> Mapping[str, Any]:
        """What was said first, or what I have said before: `name`, `option`, `text`, `time`."""
        found = self.details.get("first")
        return found if isinstance(found, dict) else {}


class LeaseLost(Conflict):
    hint = "Another session has the name now, or has had it: register again."


class FileLeaseHeld(Conflict):
    hint = "`bus leases` shows who holds what. Wait, or ask the holder to release it."

    @property
    def conflicts(self) -> list[dict[str, Any]]:
        """The leases that are in the way, at most 20: holder, paths, since, until, reason."""
        found = self.details.get("conflicts")
        return found if isinstance(found, list) else []


class FileChanged(Conflict):
    pass


class Impossible(Refused):
    pass


class HubFailed(BusError):
    hint = "This is a defect of the hub; its log says more."


def _code_of(kind: type[BusError]) -> str:
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in kind.__name__).lstrip(
        "_"
    )
