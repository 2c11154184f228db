"""Expectations: a name is to be heard every so often, and who is told if it is not. No I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypedDict

from bus.errors import BadField
from bus.model import checks
from bus.model.answer import From, Says, Time
from bus.model.checks import shown
from bus.model.groups import ROLE, as_recipient, is_role
from bus.model.kinds import AGENT, NAME_SCHEMA, ULID_SCHEMA, Format, whole
from bus.model.records import NAME
from bus.model.shape import Json, Kind, Shape, object_schema

_ID = re.compile(ULID_SCHEMA["pattern"])
SHORTEST_S, LONGEST_S, MOST_TOLD = 60, 31 * 86_400, 8
STATES = ("heard", "silent")
_OWNER = "who expects it; left out: the caller. Required of the shared user"
_TELL_HINT = f"A name, a role as role:NAME, or a list of 1 to {MOST_TOLD} of them."


def _every(value: Any, field: str) -> int:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not SHORTEST_S <= value <= LONGEST_S:
        rule = f"Seconds from {SHORTEST_S} to {LONGEST_S} (31 days)."
        raise BadField(f"`{field}` is {shown(value)}.", hint=rule, field=field)
    return int(value)


def _tell(value: Any, field: str) -> list[str]:
    given = value if isinstance(value, list) else [value]
    if not 1 <= len(given) <= MOST_TOLD:
        raise BadField(f"`{field}` lists {len(given)} names.", hint=_TELL_HINT, field=field)
    return list(dict.fromkeys(_one_told(one, field) for one in given))


def _one_told(value: Any, field: str) -> str:
    group = as_recipient(value) if isinstance(value, str) else None
    if group is not None and is_role(group):
        return group
    if not isinstance(value, str) or group is not None:
        raise BadField(f"`{field}` holds {shown(value)}.", hint=_TELL_HINT, field=field)
    return checks.agent(value, field)


_TOLD_SCHEMA: Json = {
    "anyOf": [NAME_SCHEMA, {"type": "string", "pattern": f"^role:{ROLE.pattern}$"}]
}
_EVERY = Kind(
    _every,
    {"type": "number", "minimum": SHORTEST_S, "maximum": LONGEST_S},
    missing='{"name":"web1","every_s":900}',
)
_TELL = Kind(
    _tell,
    {
        "oneOf": [
            _TOLD_SCHEMA,
            {"type": "array", "items": _TOLD_SCHEMA, "minItems": 1, "maxItems": MOST_TOLD},
        ]
    },
)


def _after(value: Any, field: str) -> str:
    if not isinstance(value, str) or _ID.fullmatch(value) is None:
        hint = "The `next` of the answer before."
        raise BadField(f"`{field}` is {shown(value)}.", hint=hint, field=field)
    return value.upper()


_AFTER = Kind(_after, ULID_SCHEMA)


@dataclass(frozen=True, kw_only=True)
class NewExpectation(Shape):
    """POST /expect: who is to be heard how often, and who is told if it is not."""

    sender: Annotated[str, AGENT, _OWNER]
    name: Annotated[str, AGENT, "who is to be heard"]
    every_s: Annotated[int, _EVERY, "seconds; so long a silence is told"]
    tell: Annotated[list[str] | None, _TELL, "names and roles (`role:x`); left out: `from`"] = None

    @classmethod
    def schema(cls) -> Json:
        """Return what OpenAPI says of it: `from` may be left out by all whose credential has a name
        of its own.
        """
        return {**object_schema(cls), "required": ["name", "every_s"]}


@dataclass(frozen=True, kw_only=True)
class ExpectationsQuery(Format):
    """GET /expect: which ones."""

    name: Annotated[str | None, AGENT, "only those of this name"] = None
    after: Annotated[str | None, _AFTER, "the `next` of the answer before"] = None
    limit: Annotated[int, whole(1, 500), "expectations"] = 100


@dataclass(frozen=True, kw_only=True)
class EndingQuery(Shape):
    """DELETE /expect/<ref>: whose it is, where the ref is a name."""

    sender: Annotated[str, AGENT, _OWNER]


class Expectation(From):
    """A name that is to be heard every so often."""

    id: str
    name: Annotated[str, "who is to be heard"]
    every_s: Annotated[int, Says(minimum=SHORTEST_S)]
    tell: list[str]
    created: Time
    state: Annotated[str, Says(enum=list(STATES))]
    since: Annotated[Time, "of the state: silent since it was told; heard since it was set or back"]
    heard: Annotated[Time | None, "when the name was heard last; null: never"]


class OneExpectation(TypedDict):
    """One expectation."""

    ok: Literal[True]
    expectation: Expectation


class ExpectationSet(OneExpectation):
    """An expectation, as it is now."""

    is_new: bool
    warnings: Annotated[list[str], "in words: nobody has the name, say"]


class Expectations(TypedDict):
    """Expectations, in the order of their ids."""

    ok: Literal[True]
    expectations: list[Expectation]
    has_more: bool
    next: str | None


def is_name(ref: str) -> bool:
    """Return whether a text can be a name."""
    return NAME.fullmatch(ref) is not None
