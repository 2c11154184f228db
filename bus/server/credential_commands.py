"""Who may call: `python -m bus credential` and `python -m bus invite`."""

from __future__ import annotations

import json

import click

from bus import create_hub
from bus.config import Config
from bus.credentials import Credentials, Granted, Register
from bus.model.caller import ADMIN, HUMAN, HUMANS, MEMBER, WATCHER
from bus.model.credentials import INVITE_S, MAX_OVERLAP_S, OVERLAP_S
from bus.model.records import utc
from bus.server import first_start
from bus.server.command import command, owned

OPERATOR = "operator"  # who the log says changed a credential, when it was done here


@click.group()
def credential() -> None:
    """Say who may call: one credential for each machine."""


AS_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object.")


@credential.command("add")
@click.argument("name")
@click.option(
    "--admin", is_flag=True, help="It may grant, revoke, manage containers and see everything."
)
@click.option(
    "--human",
    is_flag=True,
    help="It is a person's: its messages say so. human/ is put before NAME.",
)
@click.option("--watcher", is_flag=True, help="It may ask for /metrics and for nothing else.")
@AS_JSON
@command
def credential_add(name: str, admin: bool, human: bool, watcher: bool, as_json: bool) -> None:
    """Make the credential of a machine, or of a person; its secret is shown once."""
    if admin + human + watcher > 1:
        raise click.UsageError("A credential is either --admin or --human or --watcher.")
    if human and not name.startswith(HUMANS):
        name = HUMANS + name
    role = HUMAN if human else ADMIN if admin else WATCHER if watcher else MEMBER
    _show_granted(_register().add(name, role, OPERATOR), as_json)


@credential.command("rotate")
@click.argument("name")
@click.option(
    "--overlap",
    default=OVERLAP_S,
    type=click.IntRange(0, MAX_OVERLAP_S),
    show_default=True,
    help="Seconds.",
)
@AS_JSON
@command
def credential_rotate(name: str, overlap: int, as_json: bool) -> None:
    """Make a new secret; the old one works on until the overlap is over."""
    _show_granted(_register().rotate(name, overlap, OPERATOR), as_json)


@credential.command("revoke")
@click.argument("name")
@AS_JSON
@command
def credential_revoke(name: str, as_json: bool) -> None:
    """Shut a machine out at once, and take its open invites back."""
    _register().revoke(name, OPERATOR)
    click.echo(json.dumps({"name": name}) if as_json else f"revoked {name}")


@credential.command("list")
@AS_JSON
@command
def credential_list(as_json: bool) -> None:
    """Show who may call, and which invites are open."""
    found = _register().listing()
    if as_json:
        click.echo(json.dumps(found))
        return
    for one in found["credentials"]:
        until = (
            f", the secret before is good until {one['rotated_until']}"
            if "rotated_until" in one
            else ""
        )
        click.echo(f"{one['name']}: {one['role']}{until}")
    for one in found["invites"]:
        click.echo(f"{one['name']}: invited as {one['role']} until {one['expires']}")


_LOOPBACK_NOTE = (
    "The address in that line is this machine's own: another machine reaches the hub by ssh, a"
    ' tailnet or nginx. README.md, "Add the other machines", has the lines.'
)


@click.command()
@click.argument("name")
@click.option("--admin", is_flag=True, help="The credential that it makes is an admin's.")
@click.option(
    "--replace",
    is_flag=True,
    help="For a machine that was installed again: a new secret, and all else stays.",
)
@AS_JSON
@command
def invite(name: str, admin: bool, replace: bool, as_json: bool) -> None:
    """Print a line by which a machine makes its own credential, once, within a day."""
    if admin and replace:
        raise click.UsageError("--replace keeps the role: leave --admin out.")
    made = _register().invite(name, ADMIN if admin else MEMBER, INVITE_S, OPERATOR, replace)
    url = first_start.public_url(Config.from_env())
    line = f"bus join {url} --invite {made.code}"
    facts = {
        "name": made.name,
        "role": made.role,
        "code": made.code,
        "expires": utc(made.expires),
        "line": line,
    }
    click.echo(json.dumps(facts) if as_json else line)
    if first_start.is_loopback(url):
        click.echo(_LOOPBACK_NOTE, err=True)


def _register() -> Register:
    """Return the credentials of this hub, whose changes are noted in its log."""
    config = owned(Config.from_env())
    hub = create_hub(config)
    return Register(
        Credentials(config.credentials_file, config.shared_name), hub.credentials.note_change
    )


def _show_granted(granted: Granted, as_json: bool) -> None:
    facts = {"name": granted.name, "secret": granted.secret, "role": granted.role}
    click.echo(
        json.dumps(facts) if as_json else f"BUS_USER={granted.name} BUS_PASS={granted.secret}"
    )
