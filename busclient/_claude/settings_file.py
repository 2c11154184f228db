"""Claude Code's settings file: our hooks, status line and permission merged into it, and taken out
again. What others have put there stays as it is.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from busclient._errors import LocalTrouble, SettingsError
from busclient._files import followed, write_private
from busclient._places import Places

_SIMPLE = ("UserPromptSubmit", "PostToolUse", "SessionEnd", "Notification")
_WITH_WAITER = ("SessionStart", "Stop")
_A_DAY_S = 86_400
_OURS = re.compile(
    r"(?:^|/)(?:bus|-m busclient|python\S* -m busclient)['\"]? (?:hook|wait-for-mail)$"
)
_OUR_LINE = re.compile(r"['\"]? statusline(?: --and .*)?$", re.DOTALL)


def with_ours(settings: Mapping[str, Any], bus: str, server: str) -> dict[str, Any]:
    """Return settings with what a session on the bus has; what is there already is not doubled."""
    found: dict[str, Any] = json.loads(json.dumps(settings))
    hooks = _object(found, "hooks")
    for event in (*_WITH_WAITER, *_SIMPLE):
        groups = _list(hooks, event)
        _take_out(groups)
        groups.append({"hooks": _hooks(event, bus)})
    found["statusLine"] = _status_line(found.get("statusLine"), bus)
    rule = _rule(server)
    allowed = _list(_object(found, "permissions"), "allow")
    if rule not in allowed:
        allowed.append(rule)
    return found


def without_ours(settings: Mapping[str, Any], rules: Sequence[str] = ()) -> dict[str, Any]:
    """Return settings without what `with_ours` adds; of permissions, without these `rules`."""
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
    allowed = _allowed(found)
    if any(rule in allowed for rule in rules):
        permissions = found["permissions"]
        permissions["allow"] = [rule for rule in allowed if rule not in rules]
        if not permissions["allow"]:
            del permissions["allow"]
        if not permissions:
            del found["permissions"]
    return found


class SettingsFile:
    """One settings file, and what it was before we changed it."""

    def __init__(self, path: Path, places: Places) -> None:
        self.path, self._places = path, places
        self._record = places.state / "claude-code-settings.json"

    def install(self, bus: str, server: str) -> bool:
        """Put ours in; return whether that changed the file. Raises SettingsError, LocalTrouble."""
        before = self._text()
        settings = self._parsed(before)
        wanted = with_ours(settings, bus, server)
        if wanted == settings:
            return False
        after = _written(wanted, before or "", self.path)
        known = self._known() or {}
        facts: dict[str, Any] = {"after": after, "rules": known.get("rules", [])}
        rule = _rule(server)
        if rule not in _allowed(settings):
            facts["rules"] = [*facts["rules"], rule]
        # What was there without us: of a second installation, what the first one has found. A file
        # with ours in it that was changed since has no such text any more.
        if known.get("after") == before and "before" in known:
            facts["before"] = known["before"]
        elif without_ours(settings) == settings:
            facts["before"] = before
        self._write(after)
        self._note(facts)
        return True

    def uninstall(self) -> str:
        """Take ours out: `restored` byte for byte, `removed` from a file that was changed since,
        or `absent`. Raises SettingsError, LocalTrouble.
        """
        text, known = self._text(), self._known() or {}
        if text is None:
            self._note(None)
            return "absent"
        if known.get("after") == text and "before" in known:
            self._write(known["before"])
            self._note(None)
            return "restored"
        settings = self._parsed(text)
        left = without_ours(settings, known.get("rules", []))
        self._note(None)
        if left == settings:
            return "absent"
        self._write(_written(left, text, self.path))
        return "removed"

    def is_installed(self, bus: str, server: str) -> bool:
        """Return whether all of ours is in the file."""
        settings = self._parsed(self._text())
        return with_ours(settings, bus, server) == settings

    def _text(self) -> str | None:
        try:
            return self.path.read_bytes().decode("utf-8")
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise LocalTrouble(f"{self.path} cannot be read: {error}") from None

    def _parsed(self, text: str | None) -> dict[str, Any]:
        if text is None or not text.strip():
            return {}
        try:
            settings = json.loads(text.removeprefix("\ufeff"), object_pairs_hook=_no_twins)
        except ValueError as error:
            raise SettingsError(
                f"{self.path} is not plain JSON ({error}); nothing was changed.",
                hint="Mend the file, or paste the block of docs/claude-code.md by hand.",
            ) from None
        if not isinstance(settings, dict):
            raise SettingsError(f"{self.path} is not a JSON object; nothing was changed.")
        return settings

    def _write(self, text: str | None) -> None:
        path = followed(self.path)
        try:
            if text is None:
                path.unlink()
                return
            mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
            path.parent.mkdir(parents=True, exist_ok=True)
            write_private(path, text)
            os.chmod(path, mode)
        except OSError as error:
            raise LocalTrouble(f"{path} cannot be written: {error.strerror or error}.") from error

    def _known(self) -> dict[str, Any] | None:
        found = self._records().get(str(self.path))
        return found if isinstance(found, dict) else None

    def _note(self, facts: dict[str, Any] | None) -> None:
        records = {**self._records(), str(self.path): facts}
        kept = {path: fact for path, fact in records.items() if fact is not None}
        self._places.make_state()
        write_private(self._record, json.dumps(kept))

    def _records(self) -> dict[str, Any]:
        with suppress(OSError, ValueError):
            found = json.loads(self._record.read_text(encoding="utf-8"))
            if isinstance(found, dict):
                return found
        return {}


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
        hooks = group.get("hooks") if isinstance(group, dict) else None
        if not isinstance(hooks, list):
            continue
        kept = [
            hook
            for hook in hooks
            if not (isinstance(hook, dict) and _OURS.search(str(hook.get("command"))))
        ]
        if len(kept) < len(hooks):
            hooks[:] = kept
            if not kept:
                groups.remove(group)


def _object(settings: dict[str, Any], name: str) -> dict[str, Any]:
    found = settings.setdefault(name, {})
    if not isinstance(found, dict):
        raise SettingsError(f"`{name}` in the settings is not an object; nothing was changed.")
    return found


def _list(settings: dict[str, Any], name: str) -> list[Any]:
    found = settings.setdefault(name, [])
    if not isinstance(found, list):
        raise SettingsError(f"`{name}` in the settings is not a list; nothing was changed.")
    return found


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object with one key twice: one of the two would be lost."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("it has a key twice in one object")
    return found


def _rule(server: str) -> str:
    return f"mcp__{server}__*"


def _allowed(settings: Mapping[str, Any]) -> list[Any]:
    permissions = settings.get("permissions")
    allowed = permissions.get("allow") if isinstance(permissions, dict) else None
    return allowed if isinstance(allowed, list) else []


def _written(settings: Mapping[str, Any], like: str, path: Path) -> str:
    """Return settings as JSON, indented as the text that they come from; raises SettingsError for
    what cannot be written as it was read.
    """
    indent = re.search(r"\n([ \t]+)\"", like)
    step: int | str = 2 if indent is None else indent[1]
    try:
        text = json.dumps(settings, indent=step, ensure_ascii=False, allow_nan=False) + "\n"
        text.encode()
    except ValueError:  # not told: it may repeat the settings, secrets among them
        raise SettingsError(
            f"{path} holds a number or a character that no file can; nothing was changed."
        ) from None
    text = "\ufeff" + text if like.startswith("\ufeff") else text
    if like and not like.endswith("\n"):
        text = text[:-1]
    return text.replace("\n", "\r\n") if "\r\n" in like else text
