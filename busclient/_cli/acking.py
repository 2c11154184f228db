"""bus ack."""

from __future__ import annotations

import click

from busclient._cli import kinds
from busclient._cli.output import json_option, open_bus, out
from busclient._messages.message import Acked


@click.command()
@click.argument("ids", metavar="ID...", nargs=-1, type=kinds.MESSAGE)
@click.option("--all", "everything", is_flag=True, help="Everything that is unread now.")
@json_option
def ack(ids: tuple[str, ...], everything: bool) -> None:
    """Say that you are done with messages (ids or seqs). Again does no harm."""
    if bool(ids) == everything:
        raise click.UsageError("Give one or more ids, or --all.")
    with open_bus() as bus:
        if everything:
            ids = tuple(str(message.seq) for message in bus.unread())
        found = bus.ack(*ids) if ids else Acked([], [])
    before = f" ({len(found.already)} were before)" if found.already else ""
    out.result(
        {"acked": found.new, "already": found.already}, f"acknowledged {len(found.new)}{before}"
    )
