"""Questions to admins, and their answers: GET and POST /api/approvals. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from bus.errors import BadField, MissingField
from bus.model.answer import From, Time
from bus.model.kinds import AGENT, ULID_SCHEMA, WAIT, choice, expiry
from bus.model.shape import Kind, Shape

APPROVAL_S = 900.0
MAX_APPROVAL_S = 86_400.0
MAX_ANSWERED = 64  # questions at once
STATES = ("pending", "allowed", "denied", "used", "expired")


def _allow(value: Any, field: str) -> bool:
    if not isinstance(value, bool):
        raise MissingField(
            "`allow` is missing, or neither true nor false.", hint='{"allow":true}', field=field
        )
    return value


def _ids(value: Any, field: str) -> list[str]:
    if value is None:
        raise MissingField(
            "`ids` is missing.",
            hint="The ids of the questions that you have looked at.",
            field=field,
        )
    if (
        not isinstance(value, list)
        or not 1 <= len(value) <= MAX_ANSWERED
        or not all(isinstance(id, str) for id in value)
    ):
        raise BadField(
            "`ids` is not a list of ids.",
            hint=f"1 to {MAX_ANSWERED} ids of questions.",
            field=field,
        )
    return value


_ALLOW = Kind(_allow, {"type": "boolean"})
_EXPIRY = expiry(int(MAX_APPROVAL_S), "At most a day: 86400.")
_IDS = Kind(_ids, {"type": "array", "minItems": 1, "maxItems": MAX_ANSWERED, "items": ULID_SCHEMA})


@dataclass(frozen=True, kw_only=True)
class Answer(Shape):
    """POST /api/approvals/<id>: yes or no, and for how many seconds a yes is good."""

    allow: Annotated[bool, _ALLOW]
    expires_in_s: Annotated[float, _EXPIRY] = APPROVAL_S


@dataclass(frozen=True, kw_only=True)
class Answers(Shape):
    """POST /api/approvals: the same answer to several questions."""

    ids: Annotated[list[str], _IDS]
    allow: Annotated[bool, _ALLOW]
    expires_in_s: Annotated[float, _EXPIRY] = APPROVAL_S


@dataclass(frozen=True, kw_only=True)
class ApprovalsQuery(Shape):
    """GET /api/approvals: in which state, asked by whom; None is all of them."""

    state: Annotated[str | None, choice(STATES)] = None
    sender: Annotated[str | None, AGENT] = None


@dataclass(frozen=True, kw_only=True)
class ApprovalQuery(Shape):
    """GET /api/approvals/<id>: for how many seconds to wait for an answer."""

    wait: Annotated[float, WAIT] = 0.0


class Approval(From):
    """A question to admins as callers see it: what the call would do, and how it was answered."""

    id: str
    state: Literal["pending", "allowed", "denied", "used", "expired"]
    action: str
    target: str
    asked: Time
    expires: Time
    hash: str
    answered: NotRequired[Time]
    by: NotRequired[str]
    lost: NotRequired[bool]


class OneApproval(TypedDict):
    """One question."""

    ok: bool
    approval: Approval


class Approvals(TypedDict):
    """Several questions, newest last."""

    ok: bool
    approvals: list[Approval]
    has_more: NotRequired[bool]
