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
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from bus.errors import BadField, BadJson, MissingField, TooLarge
from bus.model.checks import (
    EVERYBODY_TOO,
    agent,
    check_fields,
    expiry,
    key,
    label,
    name,
    number,
    reference,
    shown,
)
from bus.model.records import EVERYBODY
from bus.model.strict_json import check_text, load_object

FIELDS = (
    "from",
    "to",
    "body",
    "tags",
    "in_reply_to",
    "thread",
    "priority",
    "data",
    "expires_in_s",
    "client_id",
)
PRIORITIES = ("fyi", "normal", "urgent")
MAX_BODY, MAX_DATA = 64 * 1024, 8 * 1024
MAX_TAGS, MAX_RECIPIENTS, MAX_BATCH = 16, 64, 1_000


def message(given: Mapping[str, Any]) -> dict[str, Any]:
    """The checked fields of one message, defaults filled in; raises a BadRequest or TooLarge."""
    check_fields(given, FIELDS)
    for field in ("from", "to", "body"):
        if field in given and given[field] is None:
            raise BadField(
                f"`{field}` is null.", hint="Give a value, or leave the field out.", field=field
            )
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
        clean["expires_in_s"] = expiry(given["expires_in_s"], "expires_in_s")
    if "client_id" in given:
        clean["client_id"] = key(given["client_id"], "client_id")
    return clean


def digest(clean: Mapping[str, Any]) -> str:
    """What tells a repeated message from another one under the same idempotency key."""
    content = {field: value for field, value in clean.items() if field != "client_id"}
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def addressees(value: Any) -> str | list[str]:
    """The recipients: `any`, one name, or several different ones."""
    if not isinstance(value, list):
        who = name(value, "to")
        return EVERYBODY if who in EVERYBODY_TOO else who
    if not 1 <= len(value) <= MAX_RECIPIENTS:
        raise BadField(
            f"`to` lists {len(value)} names.",
            hint=f"1 to {MAX_RECIPIENTS} are allowed.",
            field="to",
        )
    names = list(dict.fromkeys(name(item, "to") for item in value))
    if len(names) == 1:
        return addressees(names[0])
    if any(who in EVERYBODY_TOO for who in names):
        raise BadField(
            "`to` lists everybody and names besides.",
            hint="Give `any` alone, or names.",
            field="to",
        )
    return names


def body(value: Any) -> str:
    """The text of a message; raises TooLarge with both sizes."""
    if value is None:
        raise MissingField("`body` is missing.", hint="Give the text of the message.", field="body")
    if not isinstance(value, str):
        raise BadField(
            f"`body` is {shown(value)}, not text.",
            hint="Structured content goes into `data`.",
            field="body",
        )
    if value == "":
        raise BadField("`body` is empty.", hint="Give at least one character.", field="body")
    size = len(value) if value.isascii() else len(value.encode())
    if size > MAX_BODY:
        raise TooLarge(
            f"`body` is {size} bytes; at most {MAX_BODY} are allowed.", size=size, limit=MAX_BODY
        )
    return value


def text_body(data: bytes) -> str:
    """The body of a message that came as raw bytes; raises BadJson when it is not clean UTF-8."""
    if len(data) > MAX_BODY:
        raise TooLarge(
            f"The text is {len(data)} bytes; at most {MAX_BODY} are allowed.",
            size=len(data),
            limit=MAX_BODY,
        )
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadJson(
            f"The text is not UTF-8: byte {error.start} is {data[error.start]:#04x}."
        ) from None
    check_text(text, "The text")
    return text


def tags(value: Any) -> list[str]:
    """The tags, each once."""
    if not isinstance(value, list):
        raise BadField(
            f"`tags` is {shown(value)}, not a list.",
            hint='For example "tags":["build","ok"].',
            field="tags",
        )
    if len(value) > MAX_TAGS:
        raise BadField(
            f"There are {len(value)} tags; at most {MAX_TAGS} are allowed.", field="tags"
        )
    return list(dict.fromkeys(label(item, "tags", 64, forbidden=",") for item in value))


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


def priority(value: Any) -> str:
    """One of PRIORITIES."""
    if value not in PRIORITIES or not isinstance(value, str):
        raise BadField(
            f"`priority` is {shown(value)}.",
            hint=f"One of {', '.join(PRIORITIES)}.",
            field="priority",
        )
    return value


def data(value: Any) -> dict[str, Any]:
    """The structured part of a message; raises TooLarge with both sizes."""
    if not isinstance(value, dict):
        raise BadField(f"`data` is {shown(value)}, not an object.", field="data")
    size = len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
    if size > MAX_DATA:
        raise TooLarge(
            f"`data` is {size} bytes; at most {MAX_DATA} are allowed.", size=size, limit=MAX_DATA
        )
    return value
