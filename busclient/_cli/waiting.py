"""bus watch, bus wait."""

from __future__ import annotations

from typing import Any

import click

from busclient._cli import exits, kinds
from busclient._cli.output import json_option, open_bus, out


@click.command()
@click.option("--mine", is_flag=True, help="Only messages to me or to everybody.")
@click.option("--from", "sender", metavar="NAME", help="Of this sender.")
@click.option("--to", metavar="NAME", help="To this name or to everybody.")
@click.option(
    "-t",
    "--tag",
    "tags",
    multiple=True,
    help="With this tag. Repeat the option to match any of several.",
)
@click.option("--thread", help="Of this thread.")
@click.option(
    "--since", type=kinds.MESSAGE, metavar="ID", help="Start after this id or seq instead of now."
)
@json_option
def watch(
    mine: bool, to: str | None, tags: tuple[str, ...], since: str | None, **filters: Any
) -> None:
    """Show messages as they come, until interrupted.

    Reconnects by itself, without gap or repeat.
    """
    with open_bus() as bus:
        place = int(since) if since is not None and since.isdigit() else since
        recipient = bus.name if mine and to is None else to
        out.messages(bus.stream(to=recipient, tags=list(tags) or None, since=place, **filters))


@click.command()
@click.option("--from", "sender", metavar="NAME", help="Only for messages of this sender.")
@click.option("-t", "--tag", help="Only for messages with this tag.")
@click.option("--thread", help="Only for messages of this thread.")
@click.option(
    "--since", type=kinds.MESSAGE, metavar="ID", help="Only for messages after this id or seq."
)
@click.option(
    "--timeout",
    "timeout_s",
    type=kinds.DURATION,
    default="5m",
    show_default=True,
    metavar="TIME",
    help="How long to wait.",
)
@click.option("--ack", is_flag=True, help="Acknowledge what is shown.")
@json_option
def wait(timeout_s: float, ack: bool, **filters: Any) -> int:
    """Wait until there is unread mail and show it. Exit code 124 when there is none in time.

    A restart of the hub meanwhile does no harm.
    """
    with open_bus() as bus:
        found = bus.wait(timeout_s, **filters)
        out.messages(found)
        if ack and found:
            bus.ack(*found)
    return exits.OK if found else exits.TIME_OVER
