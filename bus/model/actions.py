"""Actions: what is to be done, by whom, until when, and how far it is. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired, Self, TypedDict

from bus.errors import BadField, MissingField
from bus.model import checks
from bus.model.action_mark import ALSO, STATUSES
from bus.model.answer import Count, Says, Time
from bus.model.checks import shown
from bus.model.due import DUE
from bus.model.filter import MAX_LIMIT
from bus.model.groups import as_recipient, is_role
from bus.model.kinds import (
    AGENT,
    KEY,
    NAME_SCHEMA,
    REFERENCE,
    THREAD,
    ZERO_OR_ONE,
    Format,
    number,
    one_of,
    whole,
)
from bus.model.messages import BODY
from bus.model.shape import Json, Kind, Shape, object_schema
from bus.model.todo import MAX_TITLE, PRIORITIES
from bus.model.written_names import NAMES

MAX_NOTE, MAX_WAITING_ON, MAX_NUMBER = 500, 200, 10**9
MAX_STALE_H = 24 * 366
ALL = "all"


def _assignee(value: Any, field: str) -> str | None:
    """Return a name or a role; None for nobody."""
    if value is None:
        return None
    group = as_recipient(value) if isinstance(value, str) else None
    if group is not None and is_role(group):
        return group
    return checks.agent(value, field)


def _status(value: Any, field: str) -> str:
    found = ALSO.get(value, value) if isinstance(value, str) else None
    if found not in STATUSES:
        rule = f"One of {', '.join(STATUSES)}."
        raise BadField(f"`{field}` is {shown(value)}.", hint=rule, field=field)
    return str(found)


def _statuses(value: Any, field: str) -> tuple[str, ...]:
    """Return the statuses in a text with commas; `all` are all."""
    if value == ALL:
        return STATUSES
    return tuple(_status(one.strip(), field) for one in str(value).split(","))


def _line(longest: int) -> Kind:
    def check(value: Any, field: str) -> str:
        text = " ".join(value.split()) if isinstance(value, str) else ""
        if not 1 <= len(text) <= longest:
            rule = f"A text of 1 to {longest} characters."
            raise BadField(f"`{field}` is {shown(value)}.", hint=rule, field=field)
        return text

    schema: Json = {"type": "string", "minLength": 1, "maxLength": longest, "format": "bus-label"}
    return Kind(check, schema, missing="Say what is to be done.")


def _or_null(kind: Kind) -> Kind:
    def check(value: Any, field: str) -> Any:
        return "" if value is None else kind.check(value, field)

    return Kind(check, {"anyOf": [kind.schema, {"type": "null"}]})


_ROLE: Json = {"type": "string", "pattern": "^role:[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"}
ASSIGNEE = Kind(_assignee, {"anyOf": [NAME_SCHEMA, _ROLE]})
_STATUS = Kind(_status, {"enum": [*STATUSES, *ALSO]})
_STATUSES = Kind(_statuses, {"enum": [ALL, *STATUSES, *ALSO]})
_PRIORITY = one_of(PRIORITIES)
_WHO = "who speaks; left out: the caller. Required of the shared user"


@dataclass(frozen=True, kw_only=True)
class NewAction(Shape):
    """POST /actions."""

    sender: Annotated[str, AGENT, _WHO]
    title: Annotated[str, _line(MAX_TITLE), "what is to be done, on one line"]
    assignee: Annotated[str | None, ASSIGNEE, "who does it: a name or a role"] = None
    priority: Annotated[str | None, _PRIORITY] = None
    due: Annotated[str | None, DUE, "a day, or a time with its zone"] = None
    body: Annotated[str | None, BODY, "more about it"] = None
    brief: Annotated[str | int | None, REFERENCE, "a message: in the thread of that"] = None
    to: Annotated[list[str] | None, NAMES, "who else is told, and sees it"] = None
    client_id: Annotated[str | None, KEY] = None

    @classmethod
    def schema(cls) -> Json:
        """Return what OpenAPI says of it, without the name that may be left out."""
        return {**object_schema(cls), "required": ["title"]}


@dataclass(frozen=True, kw_only=True)
class Change(Shape):
    """PATCH /actions/<ref>. In the struct, what is null in the request is an empty text."""

    sender: Annotated[str, AGENT, _WHO]
    status: Annotated[str | None, _STATUS] = None
    assignee: Annotated[str | None, _or_null(ASSIGNEE), "null: nobody"] = None
    priority: Annotated[str | None, _PRIORITY] = None
    due: Annotated[str | None, _or_null(DUE), "null: no longer"] = None
    title: Annotated[str | None, _line(MAX_TITLE)] = None
    waiting_on: Annotated[
        str | None, _or_null(_line(MAX_WAITING_ON)), "whom or what it waits for: it is `waiting`"
    ] = None
    note: Annotated[str | None, _line(MAX_NOTE), "why; it is kept, and told"] = None

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Self:
        found = super().read(given)
        if not set(given) - {"from"}:
            raise MissingField("Nothing is to be changed.", hint="Give a field.", field="status")
        return found

    def wanted(self) -> dict[str, Any]:
        """Return what is to be so: None for what is taken away."""
        said = {name: value for name, value in self.as_dict().items() if name not in _NO_STATE}
        found = {name: value or None for name, value in said.items()}
        if found.get("waiting_on") is not None:
            found.setdefault("status", "waiting")
        return found

    @classmethod
    def schema(cls) -> Json:
        """Return what OpenAPI says of it, without the name that may be left out."""
        any_of = [{"required": [name]} for name in cls.names() if name != "from"]
        return {**object_schema(cls), "required": [], "anyOf": any_of}


_NO_STATE = ("from", "note")


@dataclass(frozen=True, kw_only=True)
class Claim(Shape):
    """POST /actions/<ref>/claim."""

    sender: Annotated[str, AGENT, _WHO]

    @classmethod
    def schema(cls) -> Json:
        """Return what OpenAPI says of it, without the name that may be left out."""
        return {**object_schema(cls), "required": []}


@dataclass(frozen=True, kw_only=True)
class ActionsQuery(Format):
    """GET /actions: the newest first."""

    status: Annotated[
        tuple[str, ...] | None, _STATUSES, "with commas, or `all`; left out: what is not closed"
    ] = None
    assignee: Annotated[str | None, ASSIGNEE, "whose: its roles' and machine's too"] = None
    asked_by: Annotated[str | None, AGENT, "only what this name has asked for"] = None
    unassigned: Annotated[int, ZERO_OR_ONE, "1: only those that nobody has"] = 0
    priority: Annotated[str | None, _PRIORITY, "only those"] = None
    overdue: Annotated[int, ZERO_OR_ONE, "1: only what is past its `due`"] = 0
    stale_h: Annotated[
        float | None,
        number(0, MAX_STALE_H, f"Hours, 0 to {MAX_STALE_H}."),
        "only what has had no news for so many hours",
    ] = None
    thread: Annotated[str | None, THREAD, "only those of this thread"] = None
    before: Annotated[int | None, whole(1, MAX_NUMBER), "numbers below: for the next page"] = None
    limit: Annotated[int, whole(1, MAX_LIMIT), "actions"] = 100


class ActionChange(TypedDict):
    """What somebody has changed of an action."""

    who: Annotated[str, "`bus` where the hub did"]
    time: Time
    set: Annotated[dict[str, Any], "null: taken away"]
    note: NotRequired[str]


class Action(TypedDict):
    """An action as callers see it."""

    number: int
    title: str
    status: Annotated[str, Says(enum=list(STATUSES))]
    priority: Annotated[str, Says(enum=list(PRIORITIES))]
    assignee: Annotated[str | None, "a name or a role; null: nobody has it"]
    asked_by: str
    brief: Annotated[str, "the id of the message that asks for it"]
    thread: str
    due: NotRequired[str]
    overdue: NotRequired[Literal[True]]
    waiting_on: NotRequired[str]
    made: Time
    changed: Time
    history: NotRequired[list[ActionChange]]


class OneAction(TypedDict):
    """One action."""

    ok: Literal[True]
    action: Action
    replayed: NotRequired[Annotated[bool, "it was so before"]]


class Actions(TypedDict):
    """Actions, the newest first."""

    ok: Literal[True]
    actions: list[Action]
    has_more: bool
    next: Annotated[Count | None, "`before` of the next page"]


def about(action: Mapping[str, Any]) -> str:
    """Return the facts of an action on one line, without its number and title."""
    words = [action["status"]]
    if action["priority"] != "normal":
        words.append(action["priority"].upper())
    words.append(action["assignee"] or "nobody")
    if "due" in action:
        words.append(f"due {action['due']}{' OVERDUE' if 'overdue' in action else ''}")
    if "waiting_on" in action:
        words.append(f"waiting on {action['waiting_on']}")
    return " ".join(words)
