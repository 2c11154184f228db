"""bus import."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from busclient._cli import exits
from busclient._cli.interrupting import signals_interrupt
from busclient._cli.output import json_option, open_bus, out
from busclient._harmless import one_line

if TYPE_CHECKING:
    from busclient._claudemail.importing import Done, Plan

_EVERY = 500  # files after which it says how far it is


@click.command("import")
@click.argument("what", type=click.Choice(["claudemail"]), metavar="claudemail")
@click.option("--apply", "apply_", is_flag=True, help="Do it; without, it is only shown.")
@click.option(
    "--config",
    "path",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="Its config.json; left out: the first that is found.",
)
@json_option
def import_(what: str, apply_: bool, path: Path | None) -> int:
    """Show what the settings and the mail of ClaudeMail become here, or bring them over.

    Looks for CLAUDEMAIL_CONFIG, ~/.claudemail/config.json, ~/.config/claudemail/config.json and
    /etc/claudemail/config.json. Running it again posts nothing twice.
    """
    from busclient._claudemail import config, importing  # noqa: PLC0415

    found = config.read(config.find(path))
    done = importing.Done()

    def tell(so_far: Done) -> None:
        count = so_far.posted + so_far.known
        if count and count % _EVERY == 0 and not out.as_json:
            out.note(f"{count:,} of {len(plan.files):,} briefs")

    with open_bus() as bus, signals_interrupt():
        me = bus.me()
        machine = str(me["name"]) if me.get("verified") else None
        plan = importing.plan(found, bus.name, machine)
        if apply_:
            done = importing.apply(plan, bus, tell)
    problems = plan.problems + done.problems
    code = exits.UNHANDLED if problems else exits.OK
    if out.as_json:
        out.json({"ok": True, **_as_json(plan), "applied": apply_, **_done_json(done, plan)})
        return code
    out.line(one_line(f"config {plan.config}", 400))
    for title, lines in _parts(plan):
        if lines:
            out.line(one_line(title, 400))
        for line in lines:
            out.line(f"  {one_line(line, 400)}")
    for file, why in problems:
        out.note(one_line(f"not taken: {file}: {why}", 600))
    if apply_:
        out.line(
            f"{done.posted:,} briefs are new here, {done.known:,} were there;"
            f" {len(done.signed):,} signatures are set"
        )
    else:
        config_of = "" if path is None else f" --config {shlex.quote(str(path))}"
        command = f"bus import claudemail{config_of} --apply"
        out.line(one_line(f"Nothing was changed. Do it with: {command}", 600))
    return code


def _parts(plan: Plan) -> Iterator[tuple[str, list[str]]]:
    """Yield the parts of a plan: a line about each, and its lines."""
    yield "names", [f"{there} -> {here}" for there, here in plan.names.items()]
    yield "signatures", [f"{name}: {text}" for name, text in plan.signatures.items()]
    yield "for the hub's settings (its operator adds them)", plan.settings
    links = "links between hubs do not exist yet; keep these lines for the release that has them"
    yield links, plan.links
    yield "becomes nothing here", plan.left
    briefs = [f"{name}: {count:,} {box}" for (name, box), count in plan.counts().items()]
    yield f"briefs in {plan.mailbox}", briefs


def _as_json(plan: Plan) -> dict[str, object]:
    counts = plan.counts().items()
    return {
        "config": str(plan.config),
        "names": plan.names,
        "signatures": plan.signatures,
        "settings": plan.settings,
        "links": plan.links,
        "left": plan.left,
        "briefs": [{"name": name, "box": box, "count": count} for (name, box), count in counts],
    }


def _done_json(done: Done, plan: Plan) -> dict[str, object]:
    problems = [{"file": file, "why": why} for file, why in plan.problems + done.problems]
    return {"posted": done.posted, "known": done.known, "signed": done.signed, "problems": problems}
