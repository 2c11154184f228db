"""bus notices."""

from __future__ import annotations

from typing import Any

import click

from busclient._cli import exits
from busclient._cli.output import age, columns, json_option, open_bus, out
from busclient._harmless import one_line

_HEAD = ("ID", "STATE", "SERVICE", "KIND", "MADE", "TITLE")
_STATES = ("queued", "sending", "sent", "dead")
_TITLE = 80


@click.command()
@click.argument("action", type=click.Choice(("list", "retry")), default="list")
@click.argument("id", metavar="[ID]", type=click.IntRange(min=1), required=False)
@click.option("--state", type=click.Choice(_STATES), help="Only those in this state.")
@click.option("--service", help="Only those of this service.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True)
@json_option
def notices(action: str, id: int | None, state: str | None, service: str | None, limit: int) -> int:
    """List what was told to services outside, newest first; or send dead letter ID again.

    The service of the hub that sends notices reads their rules: see its docs/notices.md.
    """
    if (action == "list") != (id is None):
        raise click.UsageError("Give the ID with retry, and only there.")
    if id is not None:
        with open_bus() as bus:
            notice = bus.admin.retry_notice(id)
        text = f"notice {id} is queued for {notice.get('service')} again"
        out.result({"notice": notice}, one_line(text, 200))
        return exits.OK
    with open_bus() as bus:
        found = bus.admin.notices(state=state, service=service, limit=limit)
    if out.as_json:
        out.json(found)
    else:
        _show(found)
    return exits.OK


def _show(found: dict[str, Any]) -> None:
    process = found.get("process", {})
    said = {
        "off": "no notices are sent: the hub has no settings for them",
        "away": "notices wait: the service of the hub that sends them is not running",
        "ready": f"the log is followed; {process.get('behind', 0)} records behind",
    }
    out.line(said.get(str(process.get("state")), str(process.get("state"))))
    for name, one in found.get("services", {}).items():
        line = f"{name}: {one['queued']} queued, {one['sent']} sent, {one['dead']} dead"
        line += f", the oldest waits since {age(one['oldest'])}" if one.get("oldest") else ""
        out.line(one_line(line + (f"; {one['error']}" if one.get("error") else ""), 400))
    rows = [_cells(one) for one in found.get("notices", [])]
    if rows:
        for line in columns(_HEAD, rows):
            out.line(line)
    if found.get("has_more"):
        out.line("and more: --limit shows up to 200")


def _cells(one: dict[str, Any]) -> tuple[str, ...]:
    title = str(one["title"]) or str(one.get("text") or "").partition("\n")[0]
    if one.get("error"):
        title += f" ({one['error']})"
    if one.get("maybe_twice"):
        title += " (maybe sent twice)"
    state, made = str(one["state"]), age(str(one["made"]))
    return str(one["id"]), state, str(one["service"]), str(one["kind"]), made, title[:_TITLE]
