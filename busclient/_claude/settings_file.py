"""Claude Code's settings file: our hooks, status line and permission merged into it, and taken out
again. What others have put there stays as it is.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from busclient._claude.json_form import list_in, object_in, parsed, written
from busclient._claude.kept_file import KeptFile
from busclient._places import Places

EVENTS = (
    "SessionStart",
    "UserPromptSubmit",
    "PreToolUse",
    "PostToolUse",
    "Stop",
    "SessionEnd",
    "Notification",
)
_WITH_WAITER = ("SessionStart", "Stop")
# Every kind of start that is known: a new kind of Claude Code's is none that was tried.
_MATCHERS = {
    "SessionStart": "startup|resume|clear|compact|fork",
    "PreToolUse": "Edit|Write|MultiEdit|NotebookEdit",  # that of `editing.TOOLS`
}
_A_DAY_S = 86_400
_OURS = re.compile(
    r"(?:^|/)(?:bus|-m busclient|python\S*(?: -P)? -m busclient)['\"]? (?:hook|wait-for-mail)$"
)
_POLLS = re.compile(r"\bbus['\"]? poll\b|session-start-poll|\bcurl\b.*/inbox\b")
# What the frames tell a model to run. A session that was woken with nobody there must not be asked.
_COMMANDS = ("reply", "ack", "read", "inbox", "answer", "decline")
_OUR_LINE = re.compile(r"['\"]? statusline(?: --and .*)?$", re.DOTALL)
_ENABLED = "enabledMcpjsonServers"


def with_ours(
    settings: Mapping[str, Any], bus: str, server: str, *, in_project: bool = False
) -> dict[str, Any]:
    """Return settings with what a session on the bus has; what is there already is not doubled.

    The settings of a project also say that its `.mcp.json` may start our server: Claude Code asks
    before it does, unless they do.
    """
    found: dict[str, Any] = json.loads(json.dumps(settings))
    hooks = object_in(found, "hooks")
    for event in EVENTS:
        groups = list_in(hooks, event)
        matcher = {"matcher": _MATCHERS[event]} if event in _MATCHERS else {}
        ours = {**matcher, "hooks": _hooks(event, bus)}
        if [group for group in groups if _of_ours(group)] != [ours]:
            _take_out(groups)
            groups.append(ours)
    found["statusLine"] = _status_line(found.get("statusLine"), bus)
    allowed = list_in(object_in(found, "permissions"), "allow")
    for rule in rules_for(server):
        _add(allowed, rule)
    if in_project:
        _add(list_in(found, _ENABLED), server)
    return found


def without_ours(
    settings: Mapping[str, Any], rules: Sequence[str] = (), enabled: Sequence[str] = ()
) -> dict[str, Any]:
    """Return settings without what `with_ours` adds; of permissions, without these `rules`, and of
    the servers that may start, without those that we have `enabled`.
    """
    found: dict[str, Any] = json.loads(json.dumps(settings))
    hooks = found.get("hooks")
    if isinstance(hooks, dict):
        for event, groups in list(hooks.items()):
            if isinstance(groups, list):
                _take_out(groups)
                if not groups:
                    del hooks[event]
        if not hooks:
            del found["hooks"]
    line = found.get("statusLine")
    if isinstance(line, dict) and _OUR_LINE.search(str(line.get("command"))):
        other = _other_line(line["command"])
        if other is not None:
            line["command"] = other
        else:
            del found["statusLine"]
    permissions = found.get("permissions")
    if isinstance(permissions, dict) and _remove(permissions, "allow", rules) and not permissions:
        del found["permissions"]
    _remove(found, _ENABLED, enabled)
    return found


class SettingsFile:
    """One settings file, and what it was before we changed it."""

    def __init__(self, path: Path, places: Places, *, in_project: bool = False) -> None:
        self.path, self._in_project = path, in_project
        self._file = KeptFile(path, places)

    def install(self, bus: str, server: str) -> bool:
        """Put ours in; return whether that changed the file. Raises SettingsError, LocalTrouble."""
        before = self._file.text()
        settings = parsed(before, self.path)
        wanted = self._with_ours(settings, bus, server)
        if wanted == settings:
            return False
        known = self._file.known()
        facts = {name: list(known.get(name, [])) for name in ("rules", "enabled")}
        allowed = _allowed(settings)
        facts["rules"] += [rule for rule in rules_for(server) if rule not in allowed]
        if self._in_project and server not in _items(settings.get(_ENABLED)):
            facts["enabled"].append(server)
        after = written(wanted, before or "", self.path)
        # Without a note of ours, hooks of a bus that are there were put in by hand, or by another.
        is_clean = not known or without_ours(settings) == settings
        self._file.change(before, after, is_clean=is_clean, facts=facts)
        return True

    def uninstall(self) -> str:
        """Take ours out: `restored` byte for byte, `removed` from a file that was changed since,
        or `absent`. Raises SettingsError, LocalTrouble.
        """
        known = self._file.known()

        def without(text: str) -> str:
            settings = parsed(text, self.path)
            left = without_ours(settings, known.get("rules", []), known.get("enabled", []))
            return text if left == settings else written(left, text, self.path)

        return self._file.undo(without, lambda text: not parsed(text, self.path))

    def has(self, bus: str, server: str) -> dict[str, bool]:
        """Return of each part of the installation whether it is in the file: the events, the status
        line, the permission and, in a project, that the server may start.
        """
        settings = parsed(self._file.text(), self.path)
        wanted = self._with_ours(settings, bus, server)
        there = settings.get("hooks")
        there = there if isinstance(there, dict) else {}
        found = {event: there.get(event) == wanted["hooks"][event] for event in EVENTS}
        found["status line"] = settings.get("statusLine") == wanted["statusLine"]
        allowed = _allowed(settings)
        found["permission"] = all(rule in allowed for rule in rules_for(server))
        if self._in_project:
            found["server enabled"] = server in _items(settings.get(_ENABLED))
        return found

    def others(self, bus: str) -> list[str]:
        """Return how hooks of a bus in the file run it, if not as `bus`: they were put in by hand,
        or by another bus. Raises SettingsError.
        """
        return [other for other in _buses(parsed(self._file.text(), self.path)) if other != bus]

    def is_noted(self) -> bool:
        """Return whether we have changed the file, and not taken that back."""
        return bool(self._file.known())

    def polls(self) -> list[str]:
        """Return the hooks of a start that show mail beside ours. Raises SettingsError."""
        commands = _commands(parsed(self._file.text(), self.path), ["SessionStart"])
        return [command for command in commands if _POLLS.search(command)]

    def _with_ours(self, settings: Mapping[str, Any], bus: str, server: str) -> dict[str, Any]:
        return with_ours(settings, bus, server, in_project=self._in_project)


def _buses(settings: Mapping[str, Any]) -> list[str]:
    """Return how the hooks of a bus in settings run it, each way once."""
    found = [one for one in _commands(settings, EVENTS) if _OURS.search(one)]
    return list(dict.fromkeys(one.rpartition(" ")[0] for one in found))


def _commands(settings: Mapping[str, Any], events: Iterable[str]) -> list[str]:
    """Return the command lines of the hooks of these events."""
    hooks = settings.get("hooks")
    return [
        str(hook.get("command"))
        for event in events
        for group in _items(hooks.get(event) if isinstance(hooks, dict) else None)
        for hook in _items(group.get("hooks") if isinstance(group, dict) else None)
        if isinstance(hook, dict)
    ]


def _hooks(event: str, bus: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [{"type": "command", "command": f"{bus} hook", "timeout": 5}]
    if event in _WITH_WAITER:
        waiter = {"type": "command", "command": f"{bus} wait-for-mail"}
        found.append({**waiter, "asyncRewake": True, "timeout": _A_DAY_S})
    return found


def _status_line(there: Any, bus: str) -> dict[str, Any]:
    """Return our status line, with another one kept in front of it."""
    own = f"{bus} statusline"
    if not isinstance(there, dict) or not isinstance(there.get("command"), str):
        return {"type": "command", "command": own, "refreshInterval": 5}
    is_ours = _OUR_LINE.search(there["command"])
    other = _other_line(there["command"]) if is_ours else there["command"]
    return {**there, "command": own if other is None else f"{own} --and {shlex.quote(other)}"}


def _other_line(command: str) -> str | None:
    """Return the status line that ours keeps in front of it; None if there is none."""
    words = shlex.split(command)
    return words[words.index("--and") + 1] if "--and" in words else None


def _take_out(groups: list[Any]) -> None:
    """Remove our hooks from the groups of an event, and groups that hold nothing else."""
    for group in list(groups):
        ours = _of_ours(group)
        if ours:
            group["hooks"][:] = [hook for hook in group["hooks"] if hook not in ours]
            if not group["hooks"]:
                groups.remove(group)


def _of_ours(group: Any) -> list[Any]:
    """Return our hooks in a group of an event."""
    hooks = group.get("hooks") if isinstance(group, dict) else None
    return [
        hook
        for hook in _items(hooks)
        if isinstance(hook, dict) and _OURS.search(str(hook.get("command")))
    ]


def _add(values: list[Any], value: str) -> None:
    if value not in values:
        values.append(value)


def _remove(settings: dict[str, Any], name: str, ours: Sequence[str]) -> bool:
    """Remove ours from a list, and the list if nothing else was in it; return whether any was."""
    found = settings.get(name)
    if not isinstance(found, list) or not any(one in found for one in ours):
        return False
    settings[name] = [one for one in found if one not in ours]
    if not settings[name]:
        del settings[name]
    return True


def rules_for(server: str) -> list[str]:
    """Return what a session may do unasked: our tools, and what the frames tell it to run."""
    return [f"mcp__{server}__*", *(f"Bash(bus {command}:*)" for command in _COMMANDS)]


def _allowed(settings: Mapping[str, Any]) -> list[Any]:
    permissions = settings.get("permissions")
    return _items(permissions.get("allow")) if isinstance(permissions, dict) else []


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
