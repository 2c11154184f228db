"""What an admin says of a permission: POST /api/permit. No I/O.

How the rules that come of it decide is in `permissions.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from bus.errors import BadField
from bus.model import checks
from bus.model.calls import ACTIONS, EXEC
from bus.model.kinds import AGENT, CALLER_OR_SESSION, MACHINE_SCHEMA, expiry
from bus.model.shape import Json, Kind, Shape, object_schema

ANYONE = "*"
REQUIRED = "required"
MAX_COMMANDS, _LONGEST_WORD = 64, 4096


def _end(value: Any, field: str) -> str:
    if value == ANYONE:
        return ANYONE
    name = checks.agent(value, field)
    if "/" in name:
        raise BadField(
            f"`{field}` is {name!r}: rights hang on machines, not on sessions.", field=field
        )
    return name


def _allow(value: Any, field: str) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise BadField(
            "`allow` is not true, false or null.",
            hint="null removes what was said before.",
            field=field,
        )
    return value


def _actions(value: Any, field: str) -> list[str]:
    if (
        not isinstance(value, list)
        or not value
        or any(item not in ACTIONS or not isinstance(item, str) for item in value)
    ):
        raise BadField(
            "`actions` is not a list of actions.", hint=f"Of {', '.join(ACTIONS)}.", field=field
        )
    return [action for action in ACTIONS if action in value]


def _commands(value: Any, field: str) -> list[list[str]]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_COMMANDS:
        raise BadField(
            "`commands` is not a list, or is empty or too long.",
            hint='["git status", "uptime"]',
            field=field,
        )
    return [_words(item, field) for item in value]


def _words(item: Any, field: str) -> list[str]:
    words = item.split() if isinstance(item, str) else item
    if (
        not isinstance(words, list)
        or not words
        or not all(isinstance(word, str) and 0 < len(word) <= _LONGEST_WORD for word in words)
    ):
        raise BadField(
            "`commands` holds something that is not a command.",
            hint="A text, or a list of words.",
            field=field,
        )
    return words


def _approval(value: Any, field: str) -> str:
    if value != REQUIRED:
        raise BadField(
            "`approval` is not `required`.",
            hint='"approval":"required", or leave it out.',
            field=field,
        )
    return REQUIRED


_EXAMPLE = '{"source":"web1","target":"db1","allow":true}'
_END = Kind(_end, {"oneOf": [{"const": ANYONE}, MACHINE_SCHEMA]}, missing=_EXAMPLE)
_ALLOW = Kind(_allow, {"type": ["boolean", "null"]}, missing=_EXAMPLE)
_ACTIONS = Kind(_actions, {"type": "array", "items": {"enum": list(ACTIONS)}, "minItems": 1})
_WORD: Json = {"type": "string", "pattern": "^[!-~]+( [!-~]+)*$", "maxLength": _LONGEST_WORD}
_COMMANDS = Kind(
    _commands,
    {
        "type": "array",
        "minItems": 1,
        "maxItems": MAX_COMMANDS,
        "items": {"oneOf": [_WORD, {"type": "array", "items": _WORD, "minItems": 1}]},
    },
)
_APPROVAL = Kind(_approval, {"const": REQUIRED})


@dataclass(frozen=True, kw_only=True)
class Grant(Shape):
    """POST /api/permit: allow or deny something; or with `allow` None remove what was said of it
    before.
    """

    sender: Annotated[str | None, AGENT, CALLER_OR_SESSION] = None
    source: Annotated[str, _END]
    target: Annotated[str, _END]
    allow: Annotated[bool | None, _ALLOW, "null removes what was said before"]
    actions: Annotated[list[str] | None, _ACTIONS] = None
    expires_in_s: Annotated[float | None, expiry()] = None
    commands: Annotated[list[list[str]] | None, _COMMANDS] = None
    approval: Annotated[str | None, _APPROVAL] = None

    def __post_init__(self) -> None:
        if self.commands is not None and self.covered != [EXEC]:
            # Who may write any file may run any command: it would be no limit at all.
            raise BadField(
                "`commands` is for exec alone.",
                hint='Leave `actions` out, or give ["exec"].',
                field="actions",
            )
        if not self.allow and (self.commands is not None or self.approval is not None):
            raise BadField(
                "Only an allow has `commands` or `approval`.",
                hint="A deny or a removal is for all of it.",
                field="allow",
            )
        if self.allow is None and self.expires_in_s is not None:
            raise BadField(
                "A removal does not expire.",
                hint="Leave `expires_in_s` out.",
                field="expires_in_s",
            )

    @property
    def covered(self) -> list[str]:
        """The actions that it is about: all, or with `commands` exec, where it does not say."""
        if self.actions is not None:
            return self.actions
        return list(ACTIONS) if self.commands is None else [EXEC]

    def rule(self) -> dict[str, Any]:
        """Return what a record says of it, but for its time and its end."""
        said: dict[str, Any] = {"source": self.source, "target": self.target, "allow": self.allow}
        said["actions"] = self.covered
        if self.commands is not None:
            said["commands"] = self.commands
        if self.approval is not None:
            said["approval"] = self.approval
        return said

    @classmethod
    def schema(cls) -> Json:
        """Return what OpenAPI says: the forms that an allow, with `commands` or without, a deny and
        a removal have.
        """
        allowed, denied, removed = ({"enum": [allow]} for allow in (True, False, None))
        exec_only = {**_ACTIONS.schema, "items": {"enum": [EXEC]}, "maxItems": 1}
        only_allowed = ("commands", "approval")
        return {
            "anyOf": [
                object_schema(cls, (), ("commands",), allow=allowed, actions=exec_only),
                object_schema(cls, ("commands",), allow=allowed),
                object_schema(cls, only_allowed, allow=denied),
                object_schema(cls, (*only_allowed, "expires_in_s"), allow=removed),
            ]
        }
