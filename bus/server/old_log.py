"""A line of the log of a simpler bus, read as a message with its readers. Pure.

    {"id":"m-17","ts":"2025-03-01T12:00:00Z","from":"ann","to":"bob","body":"hello","tags":["a"],"acks":["bob"]}

`id`, `ts`, `from` and `body` are needed. `to` is a name, a list or a text with commas; without it,
everybody. `ts` is ISO 8601 (UTC where it names no zone), or seconds or milliseconds since 1970.
`acks` is a list of readers, or of objects with a `reader`, or an object with readers as its keys.
`in_reply_to`, `thread`, `priority` and `data` are kept where they are good.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bus.errors import BadField, BusError, MissingField
from bus.model import checks
from bus.model.kinds import THREAD
from bus.model.messages import DATA, PRIORITY, Draft
from bus.model.records import utc
from bus.model.strict_json import load_object

MAX_LINE = 1 << 20

_FIELDS = frozenset(
    ("id", "ts", "from", "to", "body", "tags", "acks", "in_reply_to", "thread", "priority", "data")
)
_OWN = frozenset(
    ("kind", "seq", "sum", "auth", "verified", "digest")
)  # of an export of this bus: nothing is lost with them
_MS_FROM = 1e11  # in seconds this is the year 5138
_EVERYBODY = ("*", "everybody", "everyone")


@dataclass
class OldLine:
    """What a line says: a draft without its id and parent, those as the old bus wrote them, and who
    had read it.

    `notes` say what was left out, `unknown` which fields this bus has no place for.
    """

    draft: dict[str, Any]
    old_id: str
    parent: str | None = None
    readers: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def read(data: bytes) -> OldLine:
    """Return the line in these bytes; raises a BusError that says why it is not a message."""
    given = load_object(data, "The line")
    if given.get("kind", "message") != "message":
        raise BadField(f"It is a record of kind {given['kind']!r}, not a message.", field="kind")
    draft = Draft.read(
        {
            "from": given.get("from"),
            "body": given.get("body"),
            "to": _to(given),
            "tags": _tags(given),
        }
    )
    line = OldLine({**draft.as_dict(), "ts": _ts(given.get("ts"))}, _id(given.get("id")))
    _add_extras(line, given)
    _add_readers(line, given.get("acks"))
    line.unknown = sorted(set(given) - _FIELDS - _OWN)
    return line


def _id(value: Any) -> str:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if text is None:
        raise MissingField("`id` is missing.", field="id")
    if not isinstance(text, str) or checks.OLD_ID.fullmatch(text) is None:
        raise BadField(
            f"`id` is {json.dumps(value)[:80]}, which nobody could cite: an id is 1 to 128 letters,"
            " digits and ._:@+=~- and begins with a letter or digit.",
            field="id",
        )
    return text


def _ts(value: Any) -> str:
    if value is None:
        raise MissingField("`ts` is missing.", field="ts")
    try:
        if isinstance(value, str) and re.fullmatch(r"\d+(\.\d+)?", value) is None:
            when = datetime.fromisoformat(value.strip())
            return utc((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp())
        seconds = float(value)
        return utc(seconds / 1000 if abs(seconds) >= _MS_FROM else seconds)
    except (TypeError, ValueError, OverflowError, OSError):
        raise BadField(
            f"`ts` is {json.dumps(value)[:80]}, which is not a time.", field="ts"
        ) from None


def _to(given: Mapping[str, Any]) -> Any:
    to = given.get("to")
    if isinstance(to, str) and "," in to:
        return [name.strip() for name in to.split(",") if name.strip()]
    return "any" if to is None or to == "" or to in _EVERYBODY else to


def _tags(given: Mapping[str, Any]) -> Any:
    tags = given.get("tags")
    if isinstance(tags, str):
        return [tag.strip() for tag in tags.split(",") if tag.strip()]
    return [] if tags is None else tags


def _add_extras(line: OldLine, given: Mapping[str, Any]) -> None:
    """Add what a line may have besides; what is not good is left out, and noted."""
    asis = {"thread": THREAD, "priority": PRIORITY, "data": DATA}
    for name, kind in asis.items():
        if given.get(name) is not None:
            try:
                line.draft[name] = kind.check(given[name], name)
            except BusError as error:
                line.notes.append(f"{error.message} It was left out.")
    if given.get("in_reply_to") is not None:
        line.parent = str(given["in_reply_to"])[:128]


def _add_readers(line: OldLine, acks: Any) -> None:
    if isinstance(acks, dict):
        acks = list(acks)
    if not isinstance(acks, list):
        if acks is not None:
            line.notes.append("`acks` is not a list of readers. It was left out.")
        return
    for ack in acks:
        try:
            name = checks.agent(ack.get("reader") if isinstance(ack, dict) else ack, "acks")
        except BusError as error:
            line.notes.append(f"{error.message} It was left out.")
            continue
        if name not in line.readers:
            line.readers.append(name)
