"""File leases: who works on which files of a repository. POST /leases and what belongs to it. No
I/O.

A *file lease* is a holder's word on some paths for some time; it has nothing to do with the lease
by which a session has its name (`bus.model.agents`), but that it ends with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal, TypedDict

from bus.errors import BadField
from bus.model import globs
from bus.model.agents import normalised_repo
from bus.model.answer import Time
from bus.model.checks import label, shown
from bus.model.globs import BadPattern, Glob
from bus.model.kinds import AGENT, ULID_SCHEMA, Format, flag, whole
from bus.model.shape import Json, Kind, Shape, object_schema

MAX_REPO, MAX_PATHS, MAX_CHECKED, MAX_PATH = 1_024, 32, 500, 4_096
MAX_REASON, MAX_TTL_S, TTL_S, MAX_LEASES = 200, 86_400, 3_600, 1_000


def _repo(value: Any, field: str) -> str:
    found = normalised_repo(label(value, field, MAX_REPO)).strip("/")
    if not found:
        raise BadField(
            f"`{field}` is {shown(value)}.",
            hint="Give the repository's URL or name: github.com/owner/name.",
            field=field,
        )
    return found


def _listed(value: Any, field: str, most: int) -> list[Any]:
    if not isinstance(value, list) or not 1 <= len(value) <= most:
        raise BadField(
            f"`{field}` is {shown(value)}.", hint=f"A list of 1 to {most} paths.", field=field
        )
    return list(dict.fromkeys(value)) if all(isinstance(item, str) for item in value) else value


def _patterns(value: Any, field: str) -> list[str]:
    return [_pattern(item, field) for item in _listed(value, field, MAX_PATHS)]


def _pattern(value: Any, field: str) -> str:
    """Return a pattern; that of a folder, `src/`, as `src/**`."""
    if not isinstance(value, str) or not value or not value.isprintable():
        raise _bad_path(value, field, "It is not a text that can be printed.")
    text = value + "**" if value.endswith("/") else value
    try:
        globs.parse(text)
    except BadPattern as error:
        raise _bad_path(value, field, str(error)) from None
    return globs.normal(text)


def _paths(value: Any, field: str) -> list[str]:
    return [_path(item, field) for item in _listed(value, field, MAX_CHECKED)]


def _path(value: Any, field: str) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_PATH:
        raise _bad_path(value, field, f"It is not a text of 1 to {MAX_PATH} characters.")
    try:
        globs.literal(value)
    except BadPattern as error:
        raise _bad_path(value, field, str(error)) from None
    return value


def _bad_path(value: Any, field: str, why: str) -> BadField:
    return BadField(
        f"`{field}` holds {shown(value)}. {why}",
        hint="Give paths as the repository has them, such as src/auth.py, src/*.py or docs/**.",
        field=field,
    )


def _ttl(value: Any, field: str) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not 1 <= value <= MAX_TTL_S
    ):
        raise BadField(
            f"`{field}` is {shown(value)}.",
            hint=f"A number of seconds from 1 to {MAX_TTL_S}. A lease can be renewed.",
            field=field,
        )
    return value


def lease_id(value: Any, field: str) -> str:
    """Return the id of a file lease."""
    if not isinstance(value, str) or not (len(value) == 26 and value.isascii() and value.isalnum()):
        raise BadField(
            f"`{field}` is {shown(value)}.",
            hint="Give the `id` of a lease: GET /leases lists them.",
            field=field,
        )
    return value.upper()


_TEXT: Json = {"type": "string", "minLength": 1}
_REPO = Kind(_repo, {**_TEXT, "maxLength": MAX_REPO, "format": "bus-label"})
_PATTERNS = Kind(
    _patterns,
    {
        "type": "array",
        "items": {**_TEXT, "maxLength": globs.MAX_PATTERN, "format": "bus-path"},
        "minItems": 1,
        "maxItems": MAX_PATHS,
    },
)
_PATHS = Kind(
    _paths,
    {
        "type": "array",
        "items": {**_TEXT, "maxLength": MAX_PATH, "format": "bus-path"},
        "minItems": 1,
        "maxItems": MAX_CHECKED,
    },
)
_TTL = Kind(_ttl, {"type": "number", "minimum": 1, "maximum": MAX_TTL_S})
_REASON = Kind(
    lambda value, field: label(value, field, MAX_REASON),
    {"type": "string", "minLength": 1, "maxLength": MAX_REASON, "format": "bus-label"},
)
_ID = Kind(lease_id, ULID_SCHEMA)
_HOLDER = "whose it is; left out: the caller's. Required of the shared user"
_MOST_BEGINNINGS = 2_000  # names in all beginnings together


@dataclass(frozen=True, kw_only=True)
class NewFileLease(Shape):
    """POST /leases: hold paths of a repository."""

    holder: Annotated[str, AGENT, _HOLDER]
    repo: Annotated[str, _REPO, "the repository's URL, which is normalised, or a name"]
    paths: Annotated[list[str], _PATTERNS, "paths or patterns, as the repository has them"]
    ttl_s: Annotated[float, _TTL, "how long, in seconds"] = TTL_S
    exclusive: Annotated[bool, flag("true or false."), "false: others may hold them so too"] = True
    reason: Annotated[str | None, _REASON, "what for; everybody sees it"] = None

    @classmethod
    def schema(cls) -> Json:
        """Return what OpenAPI says of it: `holder` may be left out by all whose credential has a
        name of its own.
        """
        return {**object_schema(cls), "required": ["repo", "paths"]}


@dataclass(frozen=True, kw_only=True)
class Renewal(Shape):
    """POST /leases/<id>/renew."""

    ttl_s: Annotated[float | None, _TTL, "from now; left out: as long as at first"] = None


@dataclass(frozen=True, kw_only=True)
class Release(Shape):
    """POST /leases/<id>/release."""

    reason: Annotated[
        str | None, _REASON, "of an admin who ends another's lease: its holder is told"
    ] = None


@dataclass(frozen=True, kw_only=True)
class FileLeasesQuery(Format):
    """GET /leases."""

    repo: Annotated[str | None, _REPO, "only those in this repository"] = None
    holder: Annotated[str | None, AGENT, "only those of this name"] = None
    after: Annotated[str | None, _ID, "only those behind this one: `next` of the answer"] = None
    limit: Annotated[int, whole(1, MAX_LEASES), "leases"] = 500


@dataclass(frozen=True, kw_only=True)
class FilesCheck(Shape):
    """GET and POST /leases/check: may these files be changed?"""

    holder: Annotated[
        str, AGENT, "who asks: its own leases do not count. Required of the shared user"
    ]
    repo: Annotated[str, _REPO, "the repository's URL, which is normalised, or a name"]
    path: Annotated[list[str], _PATHS, "a path as it is, no pattern; may be given several times"]

    @classmethod
    def schema(cls) -> Json:
        """Return what OpenAPI says of it in a body."""
        return {**object_schema(cls), "required": ["repo", "path"]}

    @classmethod
    def parameters(cls) -> list[Json]:
        """Return what OpenAPI says of it in a query."""
        found = super().parameters()
        for parameter in found:
            if parameter["name"] == "holder":
                del parameter["required"]
        return found


class FileLease(TypedDict):
    """A lease on paths of a repository."""

    id: str
    holder: str
    repo: str
    paths: list[str]
    exclusive: bool
    since: Time
    until: Time
    reason: str | None


class OneFileLease(TypedDict):
    """A lease that holds, or that has just ended."""

    ok: Literal[True]
    lease: FileLease


class FileLeases(TypedDict):
    """The leases that hold, in the order in which they were taken."""

    ok: Literal[True]
    leases: list[FileLease]
    has_more: bool
    next: str | None


class HeldPath(TypedDict):
    """A path that another holds."""

    path: str
    lease: FileLease


class FilesChecked(TypedDict):
    """Those of the paths that others hold exclusively."""

    ok: Literal[True]
    repo: str
    held: list[HeldPath]


@lru_cache(512)  # a hostile one has 32 patterns of 5 KB
def patterns_of(written: str) -> list[Glob]:
    """Return the patterns of a lease, of its paths as JSON."""
    return patterns(json.loads(written))


def beginning(path: str) -> str:
    """Return the folder, or the file, that all paths of a pattern begin with; empty: they may begin
    in any way.
    """
    try:
        return "/".join(globs.parse(path).beginning)
    except globs.BadPattern:  # of a record from another version
        return ""


def beginnings(paths: Iterable[Glob]) -> list[str] | None:
    """Return what a pattern that matches one of these paths may begin with; None for so many that
    it is as cheap to look at all patterns.
    """
    found, size = {""}, 0
    for path in paths:
        for count in range(1, len(path.beginning) + 1):
            found.add("/".join(path.beginning[:count]))
            size += count
            if size > _MOST_BEGINNINGS:
                return None
    return sorted(found)


def patterns(paths: list[str]) -> list[Glob]:
    """Return the patterns of a lease."""
    return [globs.parse(path) for path in paths]
