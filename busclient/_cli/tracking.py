"""bus trace, bus retract, bus overdue."""

from __future__ import annotations

from collections.abc import Mapping

import click

from busclient._cli import kinds
from busclient._cli.output import age, json_option, open_bus, out
from busclient._harmless import one_line


@click.command()
@click.argument("id", type=kinds.MESSAGE)
@json_option
def trace(id: str) -> None:
    """Show each step of the message ID (id or seq), for each name that it is for."""
    with open_bus() as bus:
        found = bus.trace(id)
    if out.as_json:
        out.json({"ok": True, "trace": found})
        return
    for name, steps in found.items():
        out.line(one_line(f"{name}: {', '.join(map(_told, steps))}", 300))
    if not found:
        out.line("nobody")


def _told(step: Mapping[str, str]) -> str:
    by = f" ({step['by']})" if step.get("by") else ""
    return f"{step['step']} {age(step['time'])}{by}"


@click.command()
@click.argument("id", type=kinds.MESSAGE)
@json_option
def retract(id: str) -> None:
    """Take back the message ID (id or seq) that you posted.

    Whoever has not acknowledged it no longer gets it. Whoever has fetched it is told.
    """
    with open_bus() as bus:
        done = bus.retract(id)
    words = "was retracted before" if done.get("already") else "retracted"
    fetched = done.get("fetched_by") or []
    told = f"; fetched before by {', '.join(map(str, fetched))}" if fetched else ""
    out.result(done, one_line(f"{done.get('seq')} {words}{told}", 300))


@click.command()
@click.option("--mine", is_flag=True, help="Only messages that you have posted.")
@click.option("--reader", metavar="NAME", help="Only those that NAME has not acknowledged.")
@json_option
def overdue(mine: bool, reader: str | None) -> None:
    """List the messages whose deadline (bus post --ack-by) has passed, newest first."""
    with open_bus() as bus:
        found = bus.overdue(sender=bus.name if mine else None, reader=reader)
    if out.as_json:
        out.json({"ok": True, "overdue": found})
        return
    for late in found:
        names = ", ".join(late["unread_by"])
        told = f"{late['seq']} due {age(late['ack_by'])}, from {late['from']}: {names}"
        out.line(one_line(told, 300))
    if not found:
        out.line("nothing is overdue")
