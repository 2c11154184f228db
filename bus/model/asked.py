"""What a message says that asks, or that was said to one: see `bus.model.asks`. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, NotRequired, TypedDict

from bus.model.answer import Says, Time
from bus.model.harmless import quoted

STATES = ("open", "answered", "declined", "expired", "withdrawn")
ANSWER, DECLINE, WITHDRAW = "answer", "decline", "withdraw"
DEFAULT, EXPIRE = "default", "expire"  # what the hub says when the time is over
# What becomes of an ask by each; an answer or a decline closes it only if that is the last word.
WORDS = (ANSWER, DECLINE, WITHDRAW, DEFAULT, EXPIRE)


class Asked(TypedDict):
    """Of a message that asks: how it can be answered, and how far it is."""

    state: Annotated[str, Says(enum=list(STATES))]
    need: Annotated[int, "so many answers close it"]
    options: NotRequired[list[str]]
    by: NotRequired[Annotated[Time, "open no longer than that"]]
    default: NotRequired[str]


AnswerMark = TypedDict(
    "AnswerMark",
    {
        "ask": Annotated[str, "the id of the message that asks"],
        "what": Annotated[str, Says(enum=list(WORDS))],
        "for": NotRequired[Annotated[list[str], "the recipients that it speaks for"]],
        "option": NotRequired[str],
        "text": NotRequired[str],
        "reason": NotRequired[str],
    },
)


def is_open(message: Mapping[str, Any]) -> bool:
    """Return whether a message asks something that can still be answered."""
    return bool(message.get("ask", {}).get("state") == "open")


def ask_terms(ask: Mapping[str, Any], longest: int = 10_000) -> list[str]:
    """Return how a question can be answered, as words of a line about it; of many options only the
    first, in about `longest` characters, and "…" behind them.
    """
    options = list(map(quoted, ask.get("options", ())))
    while len(options) > 2 and len(",".join(options)) > longest:
        options[-2:] = ["…"]
    terms = [f"options={','.join(options)}"] if options else []
    terms += [f"need={ask['need']}"] if ask["need"] > 1 else []
    return terms + ([f"by={ask['by']}"] if "by" in ask else [])
