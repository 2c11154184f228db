"""bus ack."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import click

from busclient._cli import kinds
from busclient._cli.output import json_option, open_bus, out
from busclient._errors import BusError
from busclient._messages.message import Acked

if TYPE_CHECKING:
    from busclient._bus import Bus

_LOOKED_AT = 8  # messages: each is a call more


@click.command()
@click.argument("ids", metavar="ID...", nargs=-1, type=kinds.MESSAGE)
@click.option("--all", "everything", is_flag=True, help="Everything that is unread now.")
@json_option
def ack(ids: tuple[str, ...], everything: bool) -> None:
    """Say that you are done with messages: each ID is an id or a seq, or a reference as a session
    is shown it (412.k7f3). Again does no harm.
    """
    if bool(ids) == everything:
        raise click.UsageError("Give one or more ids, or --all.")
    with open_bus() as bus:
        if everything:
            ids = tuple(str(message.seq) for message in bus.unread())
        found = bus.ack(*ids) if ids else Acked([], [])
        others = [] if everything or out.as_json else _of_others(bus, found.new)
    out.result({"acked": found.new, "already": found.already}, _told(found, bus.name, others))


def _of_others(bus: Bus, seqs: list[int]) -> list[int]:
    """Return the messages, of not too many, that are addressed to neither me nor my machine.

    What is addressed to a topic or a role may have come to me.
    """
    mine = {bus.name, bus.name.partition("/")[0], "any", "all"}
    found = []
    for seq in seqs[:_LOOKED_AT]:
        with suppress(BusError):  # the acknowledgement is done, whatever becomes of this
            to = bus.message(seq).to
            found += [] if mine & set(to) or any(":" in name for name in to) else [seq]
    return found


def _told(found: Acked, reader: str, others: list[int]) -> str:
    """Return what became of an acknowledgement, and whose it was."""
    told = []
    if found.new:
        what = str(found.new[0]) if len(found.new) == 1 else f"{len(found.new)} messages"
        told.append(f"acknowledged {what} for {reader}")
    if others:
        were = "was" if len(others) == 1 else "were"
        told.append(f"{', '.join(map(str, others))} {were} not addressed to it")
    if found.already:
        seqs = ", ".join(map(str, found.already[:8]))
        more = f" and {len(found.already) - 8} more" if len(found.already) > 8 else ""
        were = "was" if len(found.already) == 1 else "were"
        told.append(
            f"{seqs}{more} {were} not unread for {reader}: acknowledged before, or not addressed"
            " to it"
        )
    return "; ".join(told) or f"nothing is unread for {reader}"
