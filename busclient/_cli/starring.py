"""bus star."""

from __future__ import annotations

import click

from busclient._cli import kinds
from busclient._cli.output import json_option, open_bus, out

_SHORT = 400  # characters of a body in a list


@click.command()
@click.argument("ids", metavar="[ID]...", nargs=-1, type=kinds.MESSAGE)
@click.option("--off", is_flag=True, help="Take the star away.")
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True)
@json_option
def star(ids: tuple[str, ...], off: bool, limit: int) -> None:
    """Star messages, to find them again; nobody else sees your stars. Without an ID: list what you
    have starred, oldest first.
    """
    if off and not ids:
        raise click.UsageError("Give the ID of a message, or more.")
    with open_bus() as bus:
        if not ids:
            found = bus.messages(starred=True, reader=bus.name, limit=limit)
            if not out.messages(found, longest=_SHORT) and not out.as_json:
                out.line("nothing is starred")
            return
        for one in ids:
            bus.star(one, not off)
    told = f"{'took the star from' if off else 'starred'} {', '.join(ids)}"
    out.result({"starred": not off, "ids": list(ids)}, told)
