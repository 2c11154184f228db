"""bus permit, bus revoke, bus permissions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import click

from busclient._cli import exits, kinds
from busclient._cli.output import F, json_option, open_bus, out
from busclient._harmless import one_line
from busclient._net.forms import Permission

_ACTIONS = ("exec", "file_read", "file_write")
_action: Callable[[F], F] = click.option(
    "--action",
    "actions",
    type=click.Choice(_ACTIONS),
    multiple=True,
    help="Only this action. Repeat the option for several; without it, all three.",
)


@click.command()
@click.argument("source")
@click.argument("target")
@_action
@click.option(
    "--command",
    "commands",
    multiple=True,
    metavar="WORDS",
    help="Only commands that begin with these words. Repeat the option for several.",
)
@click.option(
    "--approval", "needs_approval", is_flag=True, help="An admin is asked about each call."
)
@click.option(
    "--expires",
    "expires_in_s",
    type=kinds.DURATION,
    metavar="TIME",
    help="End it by itself after 90s, 15m, 2h, 7d.",
)
@click.option(
    "--remove",
    is_flag=True,
    help="Remove the rule. Rules for '*' then decide again.",
)
@json_option
def permit(source: str, target: str, remove: bool, **given: Any) -> None:
    """Let the machine SOURCE run commands and read and write files in TARGET ('*': any).

    For admins.
    """
    if remove and any(given[name] for name in ("commands", "needs_approval", "expires_in_s")):
        raise click.UsageError("--remove goes with --action alone.")
    with open_bus() as bus:
        if remove:
            removed = bus.admin.remove_permission(source, target, actions=given["actions"])
            what = (
                f"removed {source} > {target} {','.join(removed)}"
                if removed
                else f"nothing was said of {source} > {target}"
            )
            out.result(
                {"source": source, "target": target, "removed": list(removed)}, one_line(what, 300)
            )
            return
        _tell(bus.admin.permit(source, target, **given))


@click.command()
@click.argument("source")
@click.argument("target")
@_action
@json_option
def revoke(source: str, target: str, actions: tuple[str, ...]) -> None:
    """Deny the machine SOURCE what it may do in TARGET, from its next call on. For admins."""
    with open_bus() as bus:
        _tell(bus.admin.revoke(source, target, actions=actions))


@click.command()
@click.option("--source", metavar="NAME", help="Of this machine.")
@click.option("--target", metavar="NAME", help="In this target.")
@click.option(
    "--check",
    nargs=3,
    metavar="SOURCE TARGET ACTION",
    help="Say whether this would be allowed. Exit code 5 if not.",
)
@click.option("--command", metavar="TEXT", help="With --check: ask about this command.")
@json_option
def permissions(
    source: str | None, target: str | None, check: tuple[str, str, str] | None, command: str | None
) -> int:
    """List what is allowed and denied; for those who are no admins, what concerns them."""
    if check is None and command is not None:
        raise click.UsageError("--command goes with --check.")
    with open_bus() as bus:
        if check is not None:
            source, target, action = check
            asker = None if source == bus.settings.user else source
            verdict = bus.net.check_permission(target, action, source=asker, command=command)
            facts = {
                "allowed": verdict.allowed,
                "reason": verdict.reason,
                "rule": verdict.rule and verdict.rule.raw,
            }
            word = (
                click.style("allowed", fg="green")
                if verdict.allowed
                else click.style("denied", fg="red")
            )
            out.result(facts, f"{word}: {one_line(verdict.reason, 300)}")
            return exits.OK if verdict.allowed else exits.CREDENTIAL
        found = bus.net.permissions(source=source, target=target)
    if out.as_json:
        out.json({"ok": True, "permissions": [rule.raw for rule in found]})
    for rule in [] if out.as_json else _merged(found):
        out.line(_line(rule))
    if not found and not out.as_json:
        out.line("no permissions: nothing is allowed")
    return exits.OK


def _tell(rule: Permission) -> None:
    out.result({"permission": rule.raw}, _line(rule))
    for said in rule.unknown:
        out.note(one_line(f"noted all the same: {said}", 300))


def _merged(rules: list[Permission]) -> list[Permission]:
    """Return the hub says each action by itself; those of one grant are one line."""
    found: dict[Permission, list[str]] = {}
    for rule in rules:
        found.setdefault(replace(rule, actions=()), []).extend(rule.actions)
    return [replace(rule, actions=tuple(actions)) for rule, actions in found.items()]


def _line(rule: Permission) -> str:
    """Return a permission on one line."""
    words = [
        "allow" if rule.allow else "deny",
        rule.source,
        ">",
        rule.target,
        ",".join(rule.actions),
    ]
    if rule.commands:
        words.append("only " + ", ".join(repr(" ".join(command)) for command in rule.commands))
    if rule.needs_approval:
        words.append("asks an admin each time")
    if rule.expires:
        words.append(f"until {rule.expires}")
    return one_line(" ".join([*words, f"(by {rule.by}, {rule.granted})"]), 1000)
