"""bus ask, bus answer, bus decline, bus withdraw, bus asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from busclient._cli import exits, kinds
from busclient._cli.output import age, json_option, open_bus, out
from busclient._cli.posting import priority_of, read_text, tell
from busclient._harmless import body_lines, one_line, quoted

if TYPE_CHECKING:
    from busclient._agents.asks import Ask, Said

_STATES = ("open", "answered", "declined", "expired", "withdrawn")


@click.command()
@click.argument("to")
@click.argument("question", required=False)
@click.option(
    "--file",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The question, byte for byte.",
)
@click.option("-o", "--option", "options", multiple=True, help="An answer to choose. Repeat it.")
@click.option("--need", type=click.IntRange(1, 64), help="So many answers close it.")
@click.option(
    "--by", type=kinds.DURATION, metavar="TIME", help="After this time nobody can answer."
)
@click.option("--default", help="The answer if none has come by then.")
@click.option("--thread", help="The thread this belongs to.")
@click.option("-t", "--tag", "tags", multiple=True, help="A tag. Repeat the option for several.")
@click.option("--urgent", is_flag=True, help="First in every inbox.")
@click.option("--strict", is_flag=True, default=None, help="Refuse a name that nobody has.")
@click.option("--key", help="Idempotency key: the same key again asks nothing new.")
@click.option(
    "--wait",
    "wait_s",
    type=kinds.DURATION,
    metavar="TIME",
    help="Wait so long for the answer, and show it.",
)
@json_option
def ask(
    to: str,
    question: str | None,
    file: Path | None,
    urgent: bool,
    wait_s: float | None,
    **fields: Any,
) -> int:
    """Ask TO (a name, a topic or a role; several with commas) a QUESTION that stays open until it
    is answered.

    With --wait: exit code 124 if it is still open then.
    """
    fields["priority"] = priority_of(urgent, False)
    text = read_text(question, file)
    names: Any = [name.strip() for name in to.split(",")] if "," in to else to
    with open_bus() as bus:
        posted = bus.asks.ask(text, to=names, **fields)
        if wait_s is None or posted.message is None:
            return tell(posted)
        message = posted.message
        if not out.as_json:
            out.note(f"asked {message.seq} ({message.id}); waiting for the answer")
        found = bus.asks.wait(message, wait_s)
    _show(found)
    return exits.TIME_OVER if found.is_open else exits.OK


@click.command()
@click.argument("id", type=kinds.MESSAGE)
@click.argument("said", metavar="ANSWER", required=False)
@click.argument("text", required=False)
@click.option(
    "--file",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The text, byte for byte.",
)
@json_option
def answer(id: str, said: str | None, text: str | None, file: Path | None) -> int:
    """Answer the question ID (id or seq): ANSWER is one of its options, and TEXT what there is to
    say to it; without options, ANSWER is the text.

    Without ANSWER, or with -, the text is read from standard input.
    """
    with open_bus() as bus:
        if bus.asks.get(id).options:
            if said is None:
                raise click.UsageError("Give one of the options: bus asks shows them.")
            more = read_text(text, file) if text is not None or file is not None else None
            found = bus.asks.answer(id, option=said, text=more)
        elif text is not None:
            raise click.UsageError("The question has no options: put the text into quotes.")
        else:
            found = bus.asks.answer(id, text=read_text(said, file))
    _tell(found, "answered")
    return exits.OK


@click.command()
@click.argument("id", type=kinds.MESSAGE)
@click.argument("reason")
@json_option
def decline(id: str, reason: str) -> int:
    """Say that you will not answer the question ID (id or seq), and the REASON."""
    with open_bus() as bus:
        _tell(bus.asks.decline(id, reason), "declined")
    return exits.OK


@click.command()
@click.argument("id", type=kinds.MESSAGE)
@json_option
def withdraw(id: str) -> int:
    """Take back the question ID (id or seq) that you asked."""
    with open_bus() as bus:
        _tell(bus.asks.withdraw(id), "withdrawn")
    return exits.OK


@click.command()
@click.argument("id", type=kinds.MESSAGE, required=False)
@click.option("--owed", is_flag=True, help="Only what you have yet to answer.")
@click.option("--mine", is_flag=True, help="Only what you have asked.")
@click.option("--state", type=click.Choice(_STATES), help="Only those in this state.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@json_option
def asks(id: str | None, owed: bool, mine: bool, state: str | None, limit: int) -> int:
    """Show the question ID with its answers; or list what you have yet to answer, and what you have
    asked and is still open.
    """
    if owed and (mine or state):
        raise click.UsageError("What you owe is open, and others have asked it: give --owed alone.")
    if id is not None and (owed or mine or state):
        raise click.UsageError("Give an ID, or say which to list.")
    with open_bus() as bus:
        if id is not None:
            _show(bus.asks.get(id))
            return exits.OK
        found: list[Ask] = []
        if owed or not (mine or state):
            found += bus.asks.owed(limit=limit)
        if not owed:
            wanted = None if mine else state or "open"
            asked_by = None if state and not mine else bus.name
            found += bus.asks.all(asked_by=asked_by, state=state or wanted, limit=limit)
    known = {one.seq: one for one in found}
    if out.as_json:
        out.json({"ok": True, "asks": [one.raw for one in known.values()]})
        return exits.OK
    for one in known.values():
        _lines(one)
    if not known:
        out.line("no asks")
    return exits.OK


def _tell(ask: Ask, word: str) -> None:
    out.result({"ask": ask.raw}, f"{ask.seq} {word}; it is {ask.state}")


def _show(ask: Ask) -> None:
    """Print an ask: as JSON, or in lines."""
    if out.as_json:
        out.json({"ok": True, "ask": ask.raw})
    else:
        _lines(ask)


def _lines(ask: Ask) -> None:
    head = f"{ask.seq} {ask.state} {age(ask.ts)} {ask.sender} > {','.join(ask.to)}"
    due = f" by {ask.by}" if ask.by and ask.is_open else ""
    out.line(one_line(f"{head}{due}", 300))
    out.line("\n".join(f"    {line}" for line in body_lines(ask.question)))
    for line in _facts(ask):
        out.line(f"  {line}")


def _facts(ask: Ask) -> Iterator[str]:
    """Yield what is known of an ask, a line each: no line of a question looks like one of them."""
    if ask.options and ask.is_open:
        yield one_line(f"options: {', '.join(map(quoted, ask.options))}", 300)
    for said in ask.answers:
        yield one_line(_words(said), 4_200)
    for said in ask.declined:
        yield one_line(f"{said.name} declined {age(said.time)}: {said.reason}", 700)
    if ask.waiting:
        more = f" and {ask.waiting - 8} more" if ask.waiting > 8 else ""
        yield one_line(f"waiting for {', '.join(ask.waiting_for[:8])}{more}", 300)


def _words(said: Said) -> str:
    who = "the default" if said.is_default else said.name
    return f"{who} {age(said.time)}: {' '.join(filter(None, (said.option, said.text)))}"
