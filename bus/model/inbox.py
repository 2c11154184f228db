"""What a reader with little room asks for: GET /inbox, and the cursor that leads from one answer to
the next. No I/O.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, NamedTuple, NotRequired, TypedDict

from bus.errors import BadField
from bus.model.answer import Count, From, Says, Time
from bus.model.kinds import AGENT, ZERO_OR_ONE, Format, whole
from bus.model.messages import Message
from bus.model.shape import Kind

DEFAULT_BUDGET, MIN_BUDGET, MAX_BUDGET = 6_000, 800, 100_000
MIN_TOKENS, MAX_TOKENS = 500, 50_000
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
# In base 36; 11 digits are below MAX_SEQ.
_CURSOR = re.compile(
    r"([0-2])\.([0-9a-z]{1,4})\.([01])\.([0-9a-z]{1,13})"
    + r"\.([0-9a-z]{1,11})" * 3
    + r"\.([0-9a-z]{1,6})"
)


class Rank(NamedTuple):
    """Where a message stands; smaller is first."""

    priority: int
    round: int
    broadcast: int
    deadline_ms: int
    seq: int


FIRST = Rank(0, 0, 0, 0, 0)


class Cursor(NamedTuple):
    """Where an answer ended: what comes after `rank` is next, among what was unread and alive when
    the first answer was given.

    `acked` is the reader's last acknowledgement then. A later one has changed the rounds, so it
    begins anew with what is still unread: that shows nothing twice that was acknowledged, and
    leaves nothing out.
    """

    rank: Rank
    acked: int
    as_of_ms: int
    shown: int

    def as_text(self) -> str:
        return ".".join(map(_short, (*self.rank, *self[1:])))

    @classmethod
    def from_text(cls, text: str) -> Cursor | None:
        """Return the cursor in a text; None when it is none."""
        match = _CURSOR.fullmatch(text)
        if match is None:
            return None
        *rank, acked, as_of_ms, shown = (int(digits, 36) for digits in match.groups())
        return cls(Rank(*rank), acked, as_of_ms, shown)


def _short(number: int) -> str:
    digits = ""
    while number or not digits:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits


def _cursor(text: str, field: str) -> Cursor:
    cursor = Cursor.from_text(text)
    if cursor is None:
        raise BadField(
            f"`{field}` is {text[:60]!r}.",
            hint="Give the cursor of an earlier answer, as it was.",
            field=field,
        )
    return cursor


_BUDGET = whole(MIN_BUDGET, MAX_BUDGET).saying(default=DEFAULT_BUDGET)
_CURSOR_KIND = Kind(_cursor, {"type": "string", "pattern": f"^{_CURSOR.pattern}$"})
_READER = "whose inbox; left out: the caller's. Required of the shared user"


@dataclass(frozen=True, kw_only=True)
class InboxQuery(Format):
    """GET /inbox: the unread messages of `reader` (None: of the caller) that fit the budgets."""

    reader: Annotated[str | None, AGENT, _READER] = None
    budget: Annotated[int | None, _BUDGET, "characters of text"] = None
    budget_tokens: Annotated[
        int | None,
        whole(MIN_TOKENS, MAX_TOKENS),
        "the same in tokens of 3 bytes; with both, both hold",
    ] = None
    machine: Annotated[int, ZERO_OR_ONE, "1, of a session: its machine's mail too"] = 0
    starred: Annotated[int, ZERO_OR_ONE, "1: only what the reader has starred"] = 0
    cursor: Annotated[
        Cursor | None, _CURSOR_KIND, "of the answer before, for what comes after it"
    ] = None


class ShownStub(From):
    """A message of which only the beginning is shown."""

    seq: int
    id: str
    ts: Time
    verified: bool
    trust: NotRequired[str]
    to: str | list[str]
    priority: str
    tags: list[str]
    preview: Annotated[str, "the beginning of the body, on one line, made harmless"]
    size: Annotated[int, "characters of the whole body"]


class Inbox(TypedDict):
    """What a reader should see first."""

    reader: str
    unread: Annotated[int, Says(minimum=0, maximum=1000)]
    unread_is_exact: bool
    messages: list[Message]
    stubs: list[ShownStub]
    more: Annotated[Count, "unread messages that no answer so far has shown"]
    has_more: bool
    cursor: str | None
