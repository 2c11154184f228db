"""Which permission decides a call, and how. Pure.

A rule says of one source, target and action: allow or deny, for how long, for which commands, and whether an admin is
asked each time. The rules of `docs/net.md`, "Permissions", in code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bus.errors import BadField, MissingField
from bus.model import checks, messages
from bus.model.calls import ACTIONS, EXEC

ANYONE = "*"
FIELDS = ("from", "source", "target", "allow", "actions", "expires_in_s", "commands", "approval")
MAX_COMMANDS = 64
REQUIRED = "required"

# What a shell passes on as it is. Not `~`, `*`, `?`, `[`, `{`, `#`, `!`, `$`, quotes, operators or line ends.
_PLAIN = re.compile(r"[A-Za-z0-9_./:=@%+, -]+")


@dataclass(frozen=True)
class Rule:
    """What was last said of a source, a target and an action. `expires` and `granted` are times as in records."""

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

    def as_dict(self) -> dict[str, Any]:
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
        return {**shown, "by": self.by, "granted": self.granted}


@dataclass(frozen=True)
class Decision:
    """Whether a call may go on, by which rule, why; and whether an admin has to be asked first."""

    allowed: bool
    reason: str
    rule: Rule | None = None
    approval: bool = False


def check_grant(given: Mapping[str, Any]) -> dict[str, Any]:
    """The checked fields of a permission; raises BadField, MissingField, UnknownField.

    `allow` is true, false, or None for a removal: nothing was ever said of this source, target and action.
    """
    checks.check_fields(given, FIELDS)
    for field in ("source", "target", "allow"):
        if field not in given:
            raise MissingField(
                f"`{field}` is missing.",
                hint='{"source":"web1","target":"db1","allow":true}',
                field=field,
            )
    if given["allow"] is not None and not isinstance(given["allow"], bool):
        raise BadField(
            "`allow` is none of true, false and null.",
            hint="null removes what was said before.",
            field="allow",
        )
    clean: dict[str, Any] = {
        "source": _end(given["source"], "source"),
        "target": _end(given["target"], "target"),
        "allow": given["allow"],
        "actions": _actions(given.get("actions", [EXEC] if "commands" in given else list(ACTIONS))),
    }
    if "commands" in given:
        clean["commands"] = _commands(given["commands"])
        if clean["actions"] != [EXEC]:
            # Who may write any file may run any command: it would be no limit at all.
            raise BadField(
                "`commands` is for exec alone.",
                hint='Leave `actions` out, or give ["exec"].',
                field="actions",
            )
    if "approval" in given:
        if given["approval"] != REQUIRED:
            raise BadField(
                "`approval` is not `required`.",
                hint='"approval":"required", or leave it out.',
                field="approval",
            )
        clean["approval"] = REQUIRED
    if not clean["allow"] and ("commands" in clean or "approval" in clean):
        raise BadField(
            "Only an allow has `commands` or `approval`.",
            hint="A deny or a removal is for all of it.",
            field="allow",
        )
    if clean["allow"] is None and "expires_in_s" in given:
        raise BadField(
            "A removal does not expire.", hint="Leave `expires_in_s` out.", field="expires_in_s"
        )
    if "expires_in_s" in given:
        clean["expires_in_s"] = messages.expiry(given["expires_in_s"])
    return clean


def decide(
    rules: Iterable[Rule],
    source: str,
    target: str,
    action: str,
    request: Mapping[str, Any] | None = None,
) -> Decision:
    """The decision on a call, by the rules that hold now. Without `request` the commands of a rule are not compared."""
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
        return "the permission is for some commands only, and this one needs a shell: use argv, or plain words"
    if any(tuple(words[: len(beginning)]) == beginning for beginning in rule.commands):
        return None
    return "the permission does not allow this command: " + ", ".join(
        " ".join(beginning) for beginning in rule.commands
    )


def plain_words(argv: Sequence[str]) -> list[str] | None:
    """The words that will run: those of `argv`, or of a `bash -c` text in which a shell has nothing to do; else None."""
    if list(argv[:2]) != ["bash", "-c"]:
        return list(argv)
    if len(argv) != 3 or _PLAIN.fullmatch(argv[2]) is None:
        return None
    words = argv[2].split(" ")
    return [word for word in words if word]


def _end(value: Any, field: str) -> str:
    if value == ANYONE:
        return ANYONE
    name = checks.agent(value, field)
    if "/" in name:
        raise BadField(
            f"`{field}` is {name!r}: rights hang on machines, not on sessions.", field=field
        )
    return name


def _actions(value: Any) -> list[str]:
    if (
        not isinstance(value, list)
        or not value
        or any(item not in ACTIONS or not isinstance(item, str) for item in value)
    ):
        raise BadField(
            "`actions` is no list of actions.", hint=f"Of {', '.join(ACTIONS)}.", field="actions"
        )
    return [action for action in ACTIONS if action in value]


def _commands(value: Any) -> list[list[str]]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_COMMANDS:
        raise BadField(
            "`commands` is no list, or empty, or too long.",
            hint='["git status", "uptime"]',
            field="commands",
        )
    found = []
    for item in value:
        words = item.split() if isinstance(item, str) else item
        if (
            not isinstance(words, list)
            or not words
            or not all(isinstance(word, str) and 0 < len(word) <= 4096 for word in words)
        ):
            raise BadField(
                "`commands` holds something that is no command.",
                hint="A text, or a list of words.",
                field="commands",
            )
        found.append(words)
    return found
