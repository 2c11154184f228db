"""Puts on record who was turned away at the door, or was refused a change to the credentials: so
many a minute, no more.

Whoever has no credential must not be able to fill the log, so of each kind a minute has
`PER_MINUTE` records, and one for the same caller and matter. What is left out is counted; the next
record, or a request a minute later, tells how many. Each worker counts for itself. No secret is on
record, and of a user name that nobody has only the beginning.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from bus.credentials import Credentials, user_in
from bus.errors import BusError
from bus.model.caller import Caller

logger = logging.getLogger("bus.web")

PER_MINUTE = 10
_MINUTE_S = 60.0
NOBODY = "?"  # no name: who was turned away is not known

Note = Callable[[dict[str, Any]], None]


class Refusals:
    """The one who notes them. `note` appends a record, without its kind."""

    def __init__(
        self, note: Note, credentials: Credentials, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._credentials = credentials
        self._sign_ins, self._changes = _Kind(note, clock), _Kind(note, clock)

    def sign_in(self, environ: Mapping[str, Any], error: BusError) -> None:
        """Somebody had no good credential."""
        who, address = (
            self._shown(environ.get("HTTP_AUTHORIZATION")),
            environ.get("REMOTE_ADDR", ""),
        )
        command = (
            "sign in" + (f" as {who}" if who else "") + (f" from {address}" if address else "")
        )
        self._sign_ins.note(
            (who, address),
            {"from": NOBODY, "auth": "", "target": "", "command": command, "error": error.code},
        )

    def change(self, caller: Caller, action: str, name: Any, error: BusError) -> None:
        """A caller was refused a change to the credentials or the invites."""
        target = name[:64] if isinstance(name, str) else ""
        draft = {
            "from": caller.name,
            "auth": caller.name,
            "target": target,
            "command": action,
            "error": error.code,
        }
        self._changes.note((caller.name, action), draft)

    def tell_rest(self) -> None:
        """Note how many were left out a minute ago; costs nothing where none was."""
        self._sign_ins.tell_rest({"from": NOBODY, "auth": "", "target": "", "command": "sign in"})
        self._changes.tell_rest(
            {"from": NOBODY, "auth": "", "target": "", "command": "change credentials"}
        )

    def _shown(self, header: str | None) -> str:
        user = "" if header is None else user_in(header)
        return user if user in self._credentials.users() or user == "" else f"{user[:3]}…"


class _Kind:
    def __init__(self, note: Note, clock: Callable[[], float]) -> None:
        self._append, self._clock = note, clock
        self._changing = threading.Lock()
        self._began, self._seen, self._left_out = clock(), set[tuple[str, str]](), 0

    def note(self, matter: tuple[str, str], draft: dict[str, Any]) -> None:
        with self._changing:
            self._begin_minute()
            if matter in self._seen or len(self._seen) >= PER_MINUTE:
                self._left_out += 1
                return
            self._seen.add(matter)
            left_out = self._taken_rest() if len(self._seen) == 1 else 0
        self._write(draft, left_out)

    def tell_rest(self, draft: dict[str, Any]) -> None:
        if not self._left_out or self._clock() - self._began < _MINUTE_S:
            return
        with self._changing:
            self._begin_minute()
            left_out = self._taken_rest()
        if left_out:
            self._write(
                {
                    **draft,
                    "error": "unauthorized" if draft["command"] == "sign in" else "forbidden",
                },
                left_out,
            )

    def _begin_minute(self) -> None:
        if self._clock() - self._began >= _MINUTE_S:
            self._began = self._clock()
            self._seen.clear()

    def _taken_rest(self) -> int:
        left_out, self._left_out = self._left_out, 0
        return left_out

    def _write(self, draft: dict[str, Any], left_out: int) -> None:
        # The answer to who was refused is the same, whether or not it can be noted.
        try:
            self._append({**draft, **({"left_out": left_out} if left_out else {})})
        except (BusError, OSError) as error:
            logger.warning("a refusal could not be put on record: %s", error)
            with self._changing:
                self._left_out += 1 + left_out
