"""bus inbox, bus read, bus log, bus search."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from busclient._cli import kinds
from busclient._cli.output import F, json_option, open_bus, out
from busclient._harmless import one_line
from busclient._messages.message import Message

_SHORT = 400  # characters of a body in a list


def filters(function: F) -> F:
    """Adds the options that select messages."""
    options: list[Callable[[F], F]] = [
        click.option("--from", "sender", metavar="NAME", help="Of this sender."),
        click.option("--to", metavar="NAME", help="To this name or to everybody."),
        click.option("-t", "--tag", help="With this tag."),
        click.option("--thread", help="Of this thread."),
        click.option("--since", type=kinds.MESSAGE, metavar="ID", help="After this id or seq."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


@click.command()
@click.option("--ack", is_flag=True, help="Acknowledge what is shown.")
@click.option(
    "--limit", type=click.IntRange(1), default=50, show_default=True, help="At most this many."
)
@click.option("--since", type=kinds.MESSAGE, metavar="ID", help="After this id or seq.")
@click.option("--starred", is_flag=True, help="Only what you have starred.")
@click.option("--full", is_flag=True, help="Show whole bodies, however long.")
@json_option
def inbox(ack: bool, limit: int, since: str | None, starred: bool, full: bool) -> None:
    """List what is unread, oldest first. Reading changes nothing, unless --ack is given."""
    with open_bus() as bus:
        shown: list[Message] = []
        messages = bus.unread(limit + 1, since=since, starred=starred or None)
        for message in messages:
            if len(shown) == limit:
                out.note(f"there are more: bus inbox --since {shown[-1].seq}")
                break
            shown.append(message)
            out.messages([message], longest=None if full else _SHORT)
        if not shown and not out.as_json:
            out.line("no unread messages")
        if ack and shown:
            bus.ack(*shown)


@click.command()
@click.argument("id", type=kinds.MESSAGE)
@click.option("--receipts", is_flag=True, help="Who has fetched and acknowledged it.")
@json_option
def read(id: str, receipts: bool) -> None:
    """Show the message ID (id or seq, or a reference as a session is shown it: 412.k7f3) whole."""
    with open_bus() as bus:
        message = bus.message(id)
        if not receipts:
            out.messages([message])
            return
        found = bus.receipts(message)
        if out.as_json:
            out.json({**message.raw, "receipts": found})
            return
        out.messages([message])
        for name, times in found.items():
            told = (
                f"{name}: fetched {times.get('fetched') or '-'}, acked {times.get('acked') or '-'}"
            )
            out.line(one_line(told, 300))


@click.command()
@filters
@click.option("--before", type=kinds.MESSAGE, metavar="ID", help="Before this id or seq.")
@click.option(
    "--limit", type=click.IntRange(1, 500), default=50, show_default=True, help="At most this many."
)
@click.option("--expired", is_flag=True, help="Include expired messages.")
@click.option("--full", is_flag=True, help="Show whole bodies, however long.")
@json_option
def log(limit: int, full: bool, **given: Any) -> None:
    """Show history, oldest first: the newest messages, or those after --since."""
    with open_bus() as bus:
        _list(bus.messages(limit=limit, **given), full)


@click.command()
@click.argument("words", nargs=-1, required=True)
@filters
@click.option(
    "--limit", type=click.IntRange(1, 500), default=20, show_default=True, help="At most this many."
)
@json_option
def search(words: tuple[str, ...], limit: int, **given: Any) -> None:
    """Find messages that hold all WORDS, newest first. "Quoted words" stand together; word* matches
    beginnings.
    """
    text = " ".join(f'"{word}"' if " " in word else word for word in words)
    with open_bus() as bus:
        _list(bus.search(text, limit=limit, **given), full=False)


def _list(messages: list[Message], full: bool) -> None:
    if not out.messages(messages, longest=None if full else _SHORT) and not out.as_json:
        out.line("no messages")
