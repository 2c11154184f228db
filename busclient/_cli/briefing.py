"""bus brief, bus action, bus digest, bus signature."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from busclient._cli import exits, kinds
from busclient._cli.output import age, json_option, open_bus, out
from busclient._cli.posting import decoded, tell
from busclient._harmless import body_lines, one_line

if TYPE_CHECKING:
    from busclient._agents.actions import Action

_PRIORITIES = ("low", "normal", "high", "urgent")
_STATUSES = ("open", "wip", "waiting", "done", "dropped")


@click.command()
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--to", "to", help="Names, topics, roles or `all`; several with commas.")
@click.option("--title", help="Its title; left out, the first line.")
@click.option("--action", "action", help="What is to be done.")
@click.option("--due", metavar="DATE", help="Until when: 2026-03-28.")
@click.option("--thread", help="The thread this belongs to.")
@click.option("--key", help="Idempotency key; left out, the same brief is posted once.")
@click.option("--show", type=kinds.MESSAGE, metavar="ID", help="Print that brief, as a file.")
@json_option
def brief(file: Path | None, key: str | None, show: str | None, **front: str | None) -> int:
    """Post the markdown of FILE, or of standard input, with the front matter that stands in it."""
    given = {name: value for name, value in front.items() if value is not None}
    if show is not None:
        if file is not None or given or key:
            raise click.UsageError("Give --show ID alone.")
        with open_bus() as bus:
            text = bus.briefs.markdown(show)
        if out.as_json:
            out.json({"ok": True, "markdown": text})
        else:
            for line in body_lines(text.removesuffix("\n")):
                out.line(line)
        return exits.OK
    if file is None or str(file) == "-":
        if sys.stdin.isatty():
            raise click.UsageError("There is no text. For example: bus brief plan.md --to db1")
        text = decoded(sys.stdin.buffer.read(), "Standard input")
    else:
        try:
            text = decoded(file.read_bytes(), str(file))
        except OSError as error:
            raise click.UsageError(f"{file} cannot be read: {error.strerror}.") from None
    with open_bus() as bus:
        done = bus.briefs.post(text, front=given, key=key)
    if not out.as_json:
        code = tell(done.posted)
        for one in done.actions:
            out.line(f"  action {_line(one)}")
        return code
    return tell(done.posted)


@click.command()
@click.argument(
    "what",
    type=click.Choice(["list", "show", "add", "claim", "done", "update"]),
    default="list",
    metavar="[list|show|add|claim|done|update]",
)
@click.argument("which", metavar="[NUMBER|TITLE]", required=False)
@click.option("--for", "assignee", metavar="NAME", help="Whose: a name or role:x; `-` is nobody.")
@click.option("--status", help="One of open, wip, waiting, done, dropped; to list: several, all.")
@click.option("--priority", type=click.Choice(_PRIORITIES), help="How urgent it is.")
@click.option("--due", metavar="DATE", help="Until when: 2026-03-28; `-` takes it away.")
@click.option("--title", help="Of update: another title.")
@click.option("--waiting-on", metavar="TEXT", help="Of update: whom or what it waits for.")
@click.option("--note", help="Of done and update: why; it is kept, and told.")
@click.option("--brief", "brief", type=kinds.MESSAGE, metavar="ID", help="Of add: in its thread.")
@click.option("--all", "all_", is_flag=True, help="Of list: everybody's, not only yours.")
@click.option("--free", is_flag=True, help="Of list: what nobody has.")
@click.option("--overdue", is_flag=True, help="Of list: what is past its time.")
@click.option("--stale", type=kinds.HOURS, metavar="TIME", help="Of list: no news for so long.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@json_option
def action(what: str, which: str | None, **options: Any) -> int:
    """List what you have to do, or work on the action with a NUMBER.

    add TITLE asks for something to be done; claim NUMBER takes what nobody has; done NUMBER closes
    it; update NUMBER changes what the options say.
    """
    given = {name: value for name, value in options.items() if value not in (None, False)}
    given.pop("limit")
    unfit = sorted(set(given) - _TAKES[what])
    if unfit:
        name = _NAMES.get(unfit[0], unfit[0].replace("_", "-"))
        raise click.UsageError(f"`bus action {what}` takes no --{name}.")
    if (what == "list") != (which is None):
        raise click.UsageError("Give a NUMBER, of add a TITLE, and of list neither.")
    if what == "list":
        return _list(given, options["limit"])
    with open_bus() as bus:
        if what == "add":
            found = bus.actions.add(str(which), **given)
        elif what == "show":
            found = bus.actions.get(_number(which))
        elif what == "claim":
            found = bus.actions.claim(_number(which))
        elif what == "done":
            found = bus.actions.done(_number(which), **given)
        else:
            may_go = ("assignee", "due", "waiting_on")
            said = {
                name: None if value == "-" and name in may_go else value
                for name, value in given.items()
            }
            found = bus.actions.change(_number(which), **said)
    text = "\n".join(_lines(found)) if what == "show" else _line(found)
    out.result({"action": found.raw}, text)
    return exits.OK


_NAMES = {"assignee": "for", "all_": "all"}
_TAKES = {
    "list": {"assignee", "status", "priority", "all_", "free", "overdue", "stale"},
    "show": set[str](),
    "add": {"assignee", "priority", "due", "brief"},
    "claim": set[str](),
    "done": {"note"},
    "update": {"assignee", "status", "priority", "due", "title", "waiting_on", "note"},
}


def _list(given: dict[str, Any], limit: int) -> int:
    all_, free = given.pop("all_", False), given.pop("free", False)
    stale_h = given.pop("stale", None)
    with open_bus() as bus:
        if not (all_ or free or "assignee" in given):
            given["assignee"] = bus.name
        found = bus.actions.all(unassigned=free, stale_h=stale_h, limit=limit, **given)
    if out.as_json:
        out.json({"ok": True, "actions": [one.raw for one in found]})
        return exits.OK
    for one in found:
        out.line(_line(one))
    if not found:
        out.line("no actions")
    return exits.OK


def _number(which: str | None) -> int:
    text = str(which).removeprefix("#")
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 10 and int(text)):
        raise click.UsageError(f"{which!r} is no number of an action: bus action lists them.")
    return int(text)


@click.command()
@click.option("--ack", is_flag=True, help="Acknowledge the messages that it shows.")
@click.option(
    "--budget", type=click.IntRange(500, 100_000), metavar="N", help="At most N characters."
)
@json_option
def digest(ack: bool, budget: int | None) -> None:
    """Sum up what is unread, most urgent first, and what you have to do."""
    with open_bus() as bus:
        found = bus.briefs.digest(ack=ack, budget=budget)
    if out.as_json:
        out.json(found)
        return
    for line in _digest_lines(found):
        out.line(line)


@click.command()
@click.argument("text", required=False)
@click.option("--off", is_flag=True, help="Sign no longer.")
@json_option
def signature(text: str | None, off: bool) -> None:
    """Have your briefs signed with TEXT, one line; without TEXT, say what they are signed with.

    A brief keeps the signature that it was posted with.
    """
    if off and text is not None:
        raise click.UsageError("Give TEXT or --off.")
    with open_bus() as bus:
        if off or text is not None:
            bus.briefs.sign(text or "")
        found = text or "" if off or text is not None else bus.briefs.signature()
        name = bus.name
    told = one_line(found, 200) if found else f"the briefs of {name} are not signed"
    out.result({"name": name, "signature": found}, told)


def _digest_lines(found: Mapping[str, Any]) -> Iterator[str]:
    unread = f"{found['unread']}{'' if found.get('is_exact', True) else ' or more'}"
    by = [f"{count} {name}" for name, count in found["by_priority"].items() if name != "normal"]
    by += [f"{count} from {name}" for name, count in found["by_sender"].items()]
    told = f": {', '.join(by)}" if found["unread"] else ""
    yield one_line(f"{unread} unread for {found['reader']}{told}", 500)
    for message in found["messages"]:
        urgent = "" if message["priority"] == "normal" else f" {message['priority'].upper()}"
        said = [text for text in (message.get("title"), message["text"]) if text]
        head = f"{message['seq']}{urgent} {age(message['ts'])} from {message['sender']}"
        yield one_line(f"{': '.join([head, *said])}", 500)
    if found["more"]:
        yield f"-- {found['more']} more: `bus inbox`"
    for action in found["actions"]:
        priority = action["priority"]
        urgent = "" if priority == "normal" else f" {priority.upper()}"
        due = f" due {action['due']}" if action.get("due") else ""
        due += " OVERDUE" if action.get("overdue") else ""
        head = f"action {action['number']} {action['status']}{urgent}{due}"
        yield one_line(f"{head}: {action['title']}", 500)
    if "acked" in found:
        yield f"-- acknowledged {len(found['acked'])}"


def _line(action: Action) -> str:
    words = [str(action.number), action.status]
    words += [] if action.priority == "normal" else [action.priority.upper()]
    words.append(action.assignee or "nobody")
    if action.due is not None:
        words.append(f"due {action.due}" + (" OVERDUE" if action.is_overdue else ""))
    if action.waiting_on is not None:
        words.append(f"waiting on {action.waiting_on}")
    return one_line(f"{' '.join(words)}: {action.title}", 500)


def _lines(action: Action) -> Iterator[str]:
    yield _line(action)
    yield one_line(f"  asked by {action.asked_by} {age(action.made)} in {action.brief}", 300)
    for change in action.history:
        said = ", ".join(
            f"{name} {'none' if value is None else value}" for name, value in change.changes.items()
        )
        note = f" ({change.note})" if change.note else ""
        yield one_line(f"  {change.who} {age(change.time)}: {said}{note}", 700)
