"""bus install."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from busclient._claude.profiles import SERVERS
from busclient._cli import exits
from busclient._cli.output import json_option, open_bus, out
from busclient._errors import BusError
from busclient._places import Places

if TYPE_CHECKING:
    from busclient._claude.registry import Registry

_HTTP_EVENTS = ("UserPromptSubmit", "PostToolUse", "Stop", "Notification", "SessionEnd")


@click.command()
@click.argument("what", type=click.Choice(["claude-code"]))
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
@click.option("--check", is_flag=True, help="Only say what is installed and when hooks last ran.")
@click.option("--uninstall", is_flag=True, help="Undo it.")
@click.option("--print-http", is_flag=True, help="Only print a settings block with HTTP hooks.")
@json_option
def install(
    what: str, scope: str, profile: str, check: bool, uninstall: bool, print_http: bool
) -> int:
    """Make the bus part of every session of Claude Code: hooks, status line and tools.

    Hooks of others, an existing status line and the order of keys stay. Doing it twice changes
    nothing; --uninstall restores the settings byte for byte if nothing else changed them.
    """
    from busclient._claude.registry import Registry  # noqa: PLC0415
    from busclient._claude.settings_file import SettingsFile  # noqa: PLC0415

    if check + uninstall + print_http > 1:
        raise click.UsageError("Give one of --check, --uninstall and --print-http.")
    if print_http:
        with open_bus() as bus:
            click.echo(json.dumps(_http_block(bus.settings.url), indent=2))
        return exits.OK
    places, bus_command = Places.of_user(), _bus_command()
    file, server = SettingsFile(_settings_path(scope), places), SERVERS[profile]
    registry = Registry(places, file.path)
    if check:
        return _check(file, places, bus_command, server)
    if uninstall:
        became = file.uninstall()
        is_removed, said = _remove_servers(registry, scope)
        facts = {"settings": became, "path": str(file.path), "mcp_removed": is_removed}
        words = {
            "restored": "is as it was before, byte for byte" if file.path.exists() else "is gone",
            "removed": "was changed meanwhile: only our entries were removed",
            "absent": "held nothing of ours",
        }[became]
        out.result(facts, f"{file.path} {words}\n{said}")
        return exits.OK
    is_changed = file.install(bus_command, server)
    is_added, said = _add_server(bus_command, server, scope, profile)
    if is_added:
        registry.add(server)
    facts = {"path": str(file.path), "changed": is_changed, "mcp_added": is_added}
    first = f"{file.path}: " + ("hooks and status line added" if is_changed else "nothing to do")
    out.result(facts, f"{first}\n{said}\nnew sessions of Claude Code have them")
    return exits.OK


def _check(file: Any, places: Places, bus_command: str, server: str) -> int:
    """Say what is installed, whether the hub answers, and when each hook last ran."""
    from busclient._claude.state import read  # noqa: PLC0415
    from busclient._version import __version__  # noqa: PLC0415

    is_there = file.is_installed(bus_command, server)
    try:
        with open_bus() as bus:
            bus.health()
        hub = "ok"
    except BusError as error:
        hub = error.message
    has_server, _ = _mcp("get", server)
    ran = read(places, "hooks-ran.json")
    facts = {"installed": is_there, "mcp": has_server, "hub": hub, "ran": ran}
    lines = [
        f"settings: {'installed' if is_there else 'not installed'} ({file.path})",
        f"MCP server {server}: {'registered' if has_server else 'not registered'}",
        f"bus {__version__}; hub: {hub}",
    ]
    events = ("SessionStart", "UserPromptSubmit", "PostToolUse", "Stop", "SessionEnd")
    lines += [f"{event}: last ran {ran.get(event, 'never')}" for event in events]
    out.result({**facts, "version": __version__}, "\n".join(lines))
    return exits.OK if is_there else exits.NOT_FOUND


def _add_server(bus_command: str, server: str, scope: str, profile: str) -> tuple[bool, str]:
    """Register the MCP server through `claude`, whose sessions rewrite their own file."""
    command, *before = shlex.split(bus_command)
    more = [] if profile == "default" else ["--profile", profile]
    entry = {"type": "stdio", "command": command, "args": [*before, "mcp", *more]}
    if _mcp("get", server)[0]:
        return False, f"an MCP server {server} was registered before: it was left as it is"
    arguments = ("add-json", server, json.dumps(entry), "--scope", scope)
    is_done, said = _mcp(*arguments)
    return is_done, said or f"registered the MCP server {server}"


def _remove_servers(registry: Registry, scope: str) -> tuple[bool, str]:
    """Remove the MCP servers that we have registered, and no other's of the same name."""
    said = []
    for server in registry.servers():
        is_done, trouble = _mcp("remove", server, "--scope", scope)
        said.append(trouble or f"removed the MCP server {server}")
        if is_done:
            registry.remove(server)
    return bool(said) and not registry.servers(), "\n".join(said) or "no MCP server was ours"


def _mcp(*arguments: str) -> tuple[bool, str]:
    """Run `claude mcp`; return whether it succeeded, and what to tell if it did not."""
    program = shutil.which("claude")
    line = shlex.join(["claude", "mcp", *arguments])
    if program is None:
        return False, f"`claude` is not on the PATH; run this where it is:\n  {line}"
    try:
        done = subprocess.run(  # noqa: S603
            [program, "mcp", *arguments],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return False, f"`{line}` failed: {error}"
    said = (done.stderr or done.stdout).strip().split("\n")[0]
    return done.returncode == 0, "" if done.returncode == 0 else f"`{line}` failed: {said}"


def _settings_path(scope: str) -> Path:
    if scope == "project":
        return Path.cwd() / ".claude" / "settings.json"
    folder = os.environ.get("CLAUDE_CONFIG_DIR")
    home = Path(os.environ.get("HOME") or Path.home())
    return (Path(folder) if folder else home / ".claude") / "settings.json"


def _bus_command() -> str:
    """Return how this command is run from anywhere."""
    called = Path(sys.argv[0])
    if called.name == "bus" and called.exists():
        return shlex.quote(str(called.absolute()))
    return f"{shlex.quote(sys.executable)} -m busclient"


def _http_block(url: str) -> dict[str, Any]:
    """Return settings that use HTTP hooks alone."""
    hook = {
        "type": "http",
        "url": f"{url}/hooks/claude-code",
        "timeout": 5,
        "headers": {"Authorization": "Basic $BUS_BASIC"},
        "allowedEnvVars": ["BUS_BASIC"],
    }
    return {"hooks": {event: [{"hooks": [hook]}] for event in _HTTP_EVENTS}}
