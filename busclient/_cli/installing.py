"""bus install."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from busclient._claude.profiles import SERVERS
from busclient._cli import exits
from busclient._cli.install_place import Place, bus_command
from busclient._cli.other_clients import CLIENTS, block, rules
from busclient._cli.output import json_option, open_bus, out
from busclient._settings import SHARED_USER

if TYPE_CHECKING:
    from busclient._claude.rules import Rules, Skill

_HTTP_EVENTS = ("UserPromptSubmit", "PostToolUse", "Stop", "Notification", "SessionEnd")
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
    "--rules", "with_rules", is_flag=True, help="Also the rules in CLAUDE.md, and two skills."
)
@click.option("--check", is_flag=True, help="Only say what is installed and when hooks last ran.")
@click.option("--uninstall", is_flag=True, help="Undo it.")
@click.option("--print-http", is_flag=True, help="Only print a settings block with HTTP hooks.")
@click.option("--print", "is_printed", is_flag=True, help="Of other clients: print their settings.")
@click.option("--print-rules", is_flag=True, help="Of other clients: print what AGENTS.md needs.")
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
    print_rules: bool,
) -> int:
    """Make the bus part of every session of Claude Code: hooks, status line and tools.

    Hooks of others, an existing status line and the order of keys stay. Doing it twice changes
    nothing; --uninstall restores the settings byte for byte if nothing else changed them, and takes
    away what --rules has written (with --rules: only that).

    For other MCP clients (codex, gemini, cursor, vscode, opencode), --print prints the block for
    their settings, and --print-rules a paragraph for AGENTS.md; nothing is written.
    """
    if what != "claude-code":
        if with_rules or check or uninstall or print_http or scope != "user":
            raise click.UsageError(f"For {what} there are --print, --print-rules and --profile.")
        if not is_printed and not print_rules:
            raise click.UsageError(
                f"bus writes no settings of {CLIENTS[what].name}; it only prints what to paste:"
                f" bus install {what} --print"
            )
        if is_printed and print_rules and not out.as_json:
            raise click.UsageError("They belong into two files: give --print or --print-rules.")
        return _print_block(what, profile, only_rules=print_rules)
    if is_printed or print_rules:
        raise click.UsageError("--print is for other clients; claude-code has --print-http.")
    if check + uninstall + print_http > 1:
        raise click.UsageError("Give one of --check, --uninstall and --print-http.")
    if with_rules and (check or print_http):
        raise click.UsageError("--rules goes with an installation, or with --uninstall.")
    if print_http:
        return _print_http()
    place = Place.of(scope, profile)
    if check:
        from busclient._cli.install_check import check as look  # noqa: PLC0415

        return look(place)
    from busclient._claude.kept_file import one_at_a_time  # noqa: PLC0415

    with one_at_a_time(place.places):
        if uninstall:
            return _uninstall(place, only_rules=with_rules)
        return _install(place, with_rules=with_rules)


def _install(place: Place, *, with_rules: bool) -> int:
    from busclient._claude.servers import is_same  # noqa: PLC0415
    from busclient._claude.surroundings import warnings  # noqa: PLC0415

    path = place.settings.path
    place.servers.check(place.server, place.entry)
    others = [] if place.settings.is_noted() else place.settings.others(place.bus)
    is_changed = place.settings.install(place.bus, place.server)
    is_added, said = place.servers.add(place.server, place.entry)
    there = place.servers.found(place.server)
    has_tools = is_added or (there is not None and is_same(there, place.entry))
    facts: dict[str, Any] = {"path": str(path), "changed": is_changed, "mcp_added": is_added}
    lines = [f"{path}: " + ("hooks and status line added" if is_changed else _NOTHING), said]
    if others:
        lines.append(
            f"{path} had hooks that were put in by hand (or by another bus: {', '.join(others)});"
            " ours are in their place, and --uninstall puts them back"
        )
    if with_rules:
        facts["rules"], facts["skill"] = place.rules.write(), place.skill.write()
        lines.append(f"{place.rules.path}: rules {_WRITTEN[facts['rules']]}")
        lines.append(f"{place.skill.path}: {_WRITTEN[facts['skill']]}")
    if with_rules or place.has_mail:
        facts["mail_skill"] = place.mail_skill.write()
        lines.append(f"{place.mail_skill.path}: {_WRITTEN[facts['mail_skill']]}")
    facts["has_tools"] = has_tools
    facts["warnings"] = warnings(place.places, place.settings)
    out.result(facts, "\n".join([*lines, "new sessions of Claude Code have them"]))
    for warning in facts["warnings"]:
        out.note(warning)
    if not has_tools:
        out.note("the tools of the bus are missing: the MCP server is not registered (see above)")
    return exits.OK if has_tools else exits.LOCAL


_NOTHING = "nothing to do"
_WRITTEN = {True: "written", False: _NOTHING, None: "another skill is there; it stays"}


def _uninstall(place: Place, *, only_rules: bool) -> int:
    """Take everything away, or what --rules has written."""
    # The settings last: their folder can go only when nothing else is in it.
    ours: dict[str, Rules | Skill] = {
        "rules": place.rules,
        "skill": place.skill,
        "mail_skill": place.mail_skill,
    }
    facts: dict[str, Any] = {name: one.remove() for name, one in ours.items()}
    code, is_noted = exits.OK, place.settings.is_noted()
    parts = [(one.path, facts[name]) for name, one in ours.items()]
    lines = [_became(path, became) for path, became in parts if only_rules or became != "absent"]
    if not only_rules:
        facts["settings"] = place.settings.uninstall()
        lines.append(_became(place.settings.path, facts["settings"], is_noted=is_noted))
        facts["path"] = str(place.settings.path)
        facts["mcp_removed"], said = place.servers.remove()
        lines.append(said)
        code = exits.LOCAL if place.servers.are_left() else exits.OK
    out.result(facts, "\n".join(lines))
    return code


def _became(path: Path, became: str, *, is_noted: bool = True) -> str:
    """Return what became of a file, in words."""
    words = {
        "restored": "is as it was before, byte for byte" if path.exists() else "is gone",
        "removed": "was changed meanwhile: only our entries were removed"
        if is_noted
        else "had hooks of the bus that were put in by hand: they were removed",
        "kept": "was changed by hand: it stays",
        "absent": "held nothing of ours",
    }
    return f"{path} {words[became]}"


def _print_http() -> int:
    """Print settings that use HTTP hooks alone, and say what they need besides."""
    with open_bus() as bus:
        url, user = bus.settings.url, bus.settings.user
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
        "this block belongs into ~/.claude/settings.json. Set BUS_BASIC where Claude Code starts,"
        f" from a credential of that machine's own:\n{_BASIC}"
    )
    if user == SHARED_USER:
        out.note("the shared user has no name of its own: put ?name=NAME behind each url")
    return exits.OK


def _print_block(what: str, profile: str, *, only_rules: bool) -> int:
    """Print what to paste into one file, and say on standard error which one that is, and what the
    other one needs.
    """
    client, server = CLIENTS[what], SERVERS[profile]
    settings, paragraph = block(client, bus_command(), server, profile), rules(server, profile)
    if out.as_json:
        texts = {"block": settings, "rules": paragraph}
        out.json({"ok": True, "file": client.file, "rules_file": client.rules_file, **texts})
        return exits.OK
    more = "" if profile == "default" else f" --profile {profile}"
    if only_rules:
        out.note(f"this belongs into {client.rules_file}: it tells the model to use the tools.")
        out.note(f"the settings for {client.file}: bus install {what} --print{more}")
        out.line(paragraph)
        return exits.OK
    out.note(f"this belongs into {client.file}. What is there already stays beside it.")
    if client.note:
        out.note(client.note)
    out.note(
        "a paragraph that tells the model to use the tools, for"
        f" {client.rules_file}: bus install {what} --print-rules{more}"
    )
    out.line(settings)
    return exits.OK
