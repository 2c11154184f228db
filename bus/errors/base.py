"""What every error of the hub is."""

from __future__ import annotations

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
