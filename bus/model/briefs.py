"""Briefs: messages with a title and front matter. POST /briefs and GET /briefs. No I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, NotRequired, Self, TypedDict

from bus.errors import BadField, BusError, MissingField
from bus.model import todo
from bus.model.actions import Action
from bus.model.answer import Count
from bus.model.brief_mark import AS_MESSAGE, MAX_TITLE, PRIORITIES, first_line
from bus.model.checks import shown
from bus.model.due import DATE, DUE
from bus.model.filter import MAX_LIMIT, MessagesQuery, Selection, SeqOf, recipients
from bus.model.front_matter import MAX_DEPTH, MAX_FRONT, MAX_KEY, joined
from bus.model.kinds import (
    AGENT,
    KEY,
    REFERENCE,
    REFERENCE_TEXT,
    TAG,
    THREAD,
    Format,
    choice,
    flag,
    one_of,
    whole,
)
from bus.model.messages import BODY, TAGS, Message
from bus.model.records import EVERYBODY
from bus.model.shape import Json, Kind, Shape, object_schema
from bus.model.signatures import SIGNATURE
from bus.model.written_names import NAME, NAMES

MAX_ACTION = 500
FRONT = (
    *("title", "date", "from", "to", "cc", "action", "priority", "due"),
    *("thread", "in_reply_to", "tags", "signature"),
)
_LEFT_OUT = ("", "~", "null")  # of a key that is known: a template that was not filled in


def _title(value: Any, field: str) -> str:
    text = value.strip() if isinstance(value, str) else ""
    if not 1 <= len(text) <= MAX_TITLE or any(ord(char) < 32 or char == "\x7f" for char in text):
        rule = f"One line of 1 to {MAX_TITLE} characters."
        raise BadField(f"`{field}` is {shown(value)}.", hint=rule, field=field)
    return text


def _action(value: Any, field: str) -> str | list[str]:
    items = value if isinstance(value, list) else [value]
    if not 1 <= len(items) <= todo.MAX_ACTIONS:
        rule = f"1 to {todo.MAX_ACTIONS} texts."
        raise BadField(f"`{field}` lists {len(items)}.", hint=rule, field=field)
    for item in items:
        if not isinstance(item, str) or not item.strip() or len(item) > MAX_ACTION:
            rule = f"A text of 1 to {MAX_ACTION} characters, or a list of such."
            raise BadField(f"`{field}` is {shown(item)}.", hint=rule, field=field)
    return value  # type: ignore[no-any-return]


def _tags(value: Any, field: str) -> list[str]:
    """Return the tags of a list, or of a text with commas."""
    if isinstance(value, str):
        value = [tag.strip() for tag in value.split(",")]
    found: list[str] = TAGS.check(value, field)
    return found


def _extra(value: Any, field: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadField(f"`{field}` is {shown(value)}.", hint="An object.", field=field)
    for key in value:
        if key in FRONT or len(key) > MAX_KEY:
            hint = f"At most {MAX_KEY} characters, and none of {', '.join(FRONT)}."
            raise BadField(f"`{field}` has the key {key[:64]!r}.", hint=hint, field=field)
    found = {key: _texts(item, field, 1) for key, item in value.items()}
    if len(joined(found, "").encode()) > MAX_FRONT:
        raise BadField(
            f"`{field}` is too long.", hint=f"At most {MAX_FRONT} bytes as YAML.", field=field
        )
    return found


def _texts(value: Any, field: str, depth: int) -> Any:
    """Return a value of which every scalar is a text, as front matter has them."""
    if depth > MAX_DEPTH:
        raise BadField(f"`{field}` is more than {MAX_DEPTH} levels deep.", field=field)
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return {key: _texts(item, field, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_texts(item, field, depth + 1) for item in value]
    return json.dumps(value)


_PLAIN: Json = {"type": ["string", "boolean", "null"]}
_EXTRA: Json = {
    "type": "object",
    "description": f"any JSON of at most {MAX_FRONT // 1024} KiB; a number is kept as its text",
    "additionalProperties": {
        "anyOf": [
            _PLAIN,
            {"type": "number", "minimum": -(2**53), "maximum": 2**53},
            {"type": "array", "items": _PLAIN},
            {"type": "object", "additionalProperties": _PLAIN},
        ]
    },
}
_TAGS: Json = {"oneOf": [TAG.schema, TAGS.schema]}
_TITLE: Json = {"type": "string", "minLength": 1, "maxLength": MAX_TITLE, "format": "bus-label"}
_LINE: Json = {**_TITLE, "maxLength": MAX_ACTION}
_ACTION: Json = {
    "oneOf": [
        _LINE,
        {"type": "array", "items": _LINE, "minItems": 1, "maxItems": todo.MAX_ACTIONS},
    ]
}
_FROM = "left out: the caller. Required of the shared user"


@dataclass(frozen=True, kw_only=True)
class Brief(Shape):
    """POST /briefs: a brief that is not posted yet, its names as they were written."""

    sender: Annotated[str, NAME, _FROM]
    to: Annotated[list[str] | None, NAMES, "everybody, if left out"] = None
    cc: Annotated[list[str] | None, NAMES, "recipients too; nobody's action"] = None
    title: Annotated[str | None, Kind(_title, _TITLE), "left out: the first line"] = None
    date: Annotated[str | None, DATE, "what the author says"] = None
    action: Annotated[str | list[str] | None, Kind(_action, _ACTION), "what is to be done"] = None
    priority: Annotated[str | None, one_of(PRIORITIES), "of the brief and its actions"] = None
    due: Annotated[str | None, DUE, "of its actions"] = None
    thread: Annotated[str | None, THREAD] = None
    in_reply_to: Annotated[str | int | None, REFERENCE] = None
    tags: Annotated[list[str] | None, Kind(_tags, _TAGS)] = None
    signature: Annotated[str | None, SIGNATURE, "left out: that of `from`"] = None
    extra: Annotated[dict[str, Any] | None, Kind(_extra, _EXTRA), "other front matter"] = None
    body: Annotated[str, BODY, "markdown; kept byte for byte"]
    client_id: Annotated[str | None, KEY] = None
    strict: Annotated[bool | None, flag("true or false."), "refuse unknown names in `to`"] = None

    @classmethod
    def of_markdown(cls, fields: Mapping[str, Any], body: str) -> dict[str, Any]:
        """Return the fields of a brief from its front matter and the text behind it."""
        if body == "":
            raise MissingField(
                "There is no text behind the front matter.",
                hint="Say something, if only the title again.",
                field="body",
            )
        known = {name: value for name, value in fields.items() if name in FRONT}
        given = {
            name: value
            for name, value in known.items()
            if value not in _LEFT_OUT or (name == "signature" and value == "")
        }
        extra = {name: value for name, value in fields.items() if name not in FRONT}
        return {**given, **({"extra": extra} if extra else {}), "body": body}

    @classmethod
    def read_at(cls, given: Mapping[str, Any], lines: Mapping[str, int]) -> Self:
        """Return the struct as `read` does; what is wrong names its line, where it has one."""
        try:
            return cls.read(given)
        except BusError as error:
            raise at_line(error, lines) from None

    def draft(self) -> dict[str, Any]:
        """Return the fields of the message besides `from` and `to`."""
        names = ("thread", "in_reply_to", "tags", "body", "client_id", "strict")
        said = {name: value for name, value in self.as_dict().items() if name in names}
        if self.priority is not None:
            said["priority"] = AS_MESSAGE.get(self.priority, self.priority)
        return said

    def front(self) -> dict[str, Any]:
        """Return what the message says of the brief, besides its actions and who has a copy."""
        names = ("date", "action", "priority", "due", "signature", "extra")
        said = {name: value for name, value in self.as_dict().items() if name in names}
        return {"title": self.title or first_line(self.body), **said}

    @classmethod
    def schema(cls) -> Json:
        """Return what OpenAPI says of it: `from` may be left out by all whose credential has a name
        of its own.
        """
        return {**object_schema(cls), "required": ["body"]}


def at_line(error: BusError, lines: Mapping[str, int]) -> BusError:
    """Return an error about a field that names the line of that field, where it has one."""
    line = lines.get(str(error.details.get("field", "")))
    if line is not None:
        error.message = f"Line {line}: {error.message}"
        error.details["line"] = line
    return error


def markdown(message: Mapping[str, Any]) -> str:
    """Return a brief with its front matter; the text behind that is as it came."""
    brief = message["brief"]
    cc = brief.get("cc", [])
    to = [name for name in recipients(message) if name not in cc]
    facts = {
        **{"date": message["ts"], **brief},
        "from": message["from"],
        "to": "all" if EVERYBODY in to else _one_or_all(to),
        **{name: message[name] for name in ("thread", "in_reply_to") if name in message},
        **({"tags": message["tags"]} if message["tags"] else {}),
    }
    front = {name: facts[name] for name in FRONT if name in facts}
    return joined({**front, **brief.get("extra", {})}, message["body"])


def _one_or_all(names: list[str]) -> str | list[str]:
    return names[0] if len(names) == 1 else names


@dataclass(frozen=True, kw_only=True)
class BriefQuery(Shape):
    """GET /briefs/<ref>."""

    reader: Annotated[str | None, AGENT, "whose star is shown; left out: the caller's"] = None
    format: Annotated[str | None, choice(("json", "markdown", "text")), "instead of Accept"] = None


@dataclass(frozen=True, kw_only=True)
class BriefsQuery(MessagesQuery):
    """GET /briefs: as GET /messages, briefs only."""

    def selection(self, seq_of: SeqOf) -> Selection:
        return replace(super().selection(seq_of), briefs=True)


@dataclass(frozen=True, kw_only=True)
class ThreadQuery(Format):
    """GET /thread/<ref>: the thread of a message."""

    since: Annotated[str | int | None, REFERENCE_TEXT, "after this id or seq"] = None
    limit: Annotated[int, whole(1, MAX_LIMIT), "at most so many"] = 100


class PostedBrief(Message):
    """The answer to a brief: its message, and what became of the names in it."""

    actions: NotRequired[Annotated[list[Action], "what it asks to be done"]]
    read_as: NotRequired[Annotated[dict[str, str], "a name as it was written: who is meant"]]


class Thread(TypedDict):
    """The messages of a thread, oldest first."""

    ok: Literal[True]
    thread: str
    messages: list[Message]
    has_more: bool
    next: Annotated[Count | None, "`since` of the next page"]
