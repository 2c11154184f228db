"""bus install."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from busclient._claude.profiles import SERVERS
from busclient._cli import exits
from busclient._cli.other_clients import CLIENTS, block, rules
from busclient._cli.output import json_option, open_bus, out
from busclient._errors import BusError
from busclient._places import Places

if TYPE_CHECKING:
    from busclient._claude.rules import Rules, Skill
    from busclient._claude.servers import ProjectServers, UserServers
    from busclient._claude.settings_file import SettingsFile

_HTTP_EVENTS = ("UserPromptSubmit", "PostToolUse", "Stop", "Notification", "SessionEnd")
_WITHOUT_HOOKS = ("--settings", '{"disableAllHooks":true}')  # looking is no end of a session
_BASIC = "export BUS_BASIC=$(printf %s \"$BUS_USER:$BUS_PASS\" | base64 | tr -d '\\n')"


@click.command()
@click.argument("what", type=click.Choice(["claude-code", *CLIENTS]))
@click.option(
    "--scope",
    type=click.Choice(["user", "project"]),
    default="user",
    show_default=True,
    help="For all your sessions, or for those in this folder.",
)
@click.option(
    "--profile",
    type=click.Choice(list(SERVERS)),
    default="default",
    show_default=True,
    help="Which tools.",
)
@click.option(
    "--rules", "with_rules", is_flag=True, help="Also the rules in CLAUDE.md, and a skill."
)
@click.option("--check", is_flag=True, help="Only say what is installed and when hooks last ran.")
@click.option("--uninstall", is_flag=True, help="Undo it.")
@click.option("--print-http", is_flag=True, help="Only print a settings block with HTTP hooks.")
@click.option("--print", "is_printed", is_flag=True, help="Of other clients: print what to paste.")
@json_option
def install(
    what: str,
    scope: str,
    profile: str,
    with_rules: bool,
    check: bool,
    uninstall: bool,
    print_http: bool,
    is_printed: bool,
) -> int:
    """Make the bus part of every session of Claude Code: hooks, status line and tools.

    Hooks of others, an existing status line and the order of keys stay. Doing it twice changes
    nothing; --uninstall restores the settings byte for byte if nothing else changed them, and takes
    away what --rules has written (with --rules: only that).

    For other MCP clients (codex, gemini, cursor, vscode, opencode), --print prints the block for
    their settings and a paragraph for AGENTS.md; nothing is written.
    """
    if what != "claude-code":
        if with_rules or check or uninstall or print_http or scope != "user":
            raise click.UsageError(f"For {what} there are --print and --profile only.")
        if not is_printed:
            raise click.UsageError(
                f"bus writes no settings of {CLIENTS[what].name}; it only prints what to paste:"
                f" bus install {what} --print"
            )
        return _print_block(what, profile)
    if is_printed:
        raise click.UsageError("--print is for other clients; claude-code has --print-http.")
    if check + uninstall + print_http > 1:
        raise click.UsageError("Give one of --check, --uninstall and --print-http.")
    if with_rules and (check or print_http):
        raise click.UsageError("--rules goes with an installation, or with --uninstall.")
    if print_http:
        return _print_http()
    place = _Place.of(scope, profile)
    if check:
        return _check(place)
    from busclient._claude.kept_file import one_at_a_time  # noqa: PLC0415

    with one_at_a_time(place.places):
        if uninstall:
            return _uninstall(place, only_rules=with_rules)
        return _install(place, with_rules=with_rules)


@dataclass(frozen=True)
class _Place:
    """What is installed, and where."""

    places: Places
    bus: str
    server: str
    entry: dict[str, Any]
    settings: SettingsFile
    servers: UserServers | ProjectServers
    rules: Rules
    skill: Skill

    @classmethod
    def of(cls, scope: str, profile: str) -> _Place:
        from busclient._claude import servers  # noqa: PLC0415
        from busclient._claude.registry import Registry  # noqa: PLC0415
        from busclient._claude.rules import Rules, Skill  # noqa: PLC0415
        from busclient._claude.settings_file import SettingsFile  # noqa: PLC0415

        places, bus, in_project = Places.of_user(), _bus_command(), scope == "project"
        folder = Path.cwd() / ".claude" if in_project else servers.folder_of_user()
        path = folder / "settings.json"
        registry = Registry(places, path)
        return cls(
            places,
            bus,
            SERVERS[profile],
            servers.entry(bus, profile),
            SettingsFile(path, places, in_project=in_project),
            servers.ProjectServers(registry, Path.cwd(), places)
            if in_project
            else servers.UserServers(registry),
            Rules((Path.cwd() if in_project else folder) / "CLAUDE.md", places),
            Skill(folder / "skills", places),
        )


def _install(place: _Place, *, with_rules: bool) -> int:
    path = place.settings.path
    place.servers.check(place.server, place.entry)
    is_changed = place.settings.install(place.bus, place.server)
    is_added, said = place.servers.add(place.server, place.entry)
    facts: dict[str, Any] = {"path": str(path), "changed": is_changed, "mcp_added": is_added}
    lines = [f"{path}: " + ("hooks and status line added" if is_changed else _NOTHING), said]
    if with_rules:
        facts["rules"], facts["skill"] = place.rules.write(), place.skill.write()
        words = {True: "written", False: _NOTHING, None: "another skill is there; it stays"}
        lines.append(f"{place.rules.path}: rules {words[facts['rules']]}")
        lines.append(f"{place.skill.path}: {words[facts['skill']]}")
    out.result(facts, "\n".join([*lines, "new sessions of Claude Code have them"]))
    return exits.OK


_NOTHING = "nothing to do"


def _uninstall(place: _Place, *, only_rules: bool) -> int:
    """Take everything away, or what --rules has written."""
    # The settings last: their folder can go only when nothing else is in it.
    facts: dict[str, Any] = {"rules": place.rules.remove(), "skill": place.skill.remove()}
    parts = ((place.rules.path, facts["rules"]), (place.skill.path, facts["skill"]))
    lines = [_became(path, became) for path, became in parts if only_rules or became != "absent"]
    if not only_rules:
        facts["settings"] = place.settings.uninstall()
        lines.append(_became(place.settings.path, facts["settings"]))
        facts["path"] = str(place.settings.path)
        facts["mcp_removed"], said = place.servers.remove()
        lines.append(said)
    out.result(facts, "\n".join(lines))
    return exits.OK


def _became(path: Path, became: str) -> str:
    """Return what became of a file, in words."""
    words = {
        "restored": "is as it was before, byte for byte" if path.exists() else "is gone",
        "removed": "was changed meanwhile: only our entries were removed",
        "absent": "held nothing of ours",
    }
    return f"{path} {words[became]}"


def _check(place: _Place) -> int:
    """Say what is installed, whether it runs, which versions, and when each hook last ran."""
    from busclient._claude.servers import asked, is_same  # noqa: PLC0415
    from busclient._claude.settings_file import EVENTS  # noqa: PLC0415
    from busclient._claude.state import read  # noqa: PLC0415
    from busclient._version import __version__  # noqa: PLC0415

    has, ran = place.settings.has(place.bus, place.server), read(place.places, "hooks-ran.json")
    there = place.servers.found(place.server)
    has_server = there is not None and is_same(there, place.entry)
    code, hub = _hub()
    is_there, version = asked("--version")
    claude = version.split()[0] if is_there and version.split() else None
    status = (
        None if there is None else _status(asked(*_WITHOUT_HOOKS, "mcp", "get", place.server)[1])
    )
    facts: dict[str, Any] = {
        "installed": all(has.values()),
        "path": str(place.settings.path),
        "parts": has,
        "mcp": has_server,
        "mcp_status": status,
        "rules": place.rules.is_there(),
        "skill": place.skill.is_there(),
        "hub": hub,
        "version": __version__,
        "claude_version": claude,
        "ran": ran,
    }
    lines = [
        f"settings: {'installed' if facts['installed'] else 'not installed'}"
        f" ({place.settings.path})",
        *(
            f"{name}: {_words(found)}" + (f", last ran {ran.get(name, 'never')}") * (name in EVENTS)
            for name, found in has.items()
        ),
        f"MCP server {place.server}: {_server_words(there, has_server)} ({place.servers.path})"
        + (f"; Claude Code says: {status}" if status else ""),
        f"rules: {_words(facts['rules'])} ({place.rules.path})",
        f"skill: {_words(facts['skill'])} ({place.skill.path})",
        f"bus {__version__}; Claude Code {claude or 'is not on the PATH'}; hub: {hub}",
    ]
    out.result(facts, "\n".join(lines))
    return code if facts["installed"] and has_server else exits.NOT_FOUND


def _words(is_there: bool) -> str:
    return "installed" if is_there else "not installed"


def _server_words(there: Any, is_ours: bool) -> str:
    if there is None:
        return "not registered"
    return "registered" if is_ours else "another program is registered under this name"


def _hub() -> tuple[int, str]:
    """Return how the hub answers: the exit code for it, and words."""
    try:
        with open_bus() as bus:
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


def _bus_command() -> str:
    """Return how this command is run from anywhere."""
    called = Path(sys.argv[0])
    if called.name == "bus" and called.exists():
        return shlex.quote(str(called.absolute()))
    # -P: nothing is loaded from the folder in which a session works.
    return f"{shlex.quote(sys.executable)} -P -m busclient"


def _print_http() -> int:
    """Print settings that use HTTP hooks alone, and say what they need besides."""
    with open_bus() as bus:
        url = bus.settings.url
    hook = {
        "type": "http",
        "url": f"{url}/hooks/claude-code",
        "timeout": 5,
        "headers": {"Authorization": "Basic $BUS_BASIC"},
        "allowedEnvVars": ["BUS_BASIC"],
    }
    settings = {"hooks": {event: [{"hooks": [hook]}] for event in _HTTP_EVENTS}}
    click.echo(json.dumps(settings, indent=2))
    out.note(
        "this block belongs into ~/.claude/settings.json. Set BUS_BASIC where Claude Code starts:\n"
        f"{_BASIC}"
    )
    return exits.OK


def _print_block(what: str, profile: str) -> int:
    """Print what to paste, each part after a note that says where."""
    client, server = CLIENTS[what], SERVERS[profile]
    settings, paragraph = block(client, _bus_command(), server, profile), rules(server, profile)
    if out.as_json:
        texts = {"block": settings, "rules": paragraph}
        out.json({"ok": True, "file": client.file, "rules_file": client.rules_file, **texts})
        return exits.OK
    out.note(f"this belongs into {client.file}. What is there already stays beside it.")
    if client.note:
        out.note(client.note)
    out.line(f"{settings}\n")
    out.note(f"this tells the model how to use the tools. It belongs into {client.rules_file}.")
    out.line(paragraph)
    return exits.OK
