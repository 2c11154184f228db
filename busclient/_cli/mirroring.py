"""bus mirror."""

from __future__ import annotations

import time
from pathlib import Path

import click

from busclient._cli.interrupting import signals_interrupt
from busclient._cli.output import json_option, open_bus, out
from busclient._harmless import one_line


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option("--name", metavar="NAME", help="Whose briefs; left out: who you are.")
@click.option("--once", is_flag=True, help="Bring DIR in step and leave; for cron.")
@json_option
def mirror(folder: Path, name: str | None, once: bool) -> None:
    """Keep DIR in step with your briefs, one markdown file each.

    DIR/NAME/inbox has what is unread, DIR/NAME/archive what you have acknowledged. A file that you
    put into DIR/NAME/outbox is sent once, and goes to outbox/sent, or to outbox/refused with a file
    that says why.
    """
    from busclient._mirror import Mirror, Report  # noqa: PLC0415

    def tell(report: Report) -> None:
        if out.as_json:
            if once or report != Report():
                out.json({"ok": True, **vars(report)})
            return
        for what, names in (
            ("new", report.new), ("archived", report.archived), ("sent", report.sent)
        ):  # fmt: skip
            for one in names:
                out.line(one_line(f"{what} {one}", 300))
        for one, why in report.refused:
            out.note(one_line(f"refused {one}: {why}", 300))

    with open_bus() as bus, signals_interrupt():
        if once:
            tell(Mirror(bus, folder, name).once())
        else:
            Mirror(bus, folder, name).follow(tell, time.sleep)
