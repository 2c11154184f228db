"""bus status, bus doctor."""

from __future__ import annotations

from dataclasses import asdict

import click

from busclient._cli import exits
from busclient._cli.output import json_option, open_bus, out
from busclient._harmless import one_line
from busclient._outbox.outbox import Outbox
from busclient._places import Places


@click.command()
@json_option
def status() -> None:
    """Say in a few lines which hub this is, whether it is well, and what waits."""
    with open_bus() as bus:
        facts = bus.health()
        inbox = bus.inbox(budget=800)
        waiting = len(Outbox(Places.of_user().state).entries())
    unread = f"{inbox.unread}{'' if inbox.unread_is_exact else ' or more'}"
    out.result(
        {
            "url": bus.settings.url,
            "name": bus.name,
            "user": bus.settings.user,
            "unread": inbox.unread,
            "outbox": waiting,
            "hub": facts,
        },
        f"{bus.name} at {bus.settings.url}: {unread} unread, {waiting} in the outbox\n"
        f"hub: {facts.get('count')} messages"
        + "".join(
            f", {name} {one_line(str(facts.get(name)), 60)}"
            for name in ("storage", "index", "exec")
            if name != "exec" or name in facts
        ),
    )


@click.command()
@json_option
def doctor() -> int:
    """Try each step between this machine and a read message, with its time, and say what to do
    where one fails.
    """
    from busclient._doctor import examine  # noqa: PLC0415

    steps = []
    for step in examine(Places.of_user()):
        steps.append(step)
        if not out.as_json:
            mark = click.style(*_MARKS[step.ok])
            out.line(
                f"{mark} {step.name:<12} {one_line(step.text, 300)}"
                + (f"  ({step.ms:.0f} ms)" if step.ms else "")
            )
            if step.hint:
                out.line(f"     {one_line(step.hint, 300)}")
    is_well = all(step.ok is not False for step in steps)
    if out.as_json:
        out.json({"ok": is_well, "steps": [asdict(step) for step in steps]})
    return exits.OK if is_well else exits.UNWELL


_MARKS: dict[bool | None, tuple[str, str]] = {
    True: ("ok  ", "green"),
    False: ("FAIL", "red"),
    None: ("-   ", "white"),
}
