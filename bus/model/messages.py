"""What a caller may put into a message: every field checked, nothing guessed. Pure.

| field           | form                                                                    |
|-----------------|-------------------------------------------------------------------------|
| `from`          | a name                                                                  |
| `to`            | a name, a topic (`topic:x`, `#x`), a role (`role:x`), a list of up to   |
|                 | 64 of them, or `any` (`all` is the same): default                       |
| `body`          | 1 byte to 64 KiB of UTF-8                                               |
| `tags`          | up to 16 strings of 1-64 characters, no comma, no control character     |
| `in_reply_to`   | id or seq of a message                                                  |
| `thread`        | 1-128 characters                                                        |
| `priority`      | `fyi`, `normal` (default) or `urgent`                                   |
| `data`          | a JSON object of at most 8 KiB                                          |
| `expires_in_s`  | a number, 1 to 31,622,400 (366 days)                                    |
| `ack_by`        | seconds, or a time with its zone                                        |
| `supersedes`    | id or seq of an older message of the sender's                           |
| `client_id`     | the idempotency key: 1-255 printable ASCII characters                   |
| `forward`       | id or seq of a message that this one passes on                          |
| `strict`        | true or false: refuse unknown recipients; no part of the message        |
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Annotated, Any, NotRequired, Self, TypedDict

from bus.errors import BadField, BadJson, MissingField, TooLarge
from bus.model.action_mark import ActionMark
from bus.model.answer import Count, From, Says, Time
from bus.model.asked import AnswerMark, Asked
from bus.model.attached import Attachment
from bus.model.brief_mark import BriefMark
from bus.model.caller import TRUSTS
from bus.model.checks import EVERYBODY_TOO, check_fields, label, name, number, shown
from bus.model.cited import Cited
from bus.model.deadlines import ACK_BY, ack_by_text
from bus.model.delivery import Recipient, Standing
from bus.model.groups import ROLE, TOPIC, as_recipient, is_group
from bus.model.kinds import (
    AGENT,
    KEY,
    NAME_SCHEMA,
    REFERENCE,
    REFERENCE_TEXT,
    TAG,
    THREAD,
    expiry,
    flag,
)
from bus.model.records import EVERYBODY
from bus.model.shape import Json, Kind, Shape, object_schema, refuse_null
from bus.model.strict_json import check_text, load_object

PRIORITIES = ("fyi", "normal", "urgent")
MAX_BODY, MAX_DATA = 64 * 1024, 8 * 1024
MAX_TAGS, MAX_RECIPIENTS, MAX_GROUPS, MAX_BATCH = 16, 64, 8, 1_000

LONGER = (
    "A longer one goes as a file, of any size: curl -u USER:PASS -T FILE"
    ' "$BUS_URL/files?name=FILE&from=YOU&to=WHO&body=TEXT"'
)
_CLEAN = "Send text in UTF-8, without NUL characters; anything else goes as a file."

_TRUTHS = {"true": True, "1": True, "false": False, "0": False}
_canonical = json.JSONEncoder(sort_keys=True).encode  # `json.dumps` makes an encoder for each call


def _addressee(value: Any, field: str) -> str:
    """Return a name, a topic as `topic:x`, or a role as `role:x`."""
    group = as_recipient(value) if isinstance(value, str) else None
    return name(value, field) if group is None else group


def addressees(value: Any, field: str) -> str | list[str]:
    """Return the recipients: `any`, one name, or several different ones."""
    if not isinstance(value, list):
        who = _addressee(value, field)
        return EVERYBODY if who in EVERYBODY_TOO else who
    if not 1 <= len(value) <= MAX_RECIPIENTS:
        raise BadField(
            f"`to` lists {len(value)} names.",
            hint=f"1 to {MAX_RECIPIENTS} are allowed.",
            field=field,
        )
    names = list(dict.fromkeys(_addressee(item, field) for item in value))
    if len(names) == 1:
        return addressees(names[0], field)
    if sum(map(is_group, names)) > MAX_GROUPS:
        raise BadField(
            f"`to` lists more than {MAX_GROUPS} topics and roles.",
            hint="Post it in parts.",
            field=field,
        )
    if any(who in EVERYBODY_TOO for who in names):
        raise BadField(
            "`to` lists everybody and names besides.",
            hint="Give `any` alone, or names.",
            field=field,
        )
    return names


def _body(value: Any, field: str) -> str:
    """Return the text of a message; raises TooLarge with both sizes."""
    if value is None:
        raise MissingField("`body` is missing.", hint="Give the text of the message.", field=field)
    if not isinstance(value, str):
        raise BadField(
            f"`body` is {shown(value)}, not text.",
            hint="Structured content goes into `data`.",
            field=field,
        )
    if value == "":
        raise BadField("`body` is empty.", hint="Give at least one character.", field=field)
    size = len(value) if value.isascii() else len(value.encode())
    if size > MAX_BODY:
        raise TooLarge(
            f"`body` is {size} bytes; at most {MAX_BODY} are allowed.",
            hint=LONGER,
            size=size,
            limit=MAX_BODY,
        )
    return value


def _tags(value: Any, field: str) -> list[str]:
    """Return the tags, each once."""
    if not isinstance(value, list):
        raise BadField(
            f"`tags` is {shown(value)}, not a list.",
            hint='For example "tags":["build","ok"].',
            field=field,
        )
    if len(value) > MAX_TAGS:
        raise BadField(f"There are {len(value)} tags; at most {MAX_TAGS} are allowed.", field=field)
    return list(dict.fromkeys(label(item, field, 64, forbidden=",") for item in value))


def _priority(value: Any, field: str) -> str:
    """Return one of PRIORITIES."""
    if value not in PRIORITIES or not isinstance(value, str):
        raise BadField(
            f"`priority` is {shown(value)}.",
            hint=f"One of {', '.join(PRIORITIES)}.",
            field=field,
        )
    return value


def _data(value: Any, field: str) -> dict[str, Any]:
    """Return the structured part of a message; raises TooLarge with both sizes."""
    if not isinstance(value, dict):
        raise BadField(f"`data` is {shown(value)}, not an object.", field=field)
    size = len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
    if size > MAX_DATA:
        raise TooLarge(
            f"`data` is {size} bytes; at most {MAX_DATA} are allowed.", size=size, limit=MAX_DATA
        )
    return value


_TOPIC: Json = {"type": "string", "pattern": f"^(topic:|#){TOPIC.pattern}$"}
_ROLE: Json = {"type": "string", "pattern": f"^role:{ROLE.pattern}$"}
GROUPS_AND_NAMES: Json = {"anyOf": [NAME_SCHEMA, _TOPIC, _ROLE]}
_TO_NAME: Json = {"anyOf": [{"enum": ["any", "all"]}, NAME_SCHEMA, _TOPIC, _ROLE]}
_TO_NAMES: Json = {
    "type": "array",
    "items": GROUPS_AND_NAMES,
    "minItems": 1,
    "maxItems": MAX_RECIPIENTS,
}
_TO = Kind(addressees, {"oneOf": [_TO_NAME, _TO_NAMES]})
TO_ONE = Kind(addressees, _TO_NAME)  # of a query
BODY = Kind(_body, {"type": "string", "minLength": 1, "maxLength": MAX_BODY})
TAGS = Kind(_tags, {"type": "array", "items": TAG.schema, "maxItems": MAX_TAGS})
PRIORITY = Kind(_priority, {"enum": list(PRIORITIES)})
DATA = Kind(_data, {"type": "object", "description": f"at most {MAX_DATA // 1024} KiB of JSON"})
_FROM = "left out: the credential's own name. Required of the shared user of an old fleet"
_ACK_BY = "seconds, or a time: unread past it, the sender is told"
_STRICT = "refuse a name in `to` that nobody has"
_SIZE = "at most 65,536 bytes of UTF-8, no NUL"


@dataclass(frozen=True, kw_only=True)
class Draft(Shape):
    """POST /post: a message that is not posted yet, with its defaults filled in."""

    sender: Annotated[str, AGENT, _FROM]
    to: Annotated[str | list[str], _TO] = EVERYBODY
    body: Annotated[str, BODY, _SIZE]
    tags: Annotated[list[str], TAGS] = field(default_factory=list)
    in_reply_to: Annotated[str | int | None, REFERENCE] = None
    thread: Annotated[str | None, THREAD] = None
    priority: Annotated[str, PRIORITY] = "normal"
    data: Annotated[dict[str, Any] | None, DATA] = None
    expires_in_s: Annotated[float | None, expiry()] = None
    ack_by: Annotated[float | str | None, ACK_BY, _ACK_BY] = None
    supersedes: Annotated[str | int | None, REFERENCE, "an older message of yours"] = None
    forward: Annotated[str | int | None, REFERENCE, "the message that this passes on"] = None
    client_id: Annotated[str | None, KEY] = None
    strict: Annotated[bool | None, flag("true or false."), _STRICT] = None

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Self:
        if None in given.values():
            check_fields(given, cls.names())
            refuse_null(given, ("from", "to", "body"))
        return super().read(given)

    def content(self) -> dict[str, Any]:
        """Return the fields of the message, without those that say how to post it."""
        return {name: value for name, value in self.as_dict().items() if name != "strict"}

    @classmethod
    def schema(cls) -> Json:
        """Return what OpenAPI says of it as JSON: `from` may be left out by all whose credential
        has a name of its own.
        """
        return {**object_schema(cls), "required": ["body"]}

    @classmethod
    def form_schema(cls) -> Json:
        """Return what OpenAPI says of it as a form or a query, where everything is text."""
        several = "one name, or several with commas"
        names = {"type": "string", "format": "bus-names", "default": "any", "description": several}
        texts: dict[str, Json] = {
            "to": names,
            "tags": {"type": "string", "format": "bus-tags", "description": "with commas"},
            "in_reply_to": REFERENCE_TEXT.schema,
            "supersedes": REFERENCE_TEXT.schema,
            "forward": REFERENCE_TEXT.schema,
            "data": {"type": "string", "format": "bus-json", "description": "a JSON object"},
            "strict": {"enum": list(_TRUTHS)},
        }
        return {**object_schema(cls, **texts), "required": ["body"]}


class GivenTo(TypedDict):
    """Another session of the machine that has this message to do, and for how many seconds."""

    name: str
    s: Count


class Forwarded(From):
    """The message that another one passes on."""

    id: str
    seq: int
    trust: NotRequired[Annotated[str, Says(enum=list(TRUSTS))]]


class Message(From):
    """A message as callers see it."""

    seq: Annotated[int, Says(minimum=1)]
    id: Annotated[str, Says(pattern="^[0-9A-Z]{26}$")]
    old_id: NotRequired[
        Annotated[str, "its id before it was imported: good as an id, `old:17` if a number"]
    ]
    ts: Time
    to: str | list[str]
    body: str
    tags: list[str]
    priority: Annotated[str, Says(**PRIORITY.schema)]
    in_reply_to: NotRequired[str]
    thread: NotRequired[str]
    data: NotRequired[dict[str, Any]]
    expires: NotRequired[Time]
    ack_by: NotRequired[Annotated[Time, "unread past it, its sender is told"]]
    supersedes: NotRequired[Annotated[str, "the id of the older message that it replaces"]]
    superseded_by: NotRequired[Annotated[str, "the id of the newer message that replaces it"]]
    forwarded: NotRequired[Annotated[Forwarded, "the message that it passes on"]]
    retracted: NotRequired[Annotated[Time, "when its sender took it back"]]
    ask: NotRequired[Annotated[Asked, "of a question: how it can be answered, and how far it is"]]
    answer: NotRequired[Annotated[AnswerMark, "of what was said to a question"]]
    attachments: NotRequired[Annotated[list[Attachment], "the files that came with it"]]
    brief: NotRequired[Annotated[BriefMark, "of a brief: its title and front matter"]]
    call: NotRequired[Annotated[Cited, "of a command's result that the hub has posted"]]
    action: NotRequired[Annotated[ActionMark, "of what changes an action"]]
    given_to: NotRequired[
        Annotated[GivenTo, "of a machine's mail that is read with `machine=1`: who else has it"]
    ]
    ref: NotRequired[
        Annotated[str, "in the inbox of a session: the reference that proves that it was shown it"]
    ]
    hops: NotRequired[Annotated[int, "how many replies it stands behind"]]
    client_id: NotRequired[str]
    auth: NotRequired[Annotated[str, "the user whose credential posted it"]]
    verified: NotRequired[
        Annotated[bool, "whether `from` is that credential's own name; not so for a shared user"]
    ]
    trust: NotRequired[
        Annotated[
            str,
            Says(enum=list(TRUSTS)),
            "what it may be taken for, and what it passes on",
        ]
    ]
    starred: NotRequired[Annotated[bool, "true where the reader who asks has starred it"]]
    snippet: NotRequired[str]
    replayed: NotRequired[bool]
    delivery: NotRequired[dict[str, Standing]]
    recipients: NotRequired[Annotated[list[Recipient], "not for a broadcast"]]
    texts: NotRequired[
        Annotated[dict[str, str], "of a post with tags text:NAME: ready, away, not_heard or nobody"]
    ]
    warnings: NotRequired[Annotated[list[str], "in words: a name that nobody has, say"]]


class Page(TypedDict):
    """A page of messages; `next` is the cursor to go on with."""

    messages: list[Message]
    count: Count
    has_more: bool
    next: Count


def digest(said: Mapping[str, Any]) -> str:
    """Return what tells a repeated message from another one under the same idempotency key; `said`
    are a draft's fields.
    """
    content = {name: value for name, value in said.items() if name != "client_id"}
    return sha256(_canonical(content).encode()).hexdigest()[:32]


def from_texts(given: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of a message that came as texts, in a query or a form: lists split, numbers
    and JSON read.
    """
    fields: dict[str, Any] = dict(given)
    if "tags" in fields:
        fields["tags"] = [tag.strip() for tag in given["tags"].split(",") if tag.strip()]
    if "," in fields.get("to", ""):
        fields["to"] = [who.strip() for who in given["to"].split(",")]
    if "expires_in_s" in fields:
        fields["expires_in_s"] = number(given["expires_in_s"], "expires_in_s")
    if "ack_by" in fields:
        fields["ack_by"] = ack_by_text(given["ack_by"])
    if "strict" in fields:
        fields["strict"] = _TRUTHS.get(given["strict"], given["strict"])
    if "data" in fields:
        fields["data"] = load_object(given["data"].encode(), "`data`")
    return fields


def text_body(data: bytes) -> str:
    """Return the body of a message that came as raw bytes; raises BadJson when it is not clean
    UTF-8.
    """
    if len(data) > MAX_BODY:
        raise TooLarge(
            f"The text is {len(data)} bytes; at most {MAX_BODY} are allowed.",
            hint=LONGER,
            size=len(data),
            limit=MAX_BODY,
        )
    return utf8(data)


def utf8(data: bytes) -> str:
    """Return the text of raw bytes; raises BadJson when it is not clean UTF-8."""
    try:
        text = data.decode("utf-8")
        check_text(text, "The text")
    except UnicodeDecodeError as error:
        found = f"The text is not UTF-8: byte {error.start} is {data[error.start]:#04x}."
        raise BadJson(found, hint=_CLEAN) from None
    except BadJson as error:
        raise BadJson(error.message, hint=_CLEAN) from None
    return text
