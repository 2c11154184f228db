"""Asks: a question stays open until it is answered, declined or withdrawn, or its time is over.

No I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired, Self, TypedDict

from bus.errors import BadField, ImpossibleAsk, MissingField
from bus.model import checks
from bus.model.answer import Count, From, Says, Time
from bus.model.asked import STATES
from bus.model.checks import shown
from bus.model.deadlines import ACK_BY
from bus.model.filter import MAX_LIMIT, recipients
from bus.model.groups import is_topic
from bus.model.kinds import (
    AGENT,
    KEY,
    REFERENCE,
    REFERENCE_TEXT,
    TAG,
    THREAD,
    WAIT,
    ZERO_OR_ONE,
    Format,
    choice,
    flag,
    whole,
)
from bus.model.messages import (
    BODY,
    GROUPS_AND_NAMES,
    MAX_RECIPIENTS,
    PRIORITY,
    TAGS,
    Draft,
    addressees,
)
from bus.model.records import EVERYBODY
from bus.model.shape import Json, Kind, Shape, object_schema

MAX_OPTIONS, MAX_TEXT, MAX_REASON = 32, 4_000, 500
_WHO = "who speaks; left out: the caller. Required of the shared user"


def _to(value: Any, field: str) -> str | list[str]:
    """Return whom to ask; nobody owes an answer to a broadcast."""
    if value is None:
        raise MissingField("`to` is missing.", hint="Say whom you ask.", field=field)
    found = addressees(value, field)
    if found == EVERYBODY:
        raise BadField(
            "`to` is everybody, and then nobody owes the answer.",
            hint="Give names, topics or roles.",
            field=field,
        )
    return found


def _options(value: Any, field: str) -> list[str]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_OPTIONS:
        raise BadField(
            f"`{field}` is {shown(value)}.", hint=f"A list of 1 to {MAX_OPTIONS}.", field=field
        )
    options = [checks.label(item, field, 64, forbidden=",") for item in value]
    if len(set(options)) < len(options):
        raise BadField(f"`{field}` has one twice.", hint="Give each once.", field=field)
    return options


def _need(value: Any, field: str) -> int:
    is_whole = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_whole or value != value // 1 or not 1 <= value <= MAX_RECIPIENTS:
        rule = f"A whole number from 1 to {MAX_RECIPIENTS}."
        raise BadField(f"`{field}` is {shown(value)}.", hint=rule, field=field)
    return int(value)


def _text(longest: int) -> Kind:
    def check(value: Any, field: str) -> str:
        if not isinstance(value, str) or not 1 <= len(value) <= longest or not value.strip():
            rule = f"A text of 1 to {longest:,} characters."
            raise BadField(f"`{field}` is {shown(value)}.", hint=rule, field=field)
        return value

    schema: Json = {"type": "string", "minLength": 1, "maxLength": longest, "pattern": "[!-~]"}
    return Kind(check, schema, missing=f"A text of 1 to {longest:,} characters.")


_RECIPIENTS: Json = {
    "oneOf": [
        GROUPS_AND_NAMES,
        {"type": "array", "items": GROUPS_AND_NAMES, "minItems": 1, "maxItems": MAX_RECIPIENTS},
    ]
}
_OPTIONS: Json = {
    "type": "array",
    "items": TAG.schema,
    "minItems": 1,
    "maxItems": MAX_OPTIONS,
    "uniqueItems": True,
}
_TEXT, _REASON = _text(MAX_TEXT), _text(MAX_REASON)
_NEED = Kind(_need, {"type": "integer", "minimum": 1, "maximum": MAX_RECIPIENTS})
_STRICT = "refuse a name in `to` that nobody has"


@dataclass(frozen=True, kw_only=True)
class Question(Shape):
    """POST /ask: a question that is not asked yet."""

    sender: Annotated[str, AGENT, _WHO]
    to: Annotated[str | list[str], Kind(_to, _RECIPIENTS)]
    question: Annotated[str, BODY]
    options: Annotated[list[str] | None, Kind(_options, _OPTIONS), "what may be answered"] = None
    need: Annotated[int | None, _NEED, "so many answers close it; 1 if left out"] = None
    by: Annotated[float | str | None, ACK_BY, "seconds, or a time: open no longer"] = None
    default: Annotated[str | None, _text(MAX_REASON), "the answer if none has come by then"] = None
    thread: Annotated[str | None, THREAD] = None
    in_reply_to: Annotated[str | int | None, REFERENCE] = None
    priority: Annotated[str | None, PRIORITY] = None
    tags: Annotated[list[str] | None, TAGS] = None
    client_id: Annotated[str | None, KEY] = None
    strict: Annotated[bool | None, flag("true or false."), _STRICT] = None

    def __post_init__(self) -> None:
        to = recipients({"to": self.to})
        if self.need is not None and self.need > len(to) and not any(map(is_topic, to)):
            raise ImpossibleAsk(
                f"`need` is {self.need}, and `to` has {len(to)}.",
                hint="Ask more of them, or need fewer answers.",
            )
        if self.default is not None and self.by is None:
            raise ImpossibleAsk(
                "There is a `default`, and no time after which it counts.", hint="Give `by` too."
            )
        if self.default is not None and self.options and self.default not in self.options:
            raise ImpossibleAsk(
                f"`default` is {shown(self.default)}.",
                hint=f"One of the options: {', '.join(self.options)}.",
            )

    def draft(self) -> Draft:
        """Return the message that asks it."""
        names = ("thread", "in_reply_to", "priority", "tags", "client_id", "strict")
        said = {name: value for name, value in self.as_dict().items() if name in names}
        return Draft.read({"from": self.sender, "to": self.to, "body": self.question, **said})

    def terms(self) -> dict[str, Any]:
        """Return what the message says besides: how it can be answered."""
        given = self.as_dict()
        names = ("options", "need", "by", "default")
        return {"need": 1, **{name: given[name] for name in names if name in given}}

    @classmethod
    def schema(cls) -> Json:
        """Return what OpenAPI says of it: `from` may be left out by all whose credential has a name
        of its own.
        """
        return {**object_schema(cls), "required": ["to", "question"]}


class _BySomebody(Shape):
    """What somebody says of an ask."""

    @classmethod
    def schema(cls) -> Json:
        """Return what OpenAPI says of it, without the name that may be left out."""
        schema = object_schema(cls)
        return {**schema, "required": [name for name in schema["required"] if name != "from"]}


@dataclass(frozen=True, kw_only=True)
class Answering(_BySomebody):
    """POST /ask/<ref>/answer."""

    sender: Annotated[str, AGENT, _WHO]
    option: Annotated[str | None, TAG, "one of the options, where there are some"] = None
    text: Annotated[str | None, _TEXT, "the answer, or what is to be said to the option"] = None

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Self:
        found = super().read(given)
        if found.option is None and found.text is None:
            raise MissingField(
                "The answer is missing.", hint="Give `option` or `text`.", field="text"
            )
        return found

    @classmethod
    def schema(cls) -> Json:
        """Return the same; one of the two must be there."""
        one = [{"required": ["option"]}, {"required": ["text"]}]
        return {**super().schema(), "anyOf": one}


@dataclass(frozen=True, kw_only=True)
class Declining(_BySomebody):
    """POST /ask/<ref>/decline."""

    sender: Annotated[str, AGENT, _WHO]
    reason: Annotated[str, _REASON, "why not"]


@dataclass(frozen=True, kw_only=True)
class Withdrawing(_BySomebody):
    """POST /ask/<ref>/withdraw."""

    sender: Annotated[str, AGENT, _WHO]


@dataclass(frozen=True, kw_only=True)
class AskQuery(Format):
    """GET /ask/<ref>."""

    wait: Annotated[float, WAIT, "seconds, for an ask that is open to be closed"] = 0


@dataclass(frozen=True, kw_only=True)
class AsksQuery(Format):
    """GET /asks: the newest asks first."""

    owed_by: Annotated[str | None, AGENT, "only those that this name has yet to answer"] = None
    machine: Annotated[int, ZERO_OR_ONE, "1: of `owed_by`, its machine's too"] = 0
    asked_by: Annotated[str | None, AGENT, "only those of this name"] = None
    state: Annotated[str | None, choice(STATES), "only those in this state"] = None
    before: Annotated[str | int | None, REFERENCE_TEXT, "only older ones: for the next page"] = None
    limit: Annotated[int, whole(1, MAX_LIMIT), "asks"] = 100


class OneAnswer(TypedDict):
    """An answer to an ask; that of `bus` is the default."""

    name: str
    option: NotRequired[str]
    text: NotRequired[str]
    default: NotRequired[Literal[True]]
    time: Time
    id: NotRequired[Annotated[str, "of the message that says so"]]


class Decline(TypedDict):
    """That somebody will not answer."""

    name: str
    reason: str
    time: Time
    id: str


class Ask(From):
    """An ask with all that has come of it."""

    id: str
    seq: int
    ts: Time
    to: str | list[str]
    question: str
    thread: NotRequired[str]
    state: Annotated[str, Says(enum=list(STATES))]
    need: int
    options: NotRequired[list[str]]
    by: NotRequired[Time]
    default: NotRequired[str]
    answers: list[OneAnswer]
    declined: Annotated[list[Decline], "at most 64"]
    waiting_for: Annotated[list[str], "who may still answer; at most 64 names"]
    waiting: Annotated[Count, "how many that are"]
    closed: NotRequired[Annotated[Time, "since when it is open no longer"]]
    trust: NotRequired[str]


class OneAsk(TypedDict):
    """One ask."""

    ok: Literal[True]
    ask: Ask
    replayed: NotRequired[Annotated[bool, "this was said before"]]


class Asks(TypedDict):
    """Asks, newest first."""

    ok: Literal[True]
    asks: list[Ask]
    has_more: bool
    next: Annotated[Count | None, "`before` of the next page"]
