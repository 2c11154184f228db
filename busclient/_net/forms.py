"""What Claude Net answers, typed.

`raw` is the hub's own JSON, with fields that are newer than this client.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from busclient._codes import error_from
from busclient._errors import BadAnswer, BusError

Fields = Mapping[str, Any]
_LARGE = 1 << 20  # where the way it is encoded decides whether the hub takes it


def _raw() -> Any:
    return field(default_factory=dict, compare=False, repr=False)


class Chunk(NamedTuple):
    """Bytes that a command wrote, as they came."""

    stream: Literal["stdout", "stderr"]
    data: bytes


@dataclass(frozen=True)
class Result:
    """How a command ended. `exit_code` is None when it was ended: its time was over (`timed_out`),
    or somebody did (`cancelled`).

    `stdout` and `stderr` are what the hub kept: the first MiB of each; `truncated` says that there
    was more, the sizes how much. `has_output` is False when the hub has forgotten it (after a
    week), or streamed it. `leaked` processes could not be ended; None: nobody knows how many.
    """

    id: str
    exit_code: int | None
    stdout: bytes = field(default=b"", repr=False)
    stderr: bytes = field(default=b"", repr=False)
    duration_ms: int = 0
    timed_out: bool = False
    truncated: bool = False
    replayed: bool = False
    cancelled: bool = False
    has_output: bool = True
    stdout_size: int = 0
    stderr_size: int = 0
    leaked: int | None = 0
    raw: Fields = _raw()

    @property
    def succeeded(self) -> bool:
        """Whether it ended with exit code 0."""
        return self.exit_code == 0

    @property
    def text(self) -> str:
        """Standard output as text; what is not UTF-8 becomes U+FFFD."""
        return self.stdout.decode("utf-8", "replace")

    @property
    def error_text(self) -> str:
        """Standard error as text."""
        return self.stderr.decode("utf-8", "replace")

    @classmethod
    def from_json(cls, fields: Any) -> Result:
        """Return the result in the hub's JSON; raises BadAnswer."""
        with shaped("a result"):
            code = fields.get("exitCode")
            more: dict[str, Any] = {
                name: bool(fields.get(name))
                for name in ("timed_out", "truncated", "replayed", "cancelled")
            }
            more |= {
                name: int(fields.get(name) or 0)
                for name in ("duration_ms", "stdout_size", "stderr_size")
            }
            leaked = fields.get("leaked", 0)
            return cls(
                id=str(fields["id"]),
                exit_code=None if code is None else int(code),
                stdout=decoded(fields.get("stdout"), fields.get("stdout_encoding")),
                stderr=decoded(fields.get("stderr"), fields.get("stderr_encoding")),
                has_output=isinstance(fields.get("stdout"), str),
                leaked=None if leaked is None else int(leaked),
                **more,
                raw=fields,
            )


@dataclass(frozen=True)
class Call:
    """A call and how it is: `state` is running, done, denied, error, or unknown when nobody knows
    how it ended.

    `result` is there once an exec is done, `error` when it was denied or failed.
    """

    id: str
    type: str
    sender: str
    target: str
    state: str
    asked: str | None = None
    result: Result | None = None
    raw: Fields = _raw()

    @classmethod
    def from_json(cls, fields: Any) -> Call:
        with shaped("a call"):
            is_done = fields["state"] == "done" and "exitCode" in fields
            return cls(
                id=str(fields["id"]),
                type=str(fields.get("type") or ""),
                sender=str(fields.get("from") or ""),
                target=str(fields.get("target") or ""),
                state=str(fields["state"]),
                asked=fields.get("asked"),
                result=Result.from_json(fields) if is_done else None,
                raw=fields,
            )

    @property
    def error(self) -> BusError | None:
        """Why it was denied or failed, as the error that its caller got; None in every
        other state.
        """
        if self.state not in ("denied", "error"):
            return None
        code = str(
            self.raw.get("error") or ("not_permitted" if self.state == "denied" else "internal")
        )
        why = (
            self.raw.get("message")
            or self.raw.get("reason")
            or f"The call {self.id} ended with {code}."
        )
        status = self.raw.get("status")
        return error_from(
            status if isinstance(status, int) else 500,
            {**self.raw, "error": code, "message": str(why)},
        )


@dataclass(frozen=True)
class FileFacts:
    """A file in a target, as it is now. `mode` is octal text; `sha256` of the whole file is what
    `if_sha256` takes.

    `sha256` is empty for a part of a file that is too large to be read whole; as `if_sha256` that
    writes over no file.
    """

    target: str
    path: str
    size: int
    sha256: str
    mode: str
    uid: int | None = None
    gid: int | None = None
    raw: Fields = _raw()


@dataclass(frozen=True)
class RemoteFile(FileFacts):
    """A file with its content from `offset` on; `size`, `sha256` and `mode` are those of the whole
    file.
    """

    content: bytes = field(default=b"", repr=False)
    offset: int = 0

    @property
    def text(self) -> str:
        """The content as text; raises UnicodeDecodeError when it is not UTF-8."""
        return self.content.decode("utf-8")


def file_facts(target: str, path: str, fields: Any) -> dict[str, Any]:
    """Return the fields of FileFacts in the hub's JSON; raises BadAnswer."""
    with shaped("a file"):
        return {
            "target": target,
            "path": path,
            "size": int(fields["size"]),
            "sha256": str(fields["sha256"] or ""),
            "mode": str(fields["mode"]),
            "uid": fields.get("uid"),
            "gid": fields.get("gid"),
            "raw": fields,
        }


class Verdict(NamedTuple):
    """Whether a call would be allowed, why, and the permission that decides (None: none
    matches).
    """

    allowed: bool
    reason: str
    rule: Permission | None


@dataclass(frozen=True)
class Permission:
    """A rule of an admin's. `commands` are the allowed beginnings, each a tuple of words; empty:
    any command.

    `unknown` says why a name leads nowhere, where one was just given that is neither a machine nor
    a target.
    """

    source: str
    target: str
    allow: bool
    actions: tuple[str, ...]
    by: str = ""
    granted: str = ""
    expires: str | None = None
    commands: tuple[tuple[str, ...], ...] = ()
    needs_approval: bool = False
    unknown: tuple[str, ...] = ()
    raw: Fields = _raw()

    @classmethod
    def from_json(cls, fields: Any) -> Permission:
        with shaped("a permission"):
            actions = fields["actions"] if "actions" in fields else [fields["action"]]
            commands = fields.get("commands") or ()
            return cls(
                source=str(fields["source"]),
                target=str(fields["target"]),
                allow=bool(fields["allow"]),
                actions=tuple(actions),
                by=str(fields.get("by") or ""),
                granted=str(fields.get("granted") or ""),
                expires=fields.get("expires"),
                commands=tuple(
                    tuple(words.split() if isinstance(words, str) else words) for words in commands
                ),
                needs_approval=fields.get("approval") == "required",
                unknown=tuple(str(said) for said in (fields.get("unknown") or {}).values()),
                raw=fields,
            )


@dataclass(frozen=True)
class Approval:
    """A question to the admins: may this very call be made? `state` is pending, allowed, denied,
    used or expired.

    An exec has `argv`; a write has `path` and `diff`. `raw` has everything that was asked for.
    """

    id: str
    state: str
    sender: str
    target: str
    action: str
    argv: tuple[str, ...] = ()
    path: str | None = None
    diff: str | None = None
    asked: str | None = None
    expires: str | None = None
    raw: Fields = _raw()

    @classmethod
    def from_json(cls, fields: Any) -> Approval:
        with shaped("an approval"):
            texts: dict[str, Any] = {
                name: str(fields[name]) for name in ("id", "state", "target", "action")
            }
            texts |= {name: fields.get(name) for name in ("path", "diff", "asked", "expires")}
            return cls(
                sender=str(fields["from"]),
                argv=tuple(map(str, fields.get("argv") or ())),
                raw=fields,
                **texts,
            )


@contextmanager
def shaped(what: str) -> Iterator[None]:
    """Turns what goes wrong when an answer is not as it must be into BadAnswer."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadAnswer(f"The answer holds something that is not {what}: {error!r}.") from None


def decoded(text: Any, encoding: Any) -> bytes:
    """Return the bytes that a text of the hub's stands for; none for null. Raises ValueError."""
    if text is None:
        return b""
    return base64.b64decode(text, validate=True) if encoding == "base64" else str(text).encode()


def encoded(data: bytes | str) -> tuple[str, str]:
    """Return bytes as the hub takes them, and the encoding: as text where JSON can hold it, else
    base64.
    """
    data = data.encode() if isinstance(data, str) else data
    if b"\0" not in data:  # which the hub's strict JSON does not take
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            pass
        else:
            if (
                len(data) < _LARGE or len(json.dumps(text)) <= len(data) * 4 // 3
            ):  # escapes can be six times as long
                return text, "utf-8"
    return base64.b64encode(data).decode("ascii"), "base64"
