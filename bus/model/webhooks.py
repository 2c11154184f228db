"""Webhooks: where the hub sends a name's mail by itself, and what comes of each attempt. No I/O.

The form of a request is that of https://www.standardwebhooks.com.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

from bus.errors import BadField
from bus.model import checks
from bus.model.answer import Count, Says, Time
from bus.model.checks import shown
from bus.model.groups import ROLE, TOPIC, as_recipient, is_group
from bus.model.kinds import NAME_SCHEMA
from bus.model.shape import Kind, Shape

ACTIVE, RETRYING, OPEN, GONE = "active", "retrying", "open", "gone"
STATES = (ACTIVE, RETRYING, OPEN, GONE)
MAX_URL = 2048
OPENS_AT = 6  # failures one after the other: after three minutes or so
TRIED_MS = 24 * 3_600_000  # so long after it was posted, a message is given up
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 5, 3600
_ANSWERS_KEPT = 5
_GONE_STATUS = 410

_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL}){{0,15}}|\[[0-9A-Fa-f:.]{{2,45}}\])"
_PORT = "(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
# Neither a user nor a fragment, and nothing that could end a line of the request.
URL = re.compile(rf"(https?)://({_HOST})(?::({_PORT}))?((?:[/?][!-\"$-~]*)?)")
_URL_HINT = "An http:// or https:// address in ASCII, without a user and a #fragment."


class Place(NamedTuple):
    """The parts of a webhook's address. `host` is without the brackets of IPv6."""

    is_tls: bool
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """What the header `Host` says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.is_tls else 80) else f"{host}:{self.port}"


def place(url: str) -> Place:
    """Return the parts of an address; raises BadField."""
    found = URL.fullmatch(url) if len(url) <= MAX_URL else None
    if found is None:
        raise BadField(f"`url` is {shown(url)}.", hint=_URL_HINT, field="url")
    scheme, host, port, path = found.groups()
    is_tls = scheme == "https"
    path = path if path.startswith("/") else f"/{path}"
    return Place(is_tls, host.strip("[]"), int(port or (443 if is_tls else 80)), path)


def _url(value: Any, field: str) -> str:
    if not isinstance(value, str):
        raise BadField(f"`{field}` is {shown(value)}.", hint=_URL_HINT, field=field)
    place(value)
    return value


def _name(value: Any, field: str) -> str:
    group = as_recipient(value) if isinstance(value, str) else None
    return checks.agent(value, field) if group is None else group


_GROUP_SCHEMA = {"type": "string", "pattern": f"^((topic:|#){TOPIC.pattern}|role:{ROLE.pattern})$"}
_NAME_OR_GROUP = Kind(_name, {"anyOf": [NAME_SCHEMA, _GROUP_SCHEMA]})
_URL = Kind(
    _url,
    {"type": "string", "pattern": f"^{URL.pattern}$", "maxLength": MAX_URL},
    missing='{"url":"https://hooks.example.org/bus"}',
)


@dataclass(frozen=True, kw_only=True)
class NewWebhook(Shape):
    """POST /webhooks: whose mail is sent, and where to."""

    name: Annotated[
        str | None,
        _NAME_OR_GROUP,
        "whose mail: the caller, which it is when left out, or one of its sessions; for admins any"
        " name, topic (`topic:deploys`) or role",
    ] = None
    url: Annotated[str, _URL, "where it is sent"]


@dataclass(frozen=True, kw_only=True)
class WebhooksQuery(Shape):
    """GET /webhooks: which ones."""

    name: Annotated[str | None, _NAME_OR_GROUP, "only those of this name, topic or role"] = None


class Answer(TypedDict):
    """What came of one attempt."""

    time: Time
    message: Annotated[str, "the id of the message"]
    status: Annotated[int | None, "of the answer; null: there was none"]
    error: Annotated[str | None, "why it failed; null: it did not"]
    ms: Annotated[Count, "how long it took"]


class Webhook(TypedDict):
    """A webhook, and what it has come to."""

    id: str
    name: Annotated[str, "whose mail is sent"]
    url: str
    by: Annotated[str, "the credential that added it: its owner, who is told of trouble"]
    created: Time
    state: Annotated[
        str, "open: it has failed so often that its owner was told", Says(enum=list(STATES))
    ]
    cursor: Annotated[Count, "the seq up to which messages were sent or given up"]
    failures: Annotated[Count, "attempts that failed, one after the other"]
    next_attempt: Annotated[Time | None, "not before; null: at once"]
    dead_letters: Annotated[Count, "messages that were given up"]
    answers: Annotated[list[Answer], "the last ones, newest first"]


class Webhooks(TypedDict):
    """Webhooks in the order in which they were added."""

    ok: Literal[True]
    webhooks: list[Webhook]


class WebhookAdded(TypedDict):
    """A new webhook, with the one sight of its secret."""

    ok: Literal[True]
    webhook: Webhook
    secret: Annotated[str, "`whsec_` and base64: what its requests are signed with"]


class WebhookRemoved(TypedDict):
    """A webhook that is no more."""

    ok: Literal[True]
    id: str


class WebhookTested(TypedDict):
    """What an address said to a message that is only a test."""

    ok: Literal[True]
    id: str
    delivered: bool
    answer: Answer


class WebhookReplayed(TypedDict):
    """Messages that had been given up are sent again."""

    ok: Literal[True]
    id: str
    replayed: Annotated[Count, "messages"]


class Outcome(NamedTuple):
    """How a request ended: a status, or an error. `retry_after_s` is what its answer asked for."""

    status: int | None
    error: str | None = None
    retry_after_s: float | None = None

    @property
    def is_delivered(self) -> bool:
        """Whether the receiver has taken the message."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_gone(self) -> bool:
        """Whether the receiver wants no more of them."""
        return self.status == _GONE_STATUS

    @property
    def is_about_the_message(self) -> bool:
        """Whether the receiver is there and refuses this very message, as far as its status
        tells.
        """
        return self.status is not None and 400 <= self.status < 500 and self.status != 429


@dataclass(frozen=True)
class Progress:
    """What a webhook has come to. No attempt is made before `next_ms`."""

    cursor: int
    state: str = ACTIVE
    failures: int = 0
    next_ms: int = 0
    answers: tuple[Answer, ...] = ()

    def past(self, seq: int) -> Progress:
        """Return the same with all up to a message done."""
        return replace(self, cursor=max(self.cursor, seq))

    def with_answer(self, answer: Answer) -> Progress:
        """Return the same with one answer more."""
        return replace(self, answers=(answer, *self.answers)[:_ANSWERS_KEPT])

    def delivered(self) -> Progress:
        """Return what follows a message that was taken."""
        return replace(self, state=ACTIVE, failures=0, next_ms=0)

    def failed(self, outcome: Outcome, now_ms: int, luck: float) -> Progress:
        """Return what follows a failed attempt; `luck`, from 0 to 1, spreads those that failed
        together.
        """
        if outcome.is_gone:
            return replace(self, state=GONE, failures=self.failures + 1, next_ms=0)
        failures = self.failures + 1
        pause_s = max(pause(failures, luck), outcome.retry_after_s or 0)
        state = OPEN if failures >= OPENS_AT else RETRYING
        next_ms = now_ms + int(min(pause_s, TRIED_MS / 1000) * 1000)
        return replace(self, state=state, failures=failures, next_ms=next_ms)


def pause(failures: int, luck: float) -> float:
    """Return how many seconds to wait after so many failures: twice as long each time, at most an
    hour, less up to a half of it by luck.
    """
    longest = min(_FIRST_PAUSE_S * 2.0 ** min(failures - 1, 16), _LONGEST_PAUSE_S)
    return longest * (1 - luck / 2)


def is_for_admins(name: str) -> bool:
    """Return whether only admins may have this sent: a topic or a role has no owner."""
    return is_group(name)
