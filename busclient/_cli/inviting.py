"""bus invite, bus credential."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from busclient._cli import exits, kinds
from busclient._cli.output import json_option, open_bus, out
from busclient._errors import BusError
from busclient._harmless import one_line
from busclient._places import Places
from busclient._settings import Settings, is_loopback

if TYPE_CHECKING:
    from busclient._drafts import Mailbox
    from busclient._net.fleet_forms import Invite


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
@click.option(
    "--draft",
    "wants_draft",
    is_flag=True,
    help="Put it into your mailbox as well, as a draft (BUS_IMAP).",
)
@json_option
def invite(
    name: str, admin: bool, replace: bool, expires_in_s: float | None, wants_draft: bool
) -> int:
    """Print a line that makes one machine the member NAME, when it is pasted there: once, within 24
    hours. For admins.
    """
    if admin and replace:
        raise click.UsageError("--replace keeps the role: leave --admin out.")
    with open_bus() as bus:
        mailbox = _mailbox(bus.settings) if wants_draft else None  # before an invite is made
        made = bus.admin.invite(name, admin=admin, replace=replace, expires_in_s=expires_in_s)
    drafted, error = _draft(mailbox, made) if mailbox else ({}, None)
    out.result({**made.raw, **drafted}, one_line(made.line, 1000))
    if any(is_loopback(word) for word in made.line.split() if "://" in word):
        out.note(
            "the address in that line is this machine's own: another machine reaches the hub by"
            ' ssh, a tailnet or nginx. README.md, "Add the other machines", has the lines'
        )
    if not out.as_json:
        out.note(f"paste that on {one_line(made.name, 140)} before {made.expires}; it works once")
        if "folder" in drafted.get("draft", {}):
            out.note(f"it is a draft in {one_line(drafted['draft']['folder'], 200)} too")
    if error is None:
        return exits.OK
    if not out.as_json:
        out.error(error, also="the invite is good, only the draft was not made")
    return exits.of(error)


def _mailbox(settings: Settings) -> Mailbox:
    from busclient._drafts import Mailbox  # noqa: PLC0415  25 ms, and most invites need none

    return Mailbox.of(settings)


def _draft(mailbox: Mailbox, made: Invite) -> tuple[dict[str, Any], BusError | None]:
    """Put an invite into the mailbox; returns what JSON says of it, and the error if there is
    one.
    """
    name, line = one_line(made.name, 140), one_line(made.line, 1000)
    text = (
        f"On the machine that is to be {name}, before {made.expires}:\n\n    {line}\n\nThe line"
        " works once. Whoever has it can join under this name, so send it to nobody else.\n"
    )
    try:
        return {"draft": {"folder": mailbox.keep(f"claude-bus: join as {name}", text)}}, None
    except BusError as error:
        return {"draft": error.as_dict()}, error


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
