"""bus outbox."""

from __future__ import annotations

from typing import Any

import click

from busclient._cli.output import json_option, open_bus, out
from busclient._harmless import one_line
from busclient._outbox.outbox import Entry, Outbox
from busclient._places import Places

_SHOWN_KEY, _LEAST_KEY = 8, 4  # characters


@click.command()
@click.argument("action", type=click.Choice(["list", "drop", "redirect"]), default="list")
@click.argument("keys", metavar="[KEY]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="With drop or redirect: all messages.")
@click.option(
    "--refused",
    is_flag=True,
    help="The messages that the hub refused, instead of the waiting ones.",
)
@click.option("--flush", is_flag=True, help="Deliver the waiting messages now.")
@click.option(
    "--any-hub",
    is_flag=True,
    help="With --flush: also send messages written for another address or user.",
)
@json_option
def outbox(
    action: str, keys: tuple[str, ...], everything: bool, refused: bool, flush: bool, any_hub: bool
) -> None:
    """List the messages that wait on this machine for a hub that is away; deliver, drop or redirect
    them.

    Messages wait for the address and user they were written for: `redirect` lets them wait for the
    present ones. KEY is the beginning of a key, as the list shows it.
    """
    box = Outbox(Places.of_user().state)
    if flush:
        _flush(box, any_hub)
        return
    entries = box.refused() if refused else box.entries()
    if action == "list":
        _list(entries, refused)
        return
    if bool(keys) == everything:
        raise click.UsageError(f"Which? bus outbox {action} KEY, or --all.")
    chosen = (
        {entry.key for entry in entries} if everything else {_whole(key, entries) for key in keys}
    )
    if action == "drop":
        gone = box.drop(chosen, refused=refused)
        out.result(
            {"dropped": gone}, f"dropped {gone}; nobody will read them" if gone else "dropped none"
        )
        return
    with open_bus() as bus:
        moved = box.redirect(chosen, *bus.settings.place, refused=refused)
        out.result(
            {"redirected": moved},
            f"{moved} now wait for {bus.settings.url}: bus outbox --flush delivers them",
        )


def _flush(box: Outbox, any_hub: bool) -> None:
    with open_bus() as bus:
        gone = bus.flush(wait_s=10, any_hub=any_hub)
        left = box.entries()
        others = [entry for entry in left if not entry.is_for(*bus.settings.place)]
    facts = {"delivered": gone, "waiting": len(left), "elsewhere": len(others)}
    out.result(facts, f"delivered {gone}; {len(left)} wait")
    if others:
        out.note(waits_elsewhere(others))


def waits_elsewhere(others: list[Entry]) -> str:
    """Return what to know of messages that wait for another address or user than the
    present ones.
    """
    where = {
        f"{entry.user} at {entry.hub}" + (f" by ssh {entry.via}" if entry.via else "")
        for entry in others
    }
    places = ", ".join(sorted(where))
    what = (
        "bus outbox --flush --any-hub sends them to the present hub, bus outbox drop KEY"
        " forgets one"
    )
    return f"{len(others)} wait for {one_line(places, 300)}: {what}"


def _whole(given: str, entries: list[Entry]) -> str:
    """Return the key that begins so."""
    found = {
        entry.key
        for entry in entries
        if entry.key == given or (len(given) >= _LEAST_KEY and entry.key.startswith(given))
    }
    if len(found) != 1:
        why = "is the beginning of several keys" if found else "is no key of a message here"
        raise click.UsageError(f"{given!r} {why}: bus outbox shows them.")
    return found.pop()


def _list(entries: list[Entry], refused: bool) -> None:
    for entry in entries:
        if out.as_json:
            why = {} if entry.why is None else {"why": dict(entry.why)}
            place = {"hub": entry.hub, "user": entry.user, "queued": entry.queued}
            out.json({"key": entry.key, **place, "draft": entry.draft, **why})
        else:
            out.line(_line(entry))
    if not entries and not out.as_json:
        out.line("nothing was refused" if refused else "the outbox is empty")


def _line(entry: Entry) -> str:
    if entry.draft is None:
        return "a line that cannot be read"
    draft: dict[str, Any] = entry.draft
    to = draft.get("to")
    names = to if isinstance(to, str) else ",".join(map(str, to or []))
    head = (
        f"{entry.key[:_SHOWN_KEY]}  {entry.queued}  {draft.get('from')} > {names} at {entry.hub}:"
        f" {draft.get('body')}"
    )
    if entry.why is None:
        return one_line(head, 160)
    return (
        f"{one_line(head, 160)}\n  refused:"
        f" {one_line(str(entry.why.get('message') or entry.why.get('error')), 200)}"
    )
