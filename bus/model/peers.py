"""What clients of claude-peers and agentmesh send, and what they are answered. No I/O.

Their fields are taken as they come: one that is not known is passed over, null is as good as left
out, a text that is too long is cut. Only what cannot be meant is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, NotRequired, Self, TypedDict, cast

from bus.errors import BadField
from bus.model.agents import (
    MAX_CAPABILITIES,
    MAX_PATH,
    MAX_SUMMARY,
    SESSION,
    Facts,
    Registration,
    Transport,
)
from bus.model.caller import is_a_title
from bus.model.checks import MAX_SEQ, shown
from bus.model.groups import TOPIC_PREFIX, is_topic
from bus.model.records import NAME
from bus.model.shape import Kind, Shape, fields
from bus.model.topics import PATTERN

CLI = "cli"  # the id of their command line, which does not register
MACHINE = "peers-"  # a machine of peers without a credential is called so, and then as its host is
MAX_IDS = 1_000
_NO_NAME = re.compile(r"[^A-Za-z0-9._-]+")


def _text(longest: int) -> Kind:
    """A text on one line: what is not printable becomes a space, what is too long is cut."""

    def check(value: Any, field: str) -> str:
        if value is not None and not isinstance(value, str):
            raise BadField(f"`{field}` is {shown(value)}, not text.", field=field)
        seen = "".join(char if char.isprintable() else " " for char in (value or "")[:longest])
        return seen.strip()

    return Kind(check, {"type": "string"})


def _pid(value: Any, field: str) -> int | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 < value < 2**31:
        return None
    return int(value)


def _name(value: Any, field: str) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 256:
        raise BadField(f"`{field}` is {shown(value)}, not an id.", field=field)
    return value


def _whole_text(value: Any, field: str) -> str:
    if not isinstance(value, str):
        raise BadField(f"`{field}` is {shown(value)}, not text.", field=field)
    return value


def _words(value: Any, field: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise BadField(f"`{field}` is {shown(value)}, not a list of words.", field=field)
    check = _text(64).check
    words = [check(word, field).replace(",", " ").strip() for word in value[:MAX_CAPABILITIES]]
    return [word for word in dict.fromkeys(words) if word]


def _seqs(value: Any, field: str) -> list[int]:
    if not isinstance(value, list) or len(value) > MAX_IDS:
        raise BadField(f"`{field}` is {shown(value)}, not a list of ids.", field=field)
    found = []
    for one in value:
        number = int(one) if isinstance(one, str) and one.isascii() and one.isdigit() else one
        if isinstance(number, bool) or not isinstance(number, int) or not 0 < number < MAX_SEQ:
            raise BadField(f"`{field}` holds {shown(one)}, which is no id.", field=field)
        found.append(number)
    return found


def _transport(value: Any, field: str) -> Transport:
    """Return how a peer says that it gets its mail. Its webhook's address is not kept: it may hold
    a secret, and nobody calls it.
    """
    if not isinstance(value, dict):
        raise BadField(f"`{field}` is {shown(value)}, not an object.", field=field)
    kept: Transport = {"type": _text(32).check(value.get("type"), field) or "poll"}
    every_ms = value.get("poll_interval_ms")
    if isinstance(every_ms, int) and not isinstance(every_ms, bool) and 0 < every_ms < 2**31:
        kept["poll_interval_ms"] = every_ms
    return kept


def _by_polls() -> Transport:
    return {"type": "poll"}


_LABEL, _PATH, _SUMMARY, _HOST = _text(64), _text(MAX_PATH), _text(MAX_SUMMARY), _text(255)
_ID, _WORDS = Kind(_name, {"type": "string"}), Kind(_words, {"type": "array"})
_PID, _TEXT = Kind(_pid, {"type": "integer"}), Kind(_whole_text, {"type": "string"})
_TRANSPORT, _SEQS = Kind(_transport, {"type": "object"}), Kind(_seqs, {"type": "array"})


class Lenient(Shape):
    """A request of which only the known fields that hold something are looked at."""

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Self:
        known = fields(cls)
        kept = {name: given[name] for name in known if given.get(name) is not None}
        return super().read(kept)


@dataclass(frozen=True, kw_only=True)
class Register(Lenient):
    """POST /register."""

    pid: Annotated[int | None, _PID] = None
    cwd: Annotated[str, _PATH] = ""
    git_root: Annotated[str, _PATH] = ""
    tty: Annotated[str, _LABEL] = ""
    hostname: Annotated[str, _HOST] = ""
    summary: Annotated[str, _SUMMARY] = ""
    agent_type: Annotated[str, _LABEL] = ""
    agent_name: Annotated[str, _LABEL] = ""
    capabilities: Annotated[list[str], _WORDS] = field(default_factory=list)
    transport: Annotated[Transport, _TRANSPORT] = field(default_factory=_by_polls)

    @property
    def session(self) -> str | None:
        """The session's name that was chosen; None: it is to be a callsign."""
        name = _NO_NAME.sub("-", self.agent_name).strip("-._")
        is_good = SESSION.fullmatch(name) is not None and name != CLI and not is_a_title(name)
        return name if is_good else None


@dataclass(frozen=True, kw_only=True)
class One(Lenient):
    """POST /heartbeat, /poll-messages, /peek-messages, /unregister."""

    id: Annotated[str, _ID]


@dataclass(frozen=True, kw_only=True)
class SetSummary(One):
    """POST /set-summary."""

    summary: Annotated[str, _SUMMARY] = ""


@dataclass(frozen=True, kw_only=True)
class ListPeers(Lenient):
    """POST /list-peers. A scope that is none of theirs means everybody."""

    scope: Annotated[str, _LABEL] = ""
    cwd: Annotated[str, _PATH] = ""
    git_root: Annotated[str, _PATH] = ""
    hostname: Annotated[str, _HOST] = ""
    exclude_id: Annotated[str, _text(256)] = ""
    agent_type: Annotated[str, _LABEL] = ""
    capabilities: Annotated[list[str], _WORDS] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class SendMessage(Lenient):
    """POST /send-message."""

    from_id: Annotated[str, _ID]
    to_id: Annotated[str, _ID]
    text: Annotated[str, _TEXT]


@dataclass(frozen=True, kw_only=True)
class Broadcast(Lenient):
    """POST /broadcast."""

    from_id: Annotated[str, _ID]
    topic: Annotated[str, _ID]
    text: Annotated[str, _TEXT]


@dataclass(frozen=True, kw_only=True)
class Subscribe(One):
    """POST /subscribe and /unsubscribe."""

    topic: Annotated[str, _ID]


@dataclass(frozen=True, kw_only=True)
class AckMessages(One):
    """POST /ack-messages."""

    message_ids: Annotated[list[int], _SEQS]


@dataclass(frozen=True, kw_only=True)
class PeerRegistration(Registration):
    """A peer that registers in the roster. Its name goes to whoever comes after it on the same
    host, in the same directory, at the same terminal; not to others while one is free.
    """

    agent_name: Annotated[str | None, _LABEL] = None
    tty: Annotated[str | None, _LABEL] = None
    git_root: Annotated[str | None, _PATH] = None
    transport: Annotated[Transport | None, _TRANSPORT] = None

    def is_here(self, other: Facts) -> bool:
        """Return whether a peer was where this one is."""
        places = [(one.get("host"), one.get("cwd"), one.get("tty")) for one in (self.facts, other)]
        return places[0] == places[1] and "transport" in other


class Peer(TypedDict):
    """An agent of the roster as these clients know it."""

    id: str
    pid: int | None
    cwd: str
    git_root: str | None
    tty: str | None
    hostname: str
    summary: str
    agent_type: str
    agent_name: str
    capabilities: list[str]
    transport: Transport
    registered_at: str
    last_seen: str
    trust: NotRequired[str]


class PeerMessage(TypedDict):
    """A message as these clients know it."""

    id: int
    from_id: str
    to_id: str
    text: str
    topic: str | None
    sent_at: str
    delivered: bool
    verified: bool
    trust: NotRequired[str]


def machine_of(host: str) -> str:
    """Return the machine's name under which the peers of a host are in the roster."""
    short = _NO_NAME.sub("-", host.partition(".")[0]).strip("-._")[:50].rstrip("-._")
    return MACHINE + (short if short and not is_a_title(short) else "host")


def is_name(text: str) -> bool:
    """Return whether a text can be an agent's name."""
    return NAME.fullmatch(text) is not None


def topic_of(text: str, *, may_be_wild: bool = False) -> str:
    """Return the topic that a peer means; what no topic may hold becomes a hyphen. Raises
    BadField.
    """
    bare = text.strip().removeprefix(TOPIC_PREFIX).removeprefix("#")
    if not (may_be_wild and PATTERN.fullmatch(bare)):
        bare = _NO_NAME.sub("-", bare).strip("-._")
    if PATTERN.fullmatch(bare) is None:
        raise BadField(f"`topic` is {shown(text)}.", field="topic")
    return bare


def as_message(message: Mapping[str, Any], reader: str) -> PeerMessage:
    """Return a message as these clients know it."""
    to = message["to"]
    names = [to] if isinstance(to, str) else to
    topics = [name.removeprefix(TOPIC_PREFIX) for name in names if is_topic(name)]
    made: PeerMessage = {
        "id": message["seq"],
        "from_id": message["from"],
        "to_id": reader,
        "text": message["body"],
        "topic": topics[0] if topics and reader not in names else None,
        "sent_at": message["ts"],
        "delivered": False,
        "verified": bool(message.get("verified", False)),
    }
    if "trust" in message:
        made["trust"] = message["trust"]
    return made


def as_peer(agent: Mapping[str, Any]) -> Peer:
    """Return an agent of the roster as these clients know it."""
    said = cast(Facts, agent)
    made: Peer = {
        "id": agent["name"],
        "pid": said.get("pid"),
        "cwd": said.get("cwd", ""),
        "git_root": said.get("git_root") or said.get("repo"),
        "tty": said.get("tty"),
        "hostname": said.get("host", ""),
        "summary": said.get("summary", ""),
        "agent_type": said.get("agent_type", ""),
        "agent_name": said.get("agent_name") or agent["name"],
        "capabilities": said.get("capabilities", []),
        "transport": said["transport"]
        if "transport" in said
        else {"type": said.get("wake", "poll")},
        "registered_at": agent.get("since") or agent["last_seen"] or "",
        "last_seen": agent["last_seen"] or agent.get("since") or "",
    }
    if "trust" in agent:
        made["trust"] = agent["trust"]
    return made
