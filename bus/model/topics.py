"""Topics: `to:"topic:build.linux"` reaches whoever has subscribed to it. No I/O.

A topic is words with dots between them. A subscription may hold wildcards by the rule of NATS
(https://docs.nats.io/nats-concepts/subjects): `*` stands for one word, `>` at the end for one or
more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from bus.errors import BadField
from bus.model.answer import Count, Time
from bus.model.checks import shown
from bus.model.filter import MAX_LIMIT
from bus.model.groups import MAX_WORDS, TOPIC, TOPIC_PREFIX, WORD
from bus.model.kinds import AGENT, Format, whole
from bus.model.shape import Kind

PATTERN = re.compile(
    rf"(?=.{{1,128}}$)(?:(?:{WORD}|\*)(?:\.(?:{WORD}|\*)){{0,{MAX_WORDS - 1}}}(?:\.>)?|>)"
)
_HINT = (
    "Words with dots between them, such as build.linux; * stands for one word, > at the end for the"
    " rest."
)


def pattern(value: Any, field: str) -> str:
    """Return what is subscribed to: a topic, perhaps with wildcards and with `topic:` before it."""
    text = value.removeprefix(TOPIC_PREFIX).removeprefix("#") if isinstance(value, str) else value
    if not isinstance(text, str) or PATTERN.fullmatch(text) is None:
        raise BadField(f"`{field}` is {shown(value)}.", hint=_HINT, field=field)
    return text


def is_wild(pattern: str) -> bool:
    """Return whether a pattern has wildcards."""
    return "*" in pattern or ">" in pattern


def matches(pattern: str, topic: str) -> bool:
    """Return whether a pattern takes in a topic; both without `topic:`."""
    wanted, words = pattern.split("."), topic.split(".")
    if wanted[-1] == ">":
        wanted = wanted[:-1]
        if len(words) <= len(wanted):
            return False
        words = words[: len(wanted)]
    return len(wanted) == len(words) and all(
        one in ("*", word) for one, word in zip(wanted, words, strict=True)
    )


PATTERN_KIND = Kind(pattern, {"type": "string", "pattern": f"^{TOPIC.pattern}$"})


@dataclass(frozen=True, kw_only=True)
class TopicsQuery(Format):
    """GET /topics: which topics there are."""

    name: Annotated[str | None, AGENT, "only those that reach this name"] = None
    after: Annotated[str | None, PATTERN_KIND, "only topics behind this one: `next`"] = None
    limit: Annotated[int, whole(1, MAX_LIMIT), "topics"] = 100


class Topic(TypedDict):
    """A topic that somebody has posted to or subscribed to."""

    topic: str
    messages: Count
    last: Annotated[Time | None, "when somebody posted to it last"]
    subscribers: Count


class Subscribed(TypedDict):
    """A name's subscription; `topic` may have wildcards."""

    name: str
    topic: str
    since: Time


class Topics(TypedDict):
    """Topics in their order; with `name`, its subscriptions too."""

    ok: Literal[True]
    topics: list[Topic]
    subscriptions: NotRequired[list[Subscribed]]
    has_more: bool
    next: str | None


class SubscriptionChanged(TypedDict):
    """A subscription was made or ended; `changed` is false where it was so before."""

    ok: Literal[True]
    name: str
    topic: str
    changed: bool
