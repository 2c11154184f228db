"""What a caller has too much of."""

from __future__ import annotations

from typing import Any

from bus.errors.base import BusError


class TooMany(BusError):
    code, status = "too_many", 429
    hint = "Wait, then try again."
    retry_after_s: int | None = 1


class OverQuota(TooMany):
    code = "over_quota"
    hint = (
        "Let some of them end. BUS_MAX_REQUESTS and BUS_MAX_WAITING_EACH cap each credential; bus"
        " credential list shows both."
    )

    def __init__(
        self, message: str, *, hint: str | None = None, retry_after_s: int = 5, **details: Any
    ) -> None:
        super().__init__(message, hint=hint, retry_after_s=retry_after_s, **details)
        self.retry_after_s = retry_after_s


class TooManyRunning(TooMany):
    code = "too_many_running"
    hint = (
        "Try again when one of them has ended. BUS_EXEC_PER_TARGET and BUS_EXEC_PER_CALLER set the"
        " caps."
    )


class TooManyQuestions(TooMany):
    code = "too_many_questions"
    hint = (
        "Wait until an admin has answered some of them: bus approve --all-from NAME answers all"
        " that one caller has asked."
    )
    retry_after_s = None  # a person has to act; trying again would only fill the log


class LoopGuard(TooMany):
    code = "loop_guard"
    hint = (
        "Nothing was posted. Stop answering, and let a person look; a new thread is open."
        " BUS_LOOP_LIMIT sets the cap."
    )
    retry_after_s = 600


class TooManyAttempts(TooMany):
    code = "too_many_attempts"
    hint = "Wait, then check the invite or the password before you try again."
    retry_after_s = 60


class TooCostly(BusError):
    code, status = "too_costly", 503
    hint = (
        "Ask for less: a shorter stretch with since and before, rarer words, or fewer filters that"
        " match much each."
    )
