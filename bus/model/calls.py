"""What a caller may ask of a target: an exec, a file or an act on a container, each a struct. No
I/O.

`docs/net.md` has the tables of fields. A checked call is data: `request` is what it does,
canonical, so that two requests for the same thing have one digest; how the answer is wanted
(`stream`, `detach`, the idempotency key, the `thread` that its result is posted to) is apart.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Any, ClassVar, Literal, NotRequired, TypedDict

from bus.errors import BadField, MissingField, TooLarge
from bus.model.answer import Count, Time
from bus.model.call_kinds import (
    ARGV,
    BYTES,
    COMMAND,
    ENCODING,
    ENV,
    LISTED_SNAPSHOT,
    MAX_LIMIT,
    MODE,
    PATH,
    SHA256,
    SNAPSHOT,
    USER,
    YES_OR_NO,
    as_base64,
    seconds,
    whole,
)
from bus.model.checks import check_fields
from bus.model.kinds import AGENT, CALLER_OR_SESSION, KEY, REFERENCE, TARGET
from bus.model.shape import Json, Shape, object_schema, refuse_null

EXEC, FILE_READ, FILE_WRITE, CONTAINER = "exec", "file_read", "file_write", "container"
ACTIONS = (EXEC, FILE_READ, FILE_WRITE)

MAX_TIMEOUT_S = 3600.0
DEFAULT_TIMEOUT_S = 30.0
_MAX_ID = 2**32 - 2


@dataclass(frozen=True)
class Call:
    """A checked request: `type` exec, file_read, file_write or container; `sender` None is the
    caller itself.

    `request` holds plain JSON values: for exec `argv`, `timeout_s` and where given `cwd`, `user`,
    `env`, `stdin` (base64); for a write `content` (base64). `shown` is what people see of it, a
    command, a path or an act.
    """

    type: str
    target: str
    request: dict[str, Any]
    shown: dict[str, Any]
    sender: str | None = None
    key: str | None = None
    stream: bool = False
    detach: bool = False
    thread: str | int | None = None

    @property
    def digest(self) -> str:
        """What tells this request from another: of its type, target and everything that it does."""
        content = json.dumps(
            [self.type, self.target, self.request], sort_keys=True, separators=(",", ":")
        )
        return sha256(content.encode()).hexdigest()

    def as_dict(self) -> dict[str, Any]:
        """Return the call as JSON, for the service that runs it."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, kw_only=True)
class _Asked(Shape):
    """What every request for a call has."""

    sender: Annotated[str | None, AGENT, CALLER_OR_SESSION] = None

    def call(self, max_file: int) -> Call:
        """Return the call that it asks for; raises BadField for wrong base64, TooLarge for a file
        of more than `max_file` bytes.
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Exec(_Asked):
    """POST /api/exec: a command for a shell, or a program and its arguments."""

    target: Annotated[str, TARGET]
    command: Annotated[str | None, COMMAND, "for `bash -c`; this or `argv`"] = None
    argv: Annotated[list[str] | None, ARGV, "a program without a shell"] = None
    timeout_s: Annotated[float, seconds(0.1, MAX_TIMEOUT_S)] = DEFAULT_TIMEOUT_S
    cwd: Annotated[str | None, PATH] = None
    user: Annotated[str | None, USER] = None
    env: Annotated[dict[str, str] | None, ENV] = None
    stdin: Annotated[str | None, BYTES] = None
    stdin_encoding: Annotated[Any, ENCODING] = "utf-8"
    stream: Annotated[bool, YES_OR_NO] = False
    detach: Annotated[bool, YES_OR_NO] = False
    thread: Annotated[str | int | None, REFERENCE, "a message, in whose thread it is told"] = None
    client_id: Annotated[str | None, KEY] = None

    def __post_init__(self) -> None:
        if (self.command is None) == (self.argv is None):
            raise MissingField(
                "Give either `command` or `argv`.",
                hint='"command":"uptime", or "argv":["uptime"].',
                field="command",
            )
        if self.stream and self.detach:
            raise BadField(
                "`stream` and `detach` are both true.", hint="Give one of them.", field="detach"
            )

    def call(self, max_file: int) -> Call:
        argv = self.argv if self.command is None else ["bash", "-c", self.command]
        request: dict[str, Any] = {"argv": argv, "timeout_s": self.timeout_s}
        where = {"cwd": self.cwd, "user": self.user, "env": self.env or None}
        request |= {name: value for name, value in where.items() if value is not None}
        if self.stdin is not None:
            encoding = self.stdin_encoding
            request["stdin"] = as_base64(self.stdin, "stdin", encoding, "stdin_encoding")
        shown = {"argv": argv} if self.command is None else {"command": self.command}
        how = (self.sender, self.client_id, self.stream, self.detach)
        return Call(EXEC, self.target, request, shown, *how, thread=self.thread)

    @classmethod
    def schema(cls) -> Json:
        """Return what OpenAPI says: one of `command` and `argv`, and not both of `stream` and
        `detach`.
        """
        return {
            "anyOf": [
                object_schema(cls, (other, how), (wanted,))
                for wanted, other in (("command", "argv"), ("argv", "command"))
                for how in ("stream", "detach")
            ]
        }


@dataclass(frozen=True, kw_only=True)
class FileRead(_Asked):
    """POST /api/file/read: a file of a target, or a part of it."""

    target: Annotated[str, TARGET]
    path: Annotated[str, PATH]
    offset: Annotated[int, whole(0, MAX_LIMIT)] = 0
    limit: Annotated[int | None, whole(0, MAX_LIMIT)] = None

    def call(self, max_file: int) -> Call:
        request: dict[str, Any] = {"path": self.path, "offset": self.offset}
        if self.limit is not None:
            request["limit"] = self.limit
        return Call(FILE_READ, self.target, request, {"path": self.path}, self.sender)


@dataclass(frozen=True, kw_only=True)
class FileWrite(_Asked):
    """POST /api/file/write: the whole content of a file of a target."""

    target: Annotated[str, TARGET]
    path: Annotated[str, PATH]
    content: Annotated[str, BYTES]
    encoding: Annotated[Any, ENCODING] = "utf-8"
    mode: Annotated[str | None, MODE] = None
    uid: Annotated[int | None, whole(0, _MAX_ID)] = None
    gid: Annotated[int | None, whole(0, _MAX_ID)] = None
    create_dirs: Annotated[bool, YES_OR_NO] = False
    if_sha256: Annotated[str | None, SHA256] = None
    client_id: Annotated[str | None, KEY] = None

    def call(self, max_file: int) -> Call:
        content = as_base64(self.content, "content", self.encoding, "encoding")
        size = len(base64.b64decode(content))
        if size > max_file:
            raise TooLarge(
                f"`content` is {size} bytes; at most {max_file} are allowed.",
                size=size,
                limit=max_file,
            )
        request = {"path": self.path, "content": content, "create_dirs": self.create_dirs}
        mode = None if self.mode is None else int(self.mode, 8)
        more = {"mode": mode, "uid": self.uid, "gid": self.gid, "if_sha256": self.if_sha256}
        request |= {name: value for name, value in more.items() if value is not None}
        shown = {"path": self.path}
        return Call(FILE_WRITE, self.target, request, shown, self.sender, self.client_id)


@dataclass(frozen=True, kw_only=True)
class _Act(_Asked):
    """POST /api/container/ACT: what is done with a container."""

    ACT: ClassVar[str]

    name: Annotated[str, TARGET]
    client_id: Annotated[str | None, KEY] = None

    def call(self, max_file: int) -> Call:
        own = {name: value for name, value in self.as_dict().items() if name not in _OF_EVERY_ACT}
        snapshot = {name: own[name] for name in ("snapshot",) if name in own}
        shown = {"command": self.ACT, **snapshot}
        request = {"act": self.ACT, **own}
        return Call(CONTAINER, self.name, request, shown, self.sender, self.client_id)


_OF_EVERY_ACT = _Act.names()


@dataclass(frozen=True, kw_only=True)
class Start(_Act):
    ACT = "start"


@dataclass(frozen=True, kw_only=True)
class Stop(_Act):
    ACT = "stop"

    force: Annotated[bool, YES_OR_NO] = False
    timeout_s: Annotated[float, seconds(1, 600)] = DEFAULT_TIMEOUT_S


@dataclass(frozen=True, kw_only=True)
class TakeSnapshot(_Act):
    ACT = "snapshot"

    snapshot: Annotated[str | None, SNAPSHOT] = None


@dataclass(frozen=True, kw_only=True)
class Restore(_Act):
    ACT = "restore"

    snapshot: Annotated[str, LISTED_SNAPSHOT]
    snapshot_first: Annotated[bool, YES_OR_NO] = True


@dataclass(frozen=True, kw_only=True)
class DeleteSnapshot(_Act):
    ACT = "delete-snapshot"

    snapshot: Annotated[str, LISTED_SNAPSHOT]


@dataclass(frozen=True, kw_only=True)
class SnapshotsQuery(Shape):
    """GET /api/container/snapshots: of which container."""

    name: Annotated[str, TARGET]


ACTS: dict[str, type[_Act]] = {
    act.ACT: act for act in (Start, Stop, TakeSnapshot, Restore, DeleteSnapshot)
}
_SHAPES: dict[str, type[_Asked]] = {EXEC: Exec, FILE_READ: FileRead, FILE_WRITE: FileWrite}
# A field of another act is told apart from one that no act has.
_OF_SOME_ACT = ("from", "name", "snapshot", "force", "timeout_s", "snapshot_first", "client_id")


def check(type: str, given: Mapping[str, Any], max_file: int, act: str = "") -> Call:
    """Return the call in these fields; raises MissingField, BadField, UnknownField, TooLarge.

    `act` is a container's.
    """
    shape = ACTS[act] if type == CONTAINER else _SHAPES[type]
    check_fields(given, _OF_SOME_ACT if type == CONTAINER else shape.names())
    refuse_null(given, given)
    return shape.read(given).call(max_file)


def target(given: Mapping[str, Any], field: str) -> str:
    """Return the name of a container or machine in this field; raises BadField, MissingField."""
    name: str = TARGET.check(given.get(field), field)
    return name


State = Literal["running", "done", "denied", "error", "unknown"]
Encoding = Literal["utf-8", "base64"]


class Ran(TypedDict):
    """How a command is, or how it ended."""

    ok: bool
    id: str
    state: NotRequired[State]
    exitCode: NotRequired[int | None]
    stdout: NotRequired[str | None]
    stderr: NotRequired[str | None]
    stdout_encoding: NotRequired[Encoding]
    stderr_encoding: NotRequired[Encoding]
    stdout_size: NotRequired[Count]
    stderr_size: NotRequired[Count]
    duration_ms: NotRequired[Count]
    truncated: NotRequired[bool]
    timed_out: NotRequired[bool]
    cancelled: NotRequired[bool]
    leaked: NotRequired[Count | None]
    reason: NotRequired[str]
    replayed: NotRequired[bool]


class File(TypedDict):
    """A file that was read or written; `content` is of a read."""

    ok: bool
    id: str
    content: NotRequired[str]
    encoding: NotRequired[Encoding]
    offset: NotRequired[Count]
    size: Count
    sha256: str | None
    mode: str
    uid: Count
    gid: Count
    replayed: NotRequired[bool]


class Acted(TypedDict):
    """What an act on a container did."""

    ok: bool
    id: str
    name: NotRequired[str]
    state: NotRequired[State]
    changed: NotRequired[bool]
    snapshot: NotRequired[str]
    saved: NotRequired[str]
    removed: NotRequired[list[str]]
    replayed: NotRequired[bool]


class Snapshot(TypedDict):
    """A snapshot of a container; `by_restore` is whether a restore made it."""

    name: str
    made: Time
    by_restore: bool


class Snapshots(TypedDict):
    """The snapshots of a container."""

    ok: bool
    name: str
    snapshots: list[Snapshot]
