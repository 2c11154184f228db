"""bus role."""

from __future__ import annotations

from dataclasses import asdict

import click

from busclient._cli.output import columns, json_option, open_bus, out

_HEAD = ("ROLE", "HOLDER", "UNREAD", "CANDIDATES")


@click.command()
@click.argument("action", type=click.Choice(["list", "claim", "release"]), default="list")
@click.argument("name", required=False)
@json_option
def role(action: str, name: str | None) -> None:
    """List the roles; or claim or release the one called NAME.

    Mail to role:NAME reaches its holder. When the holder goes, the next candidate inherits it.
    """
    if (action == "list") != (name is None):
        raise click.UsageError("Give the NAME of a role, except to list.")
    with open_bus() as bus:
        if name is not None:
            found = bus.roles.claim(name) if action == "claim" else bus.roles.release(name)
            holder = found.holder or "nobody"
            out.result({"role": asdict(found)}, f"{found.role}: {holder} has it now")
            return
        roles = bus.roles.all()
    if out.as_json:
        out.json({"ok": True, "roles": [asdict(one) for one in roles]})
        return
    rows = [
        (one.role, one.holder or "", str(one.unread), ", ".join(one.candidates)) for one in roles
    ]
    for line in columns(_HEAD, rows):
        out.line(line)
    if not roles:
        out.line("no roles")
