"""Agents: who works under which name, where and on what. POST /agents and GET /agents. No I/O.

A session's name is a *lease*: one process holds `web1/alpha` at a time. How a lease ends is in
`bus.hub.agents`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired, TypedDict, cast

from bus.errors import BadField, MissingField
from bus.model.answer import Count, Says, Time
from bus.model.caller import TRUSTS
from bus.model.checks import label, shown
from bus.model.kinds import (
    AGENT,
    ULID_SCHEMA,
    Format,
    choice,
    matching,
    one_of,
    whole,
)
from bus.model.shape import Json, Kind, Shape, object_schema

WAKES = ("rewake", "socket", "channel", "poll", "webhook", "none")
TURNS = ("working", "idle", "awaiting_input")
STATES = ("live", "idle", "stale", "gone")
SCOPES = ("machine", "directory", "repo", "fleet")
_ALPHABET = (
    *("alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india"),
    *("juliett", "kilo", "lima", "mike", "november", "oscar", "papa", "quebec", "romeo"),
    *("sierra", "tango", "uniform", "victor", "whiskey", "xray", "yankee", "zulu"),
)
# A machine may have hundreds of sessions: alpha … zulu, alpha2 … zulu2, and so on.
CALLSIGNS = (*_ALPHABET, *(f"{sign}{turn}" for turn in range(2, 40) for sign in _ALPHABET))
# Of a session; some words are taken by the routes of agents.
ROUTES = ("heartbeat", "summary")
SESSION = re.compile(rf"(?!(?:{'|'.join(ROUTES)})$)[A-Za-z0-9][A-Za-z0-9._-]{{0,63}}")
MAX_CAPABILITIES, MAX_SUMMARY, MAX_PATH, MAX_TAKEOVERS, MAX_AGENTS = 32, 500, 1_024, 64, 1_000
_IDLE_MS, _STALE_MS = 15 * 60_000, 24 * 3_600_000
_URL = re.compile(r"[a-z][a-z0-9+.-]*://(?:[^/]*@)?([^/@:]*)(?::\d+)?/(.*)", re.IGNORECASE)
# git@github.com:owner/name.git, the form of scp
_SCP = re.compile(r"(?:[^@/]+@)?([^:/@]+):(?!//)(.+)")


def _label(longest: int) -> Kind:
    return Kind(
        lambda value, field: label(value, field, longest),
        {"type": "string", "minLength": 1, "maxLength": longest, "format": "bus-label"},
    )


def _capabilities(value: Any, field: str) -> list[str]:
    if not isinstance(value, list) or len(value) > MAX_CAPABILITIES:
        raise BadField(
            f"`{field}` is {shown(value)}.",
            hint=f"A list of at most {MAX_CAPABILITIES} words.",
            field=field,
        )
    return list(dict.fromkeys(label(item, field, 64, forbidden=",") for item in value))


def _pid(value: Any, field: str) -> int:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 < value < 2**31 or value != int(value):
        raise BadField(f"`{field}` is {shown(value)}.", hint="A process id.", field=field)
    return int(value)


def _ulid(value: Any, field: str) -> str:
    if not isinstance(value, str) or re.fullmatch(ULID_SCHEMA["pattern"], value) is None:
        raise BadField(
            f"`{field}` is {shown(value)}.",
            hint="Give the `lease` of an answer to POST /agents.",
            field=field,
        )
    return value.upper()


def _ulids(value: Any, field: str) -> list[str]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_TAKEOVERS:
        raise BadField(
            f"`{field}` is {shown(value)}.",
            hint=f"A list of 1 to {MAX_TAKEOVERS} leases.",
            field=field,
        )
    return [_ulid(item, field) for item in value]


def normalised_repo(url: str) -> str:
    """Return one name for all addresses of a repository: `github.com/owner/name`.

    Without scheme, user, password, port and `.git`; the host in small letters. So the clones and
    worktrees of a repository share it, and no password reaches the roster.
    """
    match = _URL.fullmatch(url) or _SCP.fullmatch(url)
    host, path = ("", url) if match is None else (match[1], match[2])
    path = path.rstrip("/").removesuffix(".git").rstrip("/")
    return f"{host.lower()}/{path.lstrip('/')}" if host else path


def _repo(value: Any, field: str) -> str:
    return normalised_repo(label(value, field, MAX_PATH))


_LABEL, _PATH = _label(64), _label(MAX_PATH)
_SUMMARY = _label(MAX_SUMMARY)
_REPO = Kind(_repo, _PATH.schema)
_PID = Kind(_pid, {"type": "integer", "minimum": 1, "maximum": 2**31 - 1})
_LEASE = Kind(_ulid, ULID_SCHEMA)
_LEASES = Kind(
    _ulids, {"type": "array", "items": ULID_SCHEMA, "minItems": 1, "maxItems": MAX_TAKEOVERS}
)
_WORDS = Kind(
    _capabilities,
    {
        "type": "array",
        "items": {"type": "string", "minLength": 1, "maxLength": 64, "format": "bus-tag"},
        "maxItems": MAX_CAPABILITIES,
    },
)
_SESSION = matching(
    SESSION, f"1 to 64 letters, digits, dots, underscores or hyphens; not {' or '.join(ROUTES)}."
)
_TURN = one_of(TURNS)
_NAME = "the machine, or one of its sessions; left out: the caller. Required of the shared user"


class Transport(TypedDict):
    """How a peer gets its mail."""

    type: str
    poll_interval_ms: NotRequired[int]


class Facts(TypedDict):
    """What an agent says of itself; the last four, only a peer (see `bus.model.peers`)."""

    agent_type: NotRequired[str]
    host: NotRequired[str]
    cwd: NotRequired[str]
    repo: NotRequired[str]
    branch: NotRequired[str]
    pid: NotRequired[int]
    started: NotRequired[str]
    session_id: NotRequired[str]
    summary: NotRequired[str]
    capabilities: NotRequired[list[str]]
    wake: NotRequired[str]
    agent_name: NotRequired[str]
    tty: NotRequired[str]
    git_root: NotRequired[str]
    transport: NotRequired[Transport]


FACTS = tuple(Facts.__annotations__)


@dataclass(frozen=True, kw_only=True)
class Registration(Shape):
    """POST /agents: who works under a name, where and on what."""

    name: Annotated[str, AGENT, _NAME]
    session: Annotated[
        str | None, _SESSION, "the part behind the slash; left out of both: a free callsign"
    ] = None
    lease: Annotated[str | None, _LEASE, "of the answer before, to renew it"] = None
    takeover: Annotated[
        list[str] | None, _LEASES, "leases to end: their processes are known to be gone"
    ] = None
    session_id: Annotated[
        str | None, _label(128), "of the conversation: a resumed one gets its callsign back"
    ] = None
    agent_type: Annotated[str | None, _LABEL, "claude-code, codex, …"] = None
    host: Annotated[str | None, _label(255)] = None
    cwd: Annotated[str | None, _PATH] = None
    repo: Annotated[str | None, _REPO, "its origin URL, which is normalised"] = None
    branch: Annotated[str | None, _label(255)] = None
    pid: Annotated[
        int | None, _PID, "of the process that sends heartbeats; without one it has none to send"
    ] = None
    started: Annotated[str | None, _LABEL, "when that process started, as the host says it"] = None
    summary: Annotated[str | None, _SUMMARY, "what it works on"] = None
    capabilities: Annotated[list[str] | None, _WORDS] = None
    wake: Annotated[str | None, one_of(WAKES), "how it learns of new mail"] = None
    turn: Annotated[str | None, _TURN] = None

    def __post_init__(self) -> None:
        if self.session is not None and "/" in self.name:
            raise BadField(
                f"`name` is {self.name!r}, and `session` is given too.",
                hint="Give the session in one of them.",
                field="session",
            )
        if self.name.partition("/")[2] in ROUTES:
            raise BadField(
                f"`name` is {self.name!r}, which the routes of agents use.",
                hint="Take another session name.",
                field="name",
            )

    @property
    def full_name(self) -> str:
        """The name with the session; without a session, the machine's."""
        return self.name if self.session is None else f"{self.name}/{self.session}"

    @property
    def facts(self) -> Facts:
        """What the roster keeps of it."""
        said = self.as_dict()
        return cast(Facts, {name: said[name] for name in FACTS if name in said})

    def is_same(self, lease: str | None, held: Facts) -> bool:
        """Return whether the holder of a lease is who asks: by its lease, its process, or its
        conversation if it has no process. Without any of them, nothing but another host tells two
        apart.
        """
        if self.lease is not None:
            return self.lease == lease
        said = self.facts
        if "pid" in held or "pid" in said:
            process = [held.get(name) for name in ("host", "pid", "started")]
            return process == [said.get(name) for name in ("host", "pid", "started")]
        if "session_id" in held or "session_id" in said:
            return held.get("session_id") == said.get("session_id")
        return "host" not in held or "host" not in said or held["host"] == said["host"]

    def is_here(self, other: Facts) -> bool:
        """Return whether an agent was on the same host, at the same repository or, without one, in
        the same directory.
        """
        if self.host is None or other.get("host") != self.host:
            return False
        if self.repo is not None:
            return other.get("repo") == self.repo
        return self.cwd is not None and other.get("cwd") == self.cwd

    @classmethod
    def schema(cls) -> Json:
        """Return what OpenAPI says of it: `name` may be left out by all whose credential has a name
        of its own.
        """
        return {**object_schema(cls), "required": []}


@dataclass(frozen=True, kw_only=True)
class Heartbeat(Shape):
    """POST /agents/<name>/heartbeat: a sign of life."""

    lease: Annotated[str | None, _LEASE, "refused with lease_lost if it is not the present one"] = (
        None
    )
    turn: Annotated[str | None, _TURN] = None


@dataclass(frozen=True, kw_only=True)
class Summary(Shape):
    """PUT /agents/<name>/summary: what an agent works on."""

    summary: Annotated[str, _SUMMARY]


@dataclass(frozen=True, kw_only=True)
class Leaving(Shape):
    """DELETE /agents/<name>: its session has ended."""

    lease: Annotated[str | None, _LEASE, "refused with lease_lost if it is not the present one"] = (
        None
    )


@dataclass(frozen=True, kw_only=True)
class AgentsQuery(Format):
    """GET /agents: the roster. `scope` compares with the agent `of`, or with what is given."""

    scope: Annotated[str, choice(SCOPES), "which agents: of the same …"] = "fleet"
    of: Annotated[str | None, AGENT, "the agent whose host, directory and repo are meant"] = None
    host: Annotated[str | None, _label(255), "instead of `of`"] = None
    cwd: Annotated[str | None, _PATH, "instead of `of`"] = None
    repo: Annotated[str | None, _REPO, "instead of `of`"] = None
    capability: Annotated[str | None, _LABEL] = None
    agent_type: Annotated[str | None, _LABEL] = None
    state: Annotated[str | None, choice(STATES), "left out: all but those that are gone"] = None
    after: Annotated[str | None, AGENT, "only names behind this one: `next` of the answer"] = None
    limit: Annotated[int, whole(1, MAX_AGENTS), "names"] = 500
    around: Annotated[
        str | None, AGENT, "a short look: of this agent's machine first, few of each other"
    ] = None

    def place(self, of: Facts | None) -> dict[str, str]:
        """Return the facts that an agent must share to be in scope; `of`: what is known of the
        agent that is compared with. Raises MissingField.
        """
        wanted = {
            "machine": ("host",),
            "directory": ("host", "cwd"),
            "repo": ("repo",),
            "fleet": (),
        }[self.scope]
        given = {"host": self.host, "cwd": self.cwd, "repo": self.repo}
        found = {name: given[name] or (of or {}).get(name) for name in wanted}
        for name, value in found.items():
            if value is None:
                raise MissingField(
                    f"`scope` is {self.scope}, and `{name}` is not known.",
                    hint=f"Give `of`, an agent that has registered a {name}, or `{name}`.",
                    field=name,
                )
        return {name: str(value) for name, value in found.items()}


class Agent(Facts):
    """An agent of the roster. What it did not say of itself is left out."""

    name: str
    state: Annotated[str, Says(enum=list(STATES))]
    turn: NotRequired[str]
    trust: NotRequired[Annotated[str, Says(enum=list(TRUSTS)), "of who registered it"]]
    registered: Annotated[bool, "whether it has said who it is; else only its name is known"]
    lease: NotRequired[Annotated[str, "of the process that holds the name now"]]
    since: NotRequired[Annotated[Time, "when that lease began"]]
    last_seen: Time | None
    last_fetch: Time | None
    unread: Annotated[int, Says(minimum=0, maximum=1000)] | None


class Roster(TypedDict):
    """Agents in the order of their names."""

    ok: Literal[True]
    agents: list[Agent]
    has_more: bool
    next: str | None
    more: NotRequired[
        Annotated[dict[str, int], "with `around`: how many are left out, of each credential"]
    ]


class OneAgent(TypedDict):
    """One agent of the roster."""

    ok: Literal[True]
    agent: Agent


class Registered(TypedDict):
    """The name is the caller's, as long as it sends a sign of life within `lease_s`."""

    ok: Literal[True]
    name: str
    lease: str
    lease_s: Count
    is_new: Annotated[bool, "false: it held the name already"]
    agent: Agent


class Alive(TypedDict):
    """A sign of life was noted."""

    ok: Literal[True]
    name: str
    lease_s: Count
    unread: Annotated[int, Says(minimum=0, maximum=1000)]


class Left(TypedDict):
    """The name is free."""

    ok: Literal[True]
    name: str


def state_of(last_ms: int | None, now_ms: int, live_ms: int, has_left: bool = False) -> str:
    """Return the state of an agent from its last sign of life (Unix milliseconds)."""
    if has_left or last_ms is None:
        return "gone"
    silent = now_ms - last_ms
    if silent <= live_ms:
        return "live"
    return "idle" if silent <= _IDLE_MS else "stale" if silent <= _STALE_MS else "gone"


def callsigns(text: str) -> tuple[str, ...]:
    """Return the names in a setting, with commas between them; raises ValueError."""
    found = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in found:
        if SESSION.fullmatch(name) is None:
            raise ValueError(f"{name!r} is not a session's name")
    return found or CALLSIGNS
