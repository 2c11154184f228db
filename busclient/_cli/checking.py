"""bus checkup."""

from __future__ import annotations

import click

from busclient._cli import kinds
from busclient._cli.output import json_option, open_bus, out
from busclient._harmless import one_line


@click.command()
@click.option(
    "--stale",
    "--stale-h",
    "stale_h",
    type=kinds.HOURS,
    metavar="TIME",
    help="After how long an action in progress is without news; left out, 48h.",
)
@click.option(
    "--limit", type=click.IntRange(1, 100), metavar="N", help="How many of each kind are shown."
)
@json_option
def checkup(stale_h: float | None, limit: int | None) -> None:
    """Show what is stuck: the worst first, a line each."""
    with open_bus() as bus:
        if out.as_json:
            out.json(bus.checkup(stale_h=stale_h, limit=limit).raw)
            return
        text = bus.checkup_text(stale_h=stale_h, limit=limit)
    for line in text.splitlines():
        out.line(one_line(line, 500))
