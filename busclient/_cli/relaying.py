"""bus relay."""

from __future__ import annotations

import time

import click

from busclient._cli import exits
from busclient._cli.interrupting import signals_interrupt
from busclient._cli.output import json_option, open_bus, out
from busclient._harmless import one_line


@click.command()
@click.argument("what", type=click.Choice(["imessage"]))
@click.option("--once", is_flag=True, help="Send what is unread and leave; for cron.")
@json_option
def relay(what: str, once: bool) -> int:
    """Send the hub's notices as iMessages, on a Mac that is signed in to Messages.

    It reads the mail of its own name (BUS_NAME, such as macbook/imessage), sends what the hub has
    put there, and acknowledges it.
    """
    from busclient._relay import Relay  # noqa: PLC0415

    def tell(line: str) -> None:
        out.note(one_line(line, 400))

    with open_bus() as bus, signals_interrupt():
        relaying = Relay(bus, tell, time.sleep)
        if not once:
            relaying.follow()
        failed = relaying.once()
    out.result({"failed": failed}, "")
    return exits.LOCAL if failed else exits.OK
