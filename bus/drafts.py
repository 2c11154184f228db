"""What a caller may put into a message: every field checked, nothing guessed. Pure.

| field           | form                                                                    |
|-----------------|-------------------------------------------------------------------------|
| `from`          | a name                                                                  |
| `to`            | a name, a list of up to 64 names, or `any` (`all` is the same): default |
| `body`          | 1 byte to 64 KiB of UTF-8                                               |
| `tags`          | up to 16 strings of 1-64 characters, no comma, no control character     |
| `in_reply_to`   | id or seq of a message                                                  |
| `thread`        | 1-128 characters                                                        |
| `priority`      | `fyi`, `normal` (default) or `urgent`                                   |
| `data`          | a JSON object of at most 8 KiB                                          |
| `expires_in_s`  | a number, 1 to 31,622,400 (366 days)                                    |
| `client_id`     | the idempotency key: 1-255 printable ASCII characters                   |
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from hashlib import sha256
from math import isnan
from typing import Any

from bus.errors import BadField, BadJson, MissingField, TooLarge, UnknownField
from bus.records import EVERYBODY, NAME
from bus.strictjson import check_text, load_object

FIELDS = ("from", "to", "body", "tags", "in_reply_to", "thread", "priority", "data", "expires_in_s", "client_id")
PRIORITIES = ("fyi", "normal", "urgent")
MAX_BODY, MAX_DATA = 64 * 1024, 8 * 1024
MAX_TAGS, MAX_RECIPIENTS, MAX_BATCH = 16, 64, 1_000
MAX_SEQ = 10**18
MAX_EXPIRY_S = 366 * 24 * 3600
# An id that a message had in a bus that it was imported from.
OLD_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+=~-]{0,127}")
_NAME_RULE = "1 to 64 letters, digits, dots, underscores or hyphens, the first a letter or digit; /session may follow"
_EVERYBODY_TOO = ("all", EVERYBODY)


def check_fields(given: Iterable[str], allowed: Iterable[str], what: str = "field") -> None:
    """Refuse a name that is not among those allowed, with the nearest that is; raises UnknownField."""
    allowed = tuple(allowed)
    for name in given:
        if name not in allowed:
            near = get_close_matches(name[:64], allowed, 1)
            meant = f"Did you mean `{near[0]}`? " if near else ""
            raise UnknownField(
                f"There is no {what} {name[:64]!r} here.", hint=f"{meant}Allowed: {', '.join(allowed)}.", field=name[:64]
            )


def message(given: Mapping[str, Any]) -> dict[str, Any]:
    """The checked fields of one message, defaults filled in; raises a BadRequest or TooLarge."""
    check_fields(given, FIELDS)
    for field in ("from", "to", "body"):
        if field in given and given[field] is None:
            raise BadField(f"`{field}` is null.", hint="Give a value, or leave the field out.", field=field)
    clean: dict[str, Any] = {
        "from": agent(given.get("from"), "from"),
        "to": addressees(given.get("to", EVERYBODY)),
        "body": body(given.get("body")),
        "tags": tags(given.get("tags", [])),
        "priority": priority(given.get("priority", "normal")),
    }
    if "in_reply_to" in given:
        clean["in_reply_to"] = reference(given["in_reply_to"], "in_reply_to")
    if "thread" in given:
        clean["thread"] = label(given["thread"], "thread", 128)
    if "data" in given:
        clean["data"] = data(given["data"])
    if "expires_in_s" in given:
        clean["expires_in_s"] = expiry(given["expires_in_s"])
    if "client_id" in given:
        clean["client_id"] = key(given["client_id"], "client_id")
    return clean


def digest(clean: Mapping[str, Any]) -> str:
    """What tells a repeated message from another one under the same idempotency key."""
    content = {field: value for field, value in clean.items() if field != "client_id"}
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def name(value: Any, field: str) -> str:
    """An agent's name; raises BadField or MissingField."""
    if value is None:
        raise MissingField(f"`{field}` is missing.", hint=f"Give a name: {_NAME_RULE}.", field=field)
    if not isinstance(value, str) or NAME.fullmatch(value) is None:
        raise BadField(f"`{field}` is {_shown(value)}, which is no name.", hint=f"A name is {_NAME_RULE}.", field=field)
    if value not in _EVERYBODY_TOO and value.partition("/")[0].lower() in _EVERYBODY_TOO:
        raise BadField(f"`{field}` is {_shown(value)}, which looks like everybody and is not.", hint="Write `any`.", field=field)
    return value


def agent(value: Any, field: str) -> str:
    """The name of one agent; `any` and `all` are nobody's."""
    who = name(value, field)
    if who in _EVERYBODY_TOO:
        raise BadField(f"`{field}` is {who!r}, which stands for everybody.", hint="Give one agent's name.", field=field)
    return who


def addressees(value: Any) -> str | list[str]:
    """The recipients: `any`, one name, or several different ones."""
    if not isinstance(value, list):
        who = name(value, "to")
        return EVERYBODY if who in _EVERYBODY_TOO else who
    if not 1 <= len(value) <= MAX_RECIPIENTS:
        raise BadField(f"`to` lists {len(value)} names.", hint=f"1 to {MAX_RECIPIENTS} are allowed.", field="to")
    names = list(dict.fromkeys(name(item, "to") for item in value))
    if len(names) == 1:
        return addressees(names[0])
    if any(who in _EVERYBODY_TOO for who in names):
        raise BadField("`to` lists everybody and names besides.", hint="Give `any` alone, or names.", field="to")
    return names


def body(value: Any) -> str:
    """The text of a message; raises TooLarge with both sizes."""
    if value is None:
        raise MissingField("`body` is missing.", hint="Give the text of the message.", field="body")
    if not isinstance(value, str):
        raise BadField(f"`body` is {_shown(value)}, not text.", hint="Structured content goes into `data`.", field="body")
    if value == "":
        raise BadField("`body` is empty.", hint="Give at least one character.", field="body")
    size = len(value) if value.isascii() else len(value.encode())
    if size > MAX_BODY:
        raise TooLarge(f"`body` is {size} bytes; at most {MAX_BODY} are allowed.", size=size, limit=MAX_BODY)
    return value


def text_body(data: bytes) -> str:
    """The body of a message that came as raw bytes; raises BadJson when it is not clean UTF-8."""
    if len(data) > MAX_BODY:
        raise TooLarge(f"The text is {len(data)} bytes; at most {MAX_BODY} are allowed.", size=len(data), limit=MAX_BODY)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadJson(f"The text is not UTF-8: byte {error.start} is {data[error.start]:#04x}.") from None
    check_text(text, "The text")
    return text


def tags(value: Any) -> list[str]:
    """The tags, each once."""
    if not isinstance(value, list):
        raise BadField(f"`tags` is {_shown(value)}, not a list.", hint='For example "tags":["build","ok"].', field="tags")
    if len(value) > MAX_TAGS:
        raise BadField(f"There are {len(value)} tags; at most {MAX_TAGS} are allowed.", field="tags")
    return list(dict.fromkeys(label(item, "tags", 64, forbidden=",") for item in value))


def label(value: Any, field: str, longest: int, forbidden: str = "") -> str:
    """A short printable text without space around it."""
    if (
        not isinstance(value, str)
        or not 1 <= len(value) <= longest
        or value != value.strip()
        or not value.isprintable()
        or any(char in value for char in forbidden)
    ):
        rule = f"1 to {longest} printable characters, no space around them" + (", no comma" if forbidden else "")
        raise BadField(f"`{field}` holds {_shown(value)}.", hint=f"It takes {rule}.", field=field)
    return value


def reference(value: Any, field: str) -> str | int:
    """The id or seq of a record, not looked up yet: a seq as a number, an id in capitals, an `OldId` for what is neither."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < MAX_SEQ and value == int(value):
        return int(value)
    if isinstance(value, str) and value.isascii():
        if value.isdigit() and len(value) < len(str(MAX_SEQ)):
            return int(value)
        if len(value) == 26 and value.isalnum():
            return value.upper()
        if OLD_ID.fullmatch(value):
            return OldId(value, field)
    raise _no_reference(value, field)


class OldId(str):
    """What can only be an id of before an import. Where there is no such message, it is a mistake like any other: `refusal`."""

    def __new__(cls, value: str, field: str) -> OldId:
        made = super().__new__(cls, value)
        made.field = field
        return made

    field: str

    def refusal(self) -> BadField:
        return _no_reference(str(self), self.field)


def _no_reference(value: Any, field: str) -> BadField:
    return BadField(f"`{field}` is {_shown(value)}.", hint="Give a message's id (26 letters and digits) or seq.", field=field)


def old_key(old_id: str) -> str:
    """By what a message with this id in another bus is found: `old:17` for a number, which could be taken for a seq."""
    if old_id.isdigit() and len(old_id) < len(str(MAX_SEQ)):
        return f"old:{old_id}"
    return old_id.upper() if len(old_id) == 26 and old_id.isalnum() else old_id


def key(value: Any, field: str) -> str:
    """An idempotency key; quotes around it, as the IETF draft's structured field has them, are taken off."""
    if isinstance(value, str) and len(value) > 2 and value[0] == value[-1] == '"':
        value = value[1:-1]
    if not isinstance(value, str) or not 1 <= len(value) <= 255 or not (value.isascii() and value.isprintable()):
        raise BadField(f"`{field}` is {_shown(value)}.", hint="A key is 1 to 255 printable ASCII characters.", field=field)
    return value


def from_texts(given: Mapping[str, str]) -> dict[str, Any]:
    """The fields of a message that came as texts, in a query or a form: lists split, numbers and JSON read."""
    fields: dict[str, Any] = dict(given)
    if "tags" in fields:
        fields["tags"] = [tag.strip() for tag in given["tags"].split(",") if tag.strip()]
    if "," in fields.get("to", ""):
        fields["to"] = [who.strip() for who in given["to"].split(",")]
    if "expires_in_s" in fields:
        fields["expires_in_s"] = number(given["expires_in_s"], "expires_in_s")
    if "data" in fields:
        fields["data"] = load_object(given["data"].encode(), "`data`")
    return fields


def number(text: str, field: str) -> float:
    """A plain number in a query or form; raises BadField."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if isnan(value) or not text.isascii() or "_" in text:
        raise BadField(f"`{field}` is {_shown(text)}, not a number.", field=field)
    return int(value) if value == value // 1 and abs(value) < 2**53 else value


def priority(value: Any) -> str:
    """One of PRIORITIES."""
    if value not in PRIORITIES or not isinstance(value, str):
        raise BadField(f"`priority` is {_shown(value)}.", hint=f"One of {', '.join(PRIORITIES)}.", field="priority")
    return value


def data(value: Any) -> dict[str, Any]:
    """The structured part of a message; raises TooLarge with both sizes."""
    if not isinstance(value, dict):
        raise BadField(f"`data` is {_shown(value)}, not an object.", field="data")
    size = len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
    if size > MAX_DATA:
        raise TooLarge(f"`data` is {size} bytes; at most {MAX_DATA} are allowed.", size=size, limit=MAX_DATA)
    return value


def expiry(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 1 <= value <= MAX_EXPIRY_S:
        raise BadField(
            f"`expires_in_s` is {_shown(value)}.", hint=f"A number of seconds from 1 to {MAX_EXPIRY_S}.", field="expires_in_s"
        )
    return value


def _shown(value: Any) -> str:
    """A value in an error message: short, and harmless in a terminal."""
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "…"
