"""Our MCP server as Claude Code has it registered: for the user in `~/.claude.json`, for a project
in its `.mcp.json`.

Sessions that run rewrite `~/.claude.json`, so that one is read here, and changed by `claude mcp`
alone.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from busclient._claude.json_form import object_in, parsed, written
from busclient._claude.kept_file import KeptFile
from busclient._claude.registry import Registry
from busclient._errors import SettingsError
from busclient._places import Places

_NAME = "mcpServers"


def entry(bus: str, profile: str) -> dict[str, Any]:
    """Return our server as Claude Code registers it."""
    command, *before = shlex.split(bus)
    more = [] if profile == "default" else ["--profile", profile]
    return {"type": "stdio", "command": command, "args": [*before, "mcp", *more]}


class UserServers:
    """The servers of all sessions of the user."""

    def __init__(self, registry: Registry, environ: Mapping[str, str] = os.environ) -> None:
        own = environ.get("CLAUDE_CONFIG_DIR")
        folder = Path(own or environ.get("HOME") or Path.home())
        self.path, self._registry = folder / ".claude.json", registry

    def found(self, name: str) -> dict[str, Any] | None:
        """Return what is registered under a name; None if nothing is."""
        with suppress(OSError, ValueError, AttributeError):
            there = json.loads(self.path.read_text(encoding="utf-8")).get(_NAME, {}).get(name)
            return there if isinstance(there, dict) else None
        return None

    def check(self, name: str, wanted: Mapping[str, Any]) -> None:
        """Another's server of the same name is left as it is."""

    def add(self, name: str, wanted: Mapping[str, Any]) -> tuple[bool, str]:
        """Register our server; return whether that was done, and what to say."""
        there, is_ours = self.found(name), name in self._registry.servers()
        if there is not None and (is_same(there, wanted) or not is_ours):
            return False, _before(name, is_ours=is_same(there, wanted))
        if there is not None:
            is_done, trouble = claude("mcp", "remove", name, "--scope", "user")
            if not is_done:
                return False, trouble
        is_done, trouble = claude("mcp", "add-json", name, json.dumps(wanted), "--scope", "user")
        if is_done and not is_ours:
            self._registry.add(name)
        return is_done, trouble or f"registered the MCP server {name}"

    def remove(self) -> tuple[bool, str]:
        """Remove the servers that we have registered, and no other's of the same name."""
        said = []
        for name in self._registry.servers():
            is_done, trouble = True, ""
            if self.found(name) is not None:
                is_done, trouble = claude("mcp", "remove", name, "--scope", "user")
            said.append(trouble or f"removed the MCP server {name}")
            if is_done:
                self._registry.remove(name)
        return bool(said) and not self._registry.servers(), "\n".join(said) or _NONE

    def are_left(self) -> bool:
        """Return whether servers of ours could not be removed."""
        return bool(self._registry.servers())


class ProjectServers:
    """The servers of one project, for everybody who works there."""

    def __init__(self, registry: Registry, project: Path, places: Places) -> None:
        self.path, self._registry = project / ".mcp.json", registry
        self._file = KeptFile(self.path, places, mode=0o644)

    def found(self, name: str) -> dict[str, Any] | None:
        """Return what is registered under a name; None if nothing is. Raises SettingsError."""
        there = parsed(self._file.text(), self.path).get(_NAME)
        found = there.get(name) if isinstance(there, dict) else None
        return found if isinstance(found, dict) else None

    def check(self, name: str, wanted: Mapping[str, Any]) -> None:
        """Raise SettingsError where another's server has the name: the settings that let ours
        start would let that one start, unasked.
        """
        there = self.found(name)
        is_ours = name in self._registry.servers()
        if there is not None and not is_ours and not is_same(there, wanted):
            raise SettingsError(
                f"{self.path} has another MCP server {name}; nothing was changed.",
                hint="Take it out or give it another name, then run the same command again.",
            )

    def add(self, name: str, wanted: Mapping[str, Any]) -> tuple[bool, str]:
        """Register our server; return whether that was done, and what to say. Raises SettingsError,
        LocalTrouble.
        """
        self.check(name, wanted)
        there = self.found(name)
        if there is not None and is_same(there, wanted):
            return False, _before(name, is_ours=True)
        before = self._file.text()
        servers = parsed(before, self.path)
        object_in(servers, _NAME)[name] = dict(wanted)
        is_clean = not self._registry.servers()
        if name not in self._registry.servers():
            self._registry.add(name)
        after = written(servers, before or "", self.path)
        self._file.change(before, after, is_clean=is_clean)
        return True, f"{self.path}: registered the MCP server {name}"

    def remove(self) -> tuple[bool, str]:
        """Remove the servers that we have registered, and no other's of the same name. Raises
        SettingsError, LocalTrouble.
        """
        ours = self._registry.servers()
        if not ours:
            return False, _NONE

        def without(text: str) -> str:
            servers = parsed(text, self.path)
            there = servers.get(_NAME)
            kept = there if isinstance(there, dict) else {}
            if not any(name in kept for name in ours):
                return text
            servers[_NAME] = {name: one for name, one in kept.items() if name not in ours}
            return written(servers, text, self.path)

        became = self._file.undo(without, lambda text: _is_empty(parsed(text, self.path)))
        for name in ours:
            self._registry.remove(name)
        words = {
            "restored": "is as it was before" if self.path.exists() else "is gone",
            "removed": f"was changed meanwhile: only {', '.join(ours)} was removed",
            "absent": "held nothing of ours",
        }[became]
        return became != "absent", f"{self.path} {words}"

    def are_left(self) -> bool:
        """Return whether servers of ours could not be removed."""
        return bool(self._registry.servers())


_NONE = "no MCP server was ours"


def _before(name: str, *, is_ours: bool) -> str:
    whose = "an" if is_ours else "another program's"
    return f"{whose} MCP server {name} was registered before: it was left as it is"


def is_same(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Return whether two entries start the same program."""
    return all(there.get(part) == wanted[part] for part in ("command", "args"))


def claude(*arguments: str) -> tuple[bool, str]:
    """Run `claude`; return whether it succeeded, and what to tell if it did not."""
    line = shlex.join(["claude", *arguments])
    is_done, said = asked(*arguments)
    if is_done is None:
        return False, f"`claude` is not on the PATH; run this where it is:\n  {line}"
    said = said.strip().split("\n")[0]
    return is_done, "" if is_done else f"`{line}` failed: {said}"


def asked(*arguments: str) -> tuple[bool | None, str]:
    """Return whether `claude` succeeded, None without a `claude` on the PATH, and what it said."""
    program = shutil.which("claude")
    if program is None:
        return None, ""
    try:
        done = subprocess.run(  # noqa: S603
            [program, *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=30,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return False, str(error)
    said = done.stdout if done.returncode == 0 else done.stderr or done.stdout
    return done.returncode == 0, said


def _is_empty(servers: Mapping[str, Any]) -> bool:
    return not servers or servers == {_NAME: {}}
