"""bus expect."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from busclient._cli import kinds
from busclient._cli.output import age, columns, json_option, open_bus, out
from busclient._harmless import one_line

if TYPE_CHECKING:
    from busclient._agents.expectations import Expectation

_HEAD = ("NAME", "STATE", "HEARD", "EVERY", "TELLS", "BY", "ID")
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))


@click.command()
@click.argument("name", metavar="[NAME|ID]", required=False)
@click.option("--every", type=kinds.DURATION, metavar="TIME", help="Told after so long: 1m to 31d.")
@click.option("--tell", multiple=True, metavar="WHO", help="A name or role:NAME; you, if left out.")
@click.option("--off", is_flag=True, help="End it. Of another's that tells you: be told no more.")
@json_option
def expect(name: str | None, every: float | None, tell: tuple[str, ...], off: bool) -> None:
    """Be told when NAME is not heard in time, and when it is back; without NAME, list.

    NAME is heard when it posts, acknowledges, reads its mail or makes any other call. Time in which
    the hub is down does not count.
    """
    if name is None and (every is not None or tell or off):
        raise click.UsageError("Give the NAME.")
    if off and (every is not None or tell):
        raise click.UsageError("--off stands alone.")
    if tell and every is None:
        raise click.UsageError("Give --every too.")
    with open_bus() as bus:
        if name is None or (every is None and not off):
            _list(bus.expectations.all(name=name))
            return
        if off:
            ended = bus.expectations.end(name)
            text = f"{ended.name} is expected by {ended.sender} no more"
            if ended.sender != bus.name:
                text = f"no more told of {ended.name}, which {ended.sender} expects"
            out.result({"expectation": asdict(ended)}, one_line(text, 400))
            return
        made = bus.expectations.expect(name, every_s=every or 0, tell=list(tell) or None)
    for warning in made.warnings:
        out.note(one_line(warning, 300))
    heard = f"heard {age(made.heard)}" if made.heard else "not heard so far"
    told = ", ".join(made.tell)
    text = f"{made.name} is expected every {_span(made.every_s)}; {heard}; told: {told}"
    out.result({"expectation": asdict(made)}, one_line(text, 600))


def _list(found: list[Expectation]) -> None:
    if out.as_json:
        out.json({"ok": True, "expectations": [asdict(one) for one in found]})
        return
    for line in columns(_HEAD, map(_cells, found)):
        out.line(line)
    if not found:
        out.line("no expectations")


def _cells(one: Expectation) -> tuple[str, ...]:
    heard = age(one.heard) if one.heard else "never"
    every, told = _span(one.every_s), ", ".join(one.tell)
    return one.name, one.state, heard, every, told, one.sender, one.id


def _span(seconds: int) -> str:
    """Return a time as `--every` takes it."""
    size, unit = next((size, unit) for size, unit in _UNITS if seconds % size == 0)
    return f"{seconds // size}{unit}"
