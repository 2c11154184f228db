"""Which permission decides a call, and how. Pure.

A rule says of one source, target and action: allow or deny, for how long, for which commands, and
whether an admin is asked each time. The rules of `docs/net.md`, "Permissions", in code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NotRequired, TypedDict, cast

from bus.errors import BadField
from bus.model import checks
from bus.model.answer import Time
from bus.model.calls import ACTIONS, EXEC
from bus.model.grants import ANYONE, REQUIRED
from bus.model.kinds import MACHINE_SCHEMA, TEXT, choice
from bus.model.shape import Kind, Shape

# What a shell passes on as it is. Not `~`, `*`, `?`, `[`, `{`, `#`, `!`, `$`, quotes, operators or
# line ends.
_PLAIN = re.compile(r"[A-Za-z0-9_./:=@%+, -]+")


@dataclass(frozen=True)
class Rule:
    """What was last said of a source, a target and an action.

    `expires` and `granted` are times as in records.
    """

    source: str
    target: str
    action: str
    allow: bool
    commands: tuple[tuple[str, ...], ...] = ()
    approval: bool = False
    expires: str | None = None
    by: str = ""
    granted: str = ""

    @property
    def reach(self) -> int:
        """How specific it is: 2, 1 or 0 names given."""
        return (self.source != ANYONE) + (self.target != ANYONE)

    def matches(self, source: str, target: str, action: str) -> bool:
        return (
            self.source in (source, ANYONE)
            and self.target in (target, ANYONE)
            and self.action == action
        )

    def as_dict(self) -> Permission:
        """As callers see it."""
        shown: dict[str, Any] = {
            "source": self.source,
            "target": self.target,
            "action": self.action,
            "allow": self.allow,
        }
        if self.commands:
            shown["commands"] = [list(words) for words in self.commands]
        if self.approval:
            shown["approval"] = REQUIRED
        if self.expires is not None:
            shown["expires"] = self.expires
        return cast(Permission, {**shown, "by": self.by, "granted": self.granted})


@dataclass(frozen=True)
class Decision:
    """Whether a call may go on, by which rule, why; and whether an admin has to be asked first."""

    allowed: bool
    reason: str
    rule: Rule | None = None
    approval: bool = False


_END = Kind(checks.agent, MACHINE_SCHEMA)


@dataclass(frozen=True, kw_only=True)
class PermissionQuery(Shape):
    """GET /api/permissions: of which source, to which target; None is all of them."""

    source: Annotated[str | None, TEXT] = None
    target: Annotated[str | None, TEXT] = None


@dataclass(frozen=True, kw_only=True)
class CheckQuery(Shape):
    """GET /api/permissions/check: whether a call would be allowed. `source` None is the caller."""

    source: Annotated[str | None, _END] = None
    target: Annotated[str, _END]
    action: Annotated[str, choice(ACTIONS)]
    command: Annotated[str | None, TEXT] = None

    def __post_init__(self) -> None:
        if self.command is not None and self.action != EXEC:
            raise BadField("`command` is for the action exec.", field="command")

    def request(self) -> dict[str, Any] | None:
        """Return what would be run; None where it is not said."""
        return None if self.command is None else {"argv": ["bash", "-c", self.command]}


class Permission(TypedDict):
    """A permission as callers see it. `allow` is None in the answer to a removal."""

    source: str
    target: str
    action: NotRequired[str]
    actions: NotRequired[list[str]]
    allow: bool | None
    commands: NotRequired[list[list[str]]]
    approval: NotRequired[str]
    expires: NotRequired[Time]
    by: str
    granted: str
    removed: NotRequired[list[str]]
    unknown: NotRequired[
        Annotated[dict[str, str], "of POST /api/permit: what is wrong with a name, by its field"]
    ]


class Permitted(TypedDict):
    """The answer to POST /api/permit."""

    ok: bool
    permission: Permission


class Permissions(TypedDict):
    """The permissions that hold now."""

    ok: bool
    permissions: list[Permission]


class Decided(TypedDict):
    """Whether a call would be allowed, and by which permission."""

    ok: bool
    allowed: bool
    source: str
    target: str
    action: str
    reason: str
    approval: NotRequired[str]
    rule: Permission | None


def decide(
    rules: Iterable[Rule],
    source: str,
    target: str,
    action: str,
    request: Mapping[str, Any] | None = None,
) -> Decision:
    """Return the decision on a call, by the rules that hold now.

    Without `request` the commands of a rule are not compared.
    """
    matching = [rule for rule in rules if rule.matches(source, target, action)]
    if not matching:
        return Decision(False, f"no permission matches {source} -> {target} for {action}")
    reach = max(rule.reach for rule in matching)
    nearest = [rule for rule in matching if rule.reach == reach]
    for rule in nearest:
        if not rule.allow:
            return Decision(False, f"{rule.source} -> {rule.target} is denied {action}", rule)
    for rule in nearest:
        refusal = _refusal(rule, action, request)
        if refusal:
            return Decision(False, refusal, rule)
    asking = next((rule for rule in nearest if rule.approval), None)
    rule = asking or nearest[0]
    return Decision(
        True, f"{rule.source} -> {rule.target} is allowed {action}", rule, asking is not None
    )


def _refusal(rule: Rule, action: str, request: Mapping[str, Any] | None) -> str | None:
    """Why a rule for some commands only does not allow this one; None when it does."""
    if action != EXEC or not rule.commands or request is None:
        return None
    for field in ("env", "user"):
        if field in request:
            return f"the permission is for some commands only, and does not allow `{field}`"
    words = plain_words(request["argv"])
    if words is None:
        return (
            "the permission is for some commands only, and this one needs a shell: use argv, or"
            " plain words"
        )
    if any(tuple(words[: len(beginning)]) == beginning for beginning in rule.commands):
        return None
    return "the permission does not allow this command: " + ", ".join(
        " ".join(beginning) for beginning in rule.commands
    )


def plain_words(argv: Sequence[str]) -> list[str] | None:
    """Return the words that will run: those of `argv`, or of a `bash -c` text in which a shell has
    nothing to do; else None.
    """
    if list(argv[:2]) != ["bash", "-c"]:
        return list(argv)
    if len(argv) != 3 or _PLAIN.fullmatch(argv[2]) is None:
        return None
    words = argv[2].split(" ")
    return [word for word in words if word]
