"""What the sides of a Bus (`net`, `admin`) share: the way to the hub, the name to speak as, and
waiting for a yes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

from busclient._errors import (
    ApprovalDenied,
    ApprovalRequired,
    OutcomeUnknown,
    Refused,
    StillRunning,
    TargetBusy,
    Unavailable,
    Unreachable,
)
from busclient._http.calls import ONCE, Calls, Patience
from busclient._http.trouble import is_unsent
from busclient._net.forms import Approval, shaped
from busclient._settings import Settings

T = TypeVar("T")
_LONGEST_HOLD_S = 50.0  # of the 60 that the hub allows
_PAUSE_S = 2.0
_BUSY_S, _LONGEST_BUSY_PAUSE_S = 60.0, 20.0


class Calling(Protocol):
    """Makes a call; starts the hub of this machine first where that is what is missing."""

    def __call__(self, call: Callable[[], T]) -> T: ...


class Part:
    def __init__(
        self, settings: Settings, calls: Calls, calling: Calling, sleep: Callable[[float], None]
    ) -> None:
        self._settings, self._calls, self._calling, self._sleep = settings, calls, calling, sleep

    def _fields(self, **fields: Any) -> dict[str, Any]:
        """Return those that are given, and `from`: me, when I am the credential's own name or a
        session of it, else left to the hub.
        """
        me, user = self._settings.name, self._settings.user
        is_mine = me == user or me.startswith(f"{user}/")
        return {**({"from": me} if is_mine else {}), **given(fields)}

    def _get(
        self, path: str, params: Mapping[str, Any] | None = None, *, wait_s: float = 0
    ) -> dict[str, Any]:
        return self._calling(lambda: self._calls.json("GET", path, params=params, wait_s=wait_s))

    def _post(
        self,
        path: str,
        fields: Mapping[str, Any],
        *,
        wait_s: float = 0,
        patience: Patience | None = None,
    ) -> dict[str, Any]:
        return self._calling(
            lambda: self._calls.json("POST", path, json=fields, wait_s=wait_s, patience=patience)
        )

    def _post_once(self, path: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return a call that must not be repeated by itself.

        Raises OutcomeUnknown when its answer was lost.
        """
        try:
            return self._post(path, fields, patience=ONCE)
        except Unreachable as error:
            if is_unsent(error):
                raise
            raise OutcomeUnknown(f"{error.message} It may have been done all the same.") from error

    def _insisting(self, call: Callable[[], T], *, runs_s: float = 0, approval_s: float = 0) -> T:
        """Make a call that has an idempotency key until it is answered.

        Waits up to `runs_s` while the first call under the key still runs, up to `approval_s` for
        an admin's yes, and a minute for a target that is busy, ever longer between two attempts:
        each is on record.
        """
        now, busy_s = time.monotonic(), 0.0
        runs_until, approval_until = now + runs_s, now + approval_s
        unknown: OutcomeUnknown | None = None
        while True:
            try:
                return call()
            except StillRunning as error:
                if time.monotonic() >= runs_until:
                    raise
                self._sleep(error.retry_after_s or _PAUSE_S)
            except TargetBusy as error:
                pause = max(error.retry_after_s or _PAUSE_S, min(busy_s, _LONGEST_BUSY_PAUSE_S))
                if busy_s + pause > _BUSY_S:
                    raise
                self._sleep(pause)
                busy_s += pause
            except ApprovalRequired as error:
                if time.monotonic() >= approval_until:
                    raise
                self._wait_for_yes(error, approval_until)
            except OutcomeUnknown as error:
                if unknown is not None:
                    raise
                unknown = error  # the service that ran it may be back by then, and knows
                self._sleep(_PAUSE_S)
            except (Unreachable, Unavailable):
                if unknown is None:
                    raise
                # that it cannot be asked now does not mean that nothing was done
                raise unknown from None

    def _wait_for_yes(self, asked: ApprovalRequired, until: float) -> None:
        """Return when the question was answered with yes; raises ApprovalDenied, or `asked` again
        when nobody answered.
        """
        while True:
            left = until - time.monotonic()
            approval = self.approval(asked.id, wait_s=max(0.0, min(left, _LONGEST_HOLD_S)))
            if approval.state == "allowed":
                return
            if approval.state == "denied":
                raise ApprovalDenied(
                    f"An admin has said no to {asked.id}.",
                    code="approval_denied",
                    status=403,
                    details=asked.details,
                )
            if approval.state != "pending" or time.monotonic() >= until:
                raise asked

    def approval(self, id: str, *, wait_s: float = 0) -> Approval:
        """Return one question by its id, held back until it is answered or `wait_s` (at most 60)
        are over.
        """
        params = {"wait": round(wait_s, 3)} if wait_s else None
        reply = self._get(f"/api/approvals/{in_path(id)}", params, wait_s=wait_s)
        with shaped("an approval"):
            return Approval.from_json(reply["approval"])


def in_path(id: str) -> str:
    """Return an id as a part of a path; raises Refused for one that would lead elsewhere."""
    if id.strip(".") == "" or "/" in id:
        raise Refused(
            f"{id[:80]!r} is no id.", hint="Give the id as the list or the answer shows it."
        )
    return quote(id, safe="")


def given(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that are not None."""
    return {name: value for name, value in fields.items() if value is not None}


def unavailable(reply: Mapping[str, Any]) -> Mapping[str, str]:
    """By driver, why it could not be asked."""
    found = reply.get("unavailable")
    return found if isinstance(found, dict) else {}


def listed(reply: Mapping[str, Any], name: str) -> list[Any]:
    """Return a list of the answer's; raises BadAnswer."""
    with shaped(f"a list of {name}"):
        found = reply[name]
        if not isinstance(found, list):
            raise TypeError(type(found).__name__)
        return found
