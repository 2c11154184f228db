"""bus invite, bus credential."""

from __future__ import annotations

from typing import Any

import click

from busclient._cli import kinds
from busclient._cli.output import json_option, open_bus, out
from busclient._harmless import one_line
from busclient._places import Places
from busclient._settings import is_loopback


@click.command()
@click.argument("name")
@click.option("--admin", is_flag=True, help="Make it an admin, not a member.")
@click.option(
    "--expires",
    "expires_in_s",
    type=kinds.DURATION,
    metavar="TIME",
    help="How long the invite is valid; default 24h.",
)
@click.option(
    "--replace",
    is_flag=True,
    help="For a reinstalled machine: give it a new secret and keep everything else.",
)
@json_option
def invite(name: str, admin: bool, replace: bool, expires_in_s: float | None) -> None:
    """Print a line that makes one machine the member NAME, when it is pasted there: once, within 24
    hours. For admins.
    """
    if admin and replace:
        raise click.UsageError("--replace keeps the role: leave --admin out.")
    with open_bus() as bus:
        made = bus.admin.invite(name, admin=admin, replace=replace, expires_in_s=expires_in_s)
    out.result(made.raw, one_line(made.line, 1000))
    if any(is_loopback(word) for word in made.line.split() if "://" in word):
        out.note(
            "the address in that line is this machine's own: another machine reaches the hub by"
            ' ssh, a tailnet or nginx. README.md, "Add the other machines", has the lines'
        )
    if not out.as_json:
        out.note(f"paste that on {one_line(made.name, 140)} before {made.expires}; it works once")


@click.command()
@click.argument("action", type=click.Choice(["list", "rotate", "revoke"]))
@click.argument("name", required=False)
@click.option(
    "--overlap",
    "overlap_s",
    type=kinds.DURATION,
    metavar="TIME",
    help="With rotate: how long the old secret stays valid.",
)
@json_option
def credential(action: str, name: str | None, overlap_s: float | None) -> None:
    """List credentials; rotate one, your own unless NAME is given; revoke that of NAME. Others' are
    for admins.

    `rotate` of your own writes the new secret into ~/.secrets/claude-bus.env, if the old one is
    there, and proves it.
    """
    from busclient import _joining  # noqa: PLC0415

    if action == "revoke" and name is None:
        raise click.UsageError("Whose? bus credential revoke NAME")
    if overlap_s is not None and action != "rotate":
        raise click.UsageError("--overlap is for rotate.")
    with open_bus() as bus:
        if action == "list":
            _list(bus.admin.credentials(), bus.admin.invites())
        elif action == "revoke":
            bus.admin.revoke_credential(str(name))
            out.result({"name": name}, f"revoked {name}")
        elif name is None or name == bus.settings.user:
            file = _joining.rotate(bus, Places.of_user(), overlap_s)
            out.result(
                {"name": bus.settings.user, "file": str(file)},
                f"a new secret for {bus.settings.user} is in {file}",
            )
        else:
            made = bus.admin.rotate(name, overlap_s=overlap_s)
            out.result(
                {"name": made.name, "secret": made.secret},
                one_line(f"{made.name} {made.secret}", 1000),
            )


def _list(found: list[dict[str, Any]], invites: list[dict[str, Any]]) -> None:
    if out.as_json:
        out.json({"ok": True, "credentials": found, "invites": invites})
        return
    for fields in found:
        until = (
            f", also the old secret until {fields['rotated_until']}"
            if fields.get("rotated_until")
            else ""
        )
        out.line(
            one_line(f"{fields.get('name')} ({fields.get('role')}){until}{_used(fields)}", 300)
        )
    for fields in invites:
        out.line(
            one_line(
                f"{fields.get('name')} ({fields.get('role')}) invited until"
                f" {fields.get('expires')}",
                300,
            )
        )


def _used(fields: dict[str, Any]) -> str:
    """Return what a credential holds now and has caused today; nothing where it is idle, or the hub
    does not say.
    """
    shown = {
        "requests": "under way",
        "waiting": "waiting",
        "bytes_today": "bytes today",
        "names_today": "names today",
    }
    found = [f"{fields[field]} {words}" for field, words in shown.items() if fields.get(field)]
    return f": {', '.join(found)}" if found else ""
