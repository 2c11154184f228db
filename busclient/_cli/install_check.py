"""bus install claude-code --check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from busclient._claude.servers import asked, is_same
from busclient._claude.settings_file import EVENTS
from busclient._claude.state import read
from busclient._claude.surroundings import warnings
from busclient._cli import exits
from busclient._cli.install_place import Place
from busclient._cli.output import open_bus, out
from busclient._errors import BusError
from busclient._http.calls import Patience
from busclient._version import __version__

_WITHOUT_HOOKS = ("--settings", '{"disableAllHooks":true}')  # looking is no end of a session
_PATIENCE = Patience(connect_s=2, read_s=3, total_s=4, attempts=1)


def check(place: Place) -> int:
    """Say what is installed, whether it runs, which versions, and when each hook last ran."""
    ran = read(place.places, "hooks-ran.json")
    has = place.settings.has(place.bus, place.server)
    by_hand = _by_hand(place, has)
    has |= dict.fromkeys(by_hand, True)
    there = place.servers.found(place.server)
    has_server = there is not None and is_same(there, place.entry)
    code, hub = _hub()
    is_there, version = asked("--version")
    claude = version.split()[0] if is_there and version.split() else None
    # It starts the server, which would wait for a hub that does not answer.
    is_asked = there is not None and code != exits.AWAY
    status = _status(asked(*_WITHOUT_HOOKS, "mcp", "get", place.server)[1]) if is_asked else None
    facts: dict[str, Any] = {
        "installed": all(has.values()),
        "path": str(place.settings.path),
        "parts": has,
        "mcp": has_server,
        "mcp_status": status,
        "rules": place.rules.is_there(),
        "skill": place.skill.is_there(),
        "mail_skill": place.mail_skill.is_there(),
        "by_hand": by_hand,
        "skill_changed": place.skill.is_changed(),
        "mail_skill_changed": place.mail_skill.is_changed(),
        "warnings": warnings(place.places, place.settings),
        "hub": hub,
        "version": __version__,
        "claude_version": claude,
        "ran": ran,
    }
    lines = [
        f"settings: {_words(facts['installed'], ', '.join(dict.fromkeys(by_hand.values())))}"
        f" ({place.settings.path})",
        *(
            f"{name}: {_words(found, by_hand.get(name))}"
            + (f", last ran {ran.get(name, 'never')}") * (name in EVENTS)
            for name, found in has.items()
        ),
        f"MCP server {place.server}: {_server_words(there, has_server)} ({place.servers.path})"
        + (f"; Claude Code says: {status}" if status else ""),
        f"rules: {_words(facts['rules'])} ({place.rules.path})",
        f"skill: {_skill_words(facts, 'skill')} ({place.skill.path})",
        f"skill mail: {_skill_words(facts, 'mail_skill')} ({place.mail_skill.path})",
        f"bus {__version__}; Claude Code {claude or 'is not on the PATH'}; hub: {hub}",
    ]
    out.result(facts, "\n".join(lines))
    for warning in facts["warnings"]:
        out.note(warning)
    return code if facts["installed"] and has_server else exits.NOT_FOUND


def _by_hand(place: Place, has: Mapping[str, bool]) -> dict[str, str]:
    """Return which parts are there whole, but run another bus, and how they run it."""
    return {
        part: bus
        for bus in place.settings.others(place.bus)
        for part, is_there in place.settings.has(bus, place.server).items()
        if is_there and not has[part]
    }


def _words(is_there: bool, other: str | None = None) -> str:
    by_hand = f" by hand (or by another bus: {other})" if other else ""
    return f"installed{by_hand}" if is_there else "not installed"


def _skill_words(facts: Mapping[str, Any], name: str) -> str:
    return "changed by hand" if facts[f"{name}_changed"] else _words(facts[name])


def _server_words(there: Any, is_ours: bool) -> str:
    if there is None:
        return "not registered"
    return "registered" if is_ours else "another program is registered under this name"


def _hub() -> tuple[int, str]:
    """Return how the hub answers: the exit code for it, and words."""
    try:
        with open_bus(patience=_PATIENCE) as bus:
            bus.me()
    except BusError as error:
        return exits.of(error), error.message
    return exits.OK, "ok"


def _status(told: str) -> str | None:
    """Return what `claude mcp get` says of a server's state."""
    for line in told.splitlines():
        name, _, value = line.strip().partition(":")
        if name == "Status":
            return value.strip()[:200]
    return None
