"""Containers, machines, what happened, and credentials: what the hub says of them, typed."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from busclient._net.forms import Fields, _raw, shaped


@dataclass(frozen=True)
class Machine:
    """A name that the hub knows. `kind` is container or machine; `driver` is None where it is no
    target.

    `online` is None when nothing is known.
    """

    name: str
    kind: str
    driver: str | None = None
    state: str | None = None
    online: bool | None = None
    last_seen: str | None = None
    raw: Fields = _raw()

    @classmethod
    def from_json(cls, fields: Any) -> Machine:
        with shaped("a machine"):
            more = {name: fields.get(name) for name in ("driver", "state", "online", "last_seen")}
            return cls(str(fields["name"]), str(fields["kind"]), **more, raw=fields)


@dataclass(frozen=True)
class Container:
    """A container as its driver lists it."""

    name: str
    driver: str
    state: str
    addresses: tuple[str, ...] = ()
    snapshots: tuple[str, ...] = ()
    raw: Fields = _raw()

    @classmethod
    def from_json(cls, fields: Any) -> Container:
        with shaped("a container"):
            lists = {name: tuple(fields.get(name) or ()) for name in ("addresses", "snapshots")}
            return cls(
                str(fields["name"]),
                str(fields["driver"]),
                str(fields["state"]),
                **lists,
                raw=fields,
            )


class Machines(NamedTuple):
    """The names, and by driver why some could not be asked for."""

    found: list[Machine]
    unavailable: Mapping[str, str]


class Containers(NamedTuple):
    """The containers, and by driver why some could not be asked for."""

    found: list[Container]
    unavailable: Mapping[str, str]


@dataclass(frozen=True)
class Snapshot:
    """A snapshot of a container.

    `by_restore`: a restore made it by itself, and later ones delete it.
    """

    name: str
    made: str
    by_restore: bool = False
    raw: Fields = _raw()

    @classmethod
    def from_json(cls, fields: Any) -> Snapshot:
        with shaped("a snapshot"):
            return cls(
                str(fields["name"]), str(fields["made"]), bool(fields.get("by_restore")), raw=fields
            )


@dataclass(frozen=True)
class Changed:
    """What became of a container.

    `snapshot` was made, gone back to or deleted; `saved` is what a restore made of it first.
    """

    id: str
    name: str
    changed: bool
    snapshot: str | None = None
    saved: str | None = None
    raw: Fields = _raw()

    @classmethod
    def from_json(cls, name: str, fields: Any) -> Changed:
        with shaped("an answer about a container"):
            return cls(
                str(fields["id"]),
                name,
                bool(fields.get("changed")),
                fields.get("snapshot"),
                fields.get("saved"),
                raw=fields,
            )


@dataclass(frozen=True)
class Event:
    """Something that happened. `result` is ok, denied, error, running, asked (an admin, for a yes)
    or unknown.

    A call comes once while it runs and again, with the same `id` and a higher `seq`, when it has
    ended. `about` is its command or path, a message's text, or what was granted; None where that is
    not for the caller's eyes. `error` is the hub's code.
    """

    seq: int
    id: str
    time: str
    sender: str
    type: str
    target: str = ""
    result: str = ""
    about: str | None = None
    error: str | None = None
    exit_code: int | None = None
    duration_ms: int | None = None
    raw: Fields = _raw()

    @classmethod
    def from_json(cls, fields: Any) -> Event:
        with shaped("an event"):
            return cls(
                seq=int(fields["seq"]),
                id=str(fields["id"]),
                time=str(fields["time"]),
                sender=str(fields["from"]),
                type=str(fields["type"]),
                target=_names(fields.get("target")),
                result=str(fields.get("result") or ""),
                about=_about(fields),
                error=fields.get("error"),
                exit_code=fields.get("exitCode"),
                duration_ms=fields.get("duration_ms"),
                raw=fields,
            )


def _names(target: Any) -> str:
    """Whom or what an event concerns; a message may have several recipients."""
    return ",".join(map(str, target)) if isinstance(target, list) else str(target or "")


def _about(fields: Mapping[str, Any]) -> str | None:
    if fields["type"] == "permit" and "allow" in fields:
        word = "remove" if fields["allow"] is None else "allow" if fields["allow"] else "deny"
        return f"{word} {fields.get('source')} {','.join(fields.get('actions') or ())}"
    if isinstance(fields.get("argv"), list) and not fields.get("command"):
        return shlex.join(map(str, fields["argv"]))
    return next(
        (str(fields[name]) for name in ("command", "path", "body") if fields.get(name)), None
    )


class Events(NamedTuple):
    """What happened, newest last, and whether there is more: older events, or with `since` newer
    ones.
    """

    found: list[Event]
    has_more: bool


@dataclass(frozen=True)
class Invite:
    """A code that makes one machine a member, once.

    `line` can be pasted there; both are secrets.
    """

    name: str
    expires: str
    code: str = field(repr=False)
    line: str = field(repr=False)
    raw: Fields = _raw()

    @classmethod
    def from_json(cls, fields: Any) -> Invite:
        with shaped("an invite"):
            texts: dict[str, Any] = {
                name: str(fields[name]) for name in ("name", "expires", "code", "line")
            }
            return cls(**texts, raw=fields)


@dataclass(frozen=True)
class Credential:
    """A machine's own credential; the secret is said once, by the call that makes it."""

    name: str
    role: str
    secret: str = field(repr=False)

    @classmethod
    def from_json(cls, fields: Any) -> Credential:
        with shaped("a credential"):
            return cls(str(fields["name"]), str(fields.get("role") or ""), str(fields["secret"]))
