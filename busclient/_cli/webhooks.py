"""bus webhook."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from busclient._cli import exits
from busclient._cli.output import age, columns, json_option, open_bus, out
from busclient._harmless import one_line

if TYPE_CHECKING:
    from busclient._agents.webhooks import Attempt, Webhook, Webhooks

_HEAD = ("ID", "NAME", "STATE", "DEAD", "LAST ANSWER", "URL")
_ACTIONS = ("list", "add", "test", "replay", "remove")


@click.command()
@click.argument("action", type=click.Choice(_ACTIONS), default="list")
@click.argument("which", metavar="[URL|ID]", required=False)
@click.option(
    "--name", help="With add: whose mail, or topic:NAME; you, if left out. With list: of."
)
@json_option
def webhook(action: str, which: str | None, name: str | None) -> int:
    """List webhooks; add one for URL; or test, replay or remove the one called ID.

    The hub sends your mail to URL, signed with the secret that `add` shows once. `replay` sends
    again what was given up.
    """
    if (action == "list") != (which is None):
        raise click.UsageError("Give the URL with add, the ID with test, replay and remove.")
    if name is not None and action not in ("list", "add"):
        raise click.UsageError("--name is for list and add.")
    with open_bus() as bus:
        if which is None:
            _list(bus.webhooks.all(name=name))
            return exits.OK
        return _do(bus.webhooks, action, which, name)


def _do(webhooks: Webhooks, action: str, which: str, name: str | None) -> int:
    if action == "add":
        made = webhooks.add(which, name=name)
        said = f"{made.id} sends the mail of {made.name}; its secret, shown this once: "
        out.result({"webhook": asdict(made)}, one_line(said + str(made.secret), 400))
    elif action == "test":
        answer = webhooks.test(which)
        text = f"{which}: {_said(answer)} in {answer.ms} ms"
        delivered = answer.is_delivered
        out.result({"delivered": delivered, "answer": asdict(answer)}, one_line(text, 400))
        return exits.OK if delivered else exits.UNWELL
    elif action == "replay":
        count = webhooks.replay(which)
        out.result({"id": which, "replayed": count}, one_line(f"{which}: {count} sent again", 300))
    else:
        webhooks.remove(which)
        out.result({"id": which}, one_line(f"removed {which}", 300))
    return exits.OK


def _list(found: list[Webhook]) -> None:
    if out.as_json:
        out.json({"ok": True, "webhooks": [asdict(one) for one in found]})
        return
    for line in columns(_HEAD, [_cells(one) for one in found]):
        out.line(line)
    if not found:
        out.line("no webhooks")


def _cells(hook: Webhook) -> tuple[str, ...]:
    last = hook.answers[0] if hook.answers else None
    said = "" if last is None else f"{_said(last)}, {age(last.time)}"
    return hook.id, hook.name, hook.state, str(hook.dead_letters), said, hook.url


def _said(answer: Attempt) -> str:
    return answer.error or f"status {answer.status}"
