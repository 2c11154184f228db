"""bus machines, bus container, bus activity."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

import click

from busclient._cli import exits, kinds
from busclient._cli.output import age, columns, json_option, open_bus, out
from busclient._harmless import one_line, signed
from busclient._net.fleet_forms import Container, Event, Machine, Snapshot

_LONGEST_BODY, _LONGEST_ABOUT = 120, 300
_WITH_ONE = ("restore", "delete-snapshot")
_ACTIONS = ("list", "start", "stop", "snapshot", "snapshots", *_WITH_ONE)
_WHICH = {"snapshot": "snapshot ", "restore": "back to "}
_HEAD = ("NAME", "KIND", "DRIVER", "STATE", "ONLINE", "SEEN")
_TYPES = ("message", "exec", "file_read", "file_write", "permit", "container", "credential")


@click.command()
@json_option
def machines() -> None:
    """List every name that the hub knows, containers and machines."""
    with open_bus() as bus:
        found, unavailable = bus.net.machines()
    if out.as_json:
        out.json(
            {"ok": True, "machines": [machine.raw for machine in found], "unavailable": unavailable}
        )
        return
    for line in columns(_HEAD, [_cells(machine) for machine in found]):
        out.line(line)
    _tell_missing(unavailable)


def _cells(machine: Machine) -> tuple[str, ...]:
    """Return a machine as a row below `_HEAD`."""
    state = "" if machine.state in (None, "unknown") else str(machine.state)
    online = {True: "online", False: "offline", None: ""}[machine.online]
    seen = age(machine.last_seen) if machine.last_seen else ""
    return machine.name, machine.kind, machine.driver or "no target", state, online, seen


@click.command()
@click.argument("action", type=click.Choice(_ACTIONS))
@click.argument("name", required=False)
@click.argument("snapshot", required=False)
@click.option(
    "--force", is_flag=True, help="With stop: stop at once, without asking what runs in it."
)
@click.option(
    "--timeout",
    "timeout_s",
    type=kinds.DURATION,
    metavar="TIME",
    help="With stop: how long to wait before it is forced; default 30s.",
)
@click.option(
    "--no-snapshot-first", is_flag=True, help="With restore: do not keep the present state."
)
@json_option
def container(
    action: str,
    name: str | None,
    snapshot: str | None,
    force: bool,
    timeout_s: float | None,
    no_snapshot_first: bool,
) -> None:
    """List containers; or do something with the one called NAME. For admins.

    SNAPSHOT is the name of one to restore or delete, or of the new one. A new one without a name is
    called by the day (UTC): 2026-02-27, then 2026-02-27-2. A date restores the newest of that day.
    A restore keeps what is there now as a snapshot first.
    """
    _check(action, name, snapshot)
    if (force or timeout_s is not None) and action != "stop":
        raise click.UsageError("--force and --timeout are for stop.")
    if no_snapshot_first and action != "restore":
        raise click.UsageError("--no-snapshot-first is for restore.")
    with open_bus() as bus:
        if name is None:
            _list(*bus.admin.containers())
            return
        if action == "snapshots":
            _list_snapshots(name, bus.admin.snapshots(name))
            return
        options: dict[str, Any] = {"snapshot": snapshot, "force": force, "timeout_s": timeout_s}
        done = bus.admin.container(action, name, snapshot_first=not no_snapshot_first, **options)
    words = [f"{name}: {action} " + ("done" if done.changed else "had nothing to do")]
    words += [f"{_WHICH.get(action, '')}{done.snapshot}"] if done.snapshot else []
    words += [f"what was there is kept as {done.saved}"] if done.saved else []
    out.result(done.raw, one_line(", ".join(words), 300))


def _check(action: str, name: str | None, snapshot: str | None) -> None:
    if (action == "list") != (name is None):
        raise click.UsageError("Give the NAME of a container, except to list.")
    if snapshot is not None and action not in ("snapshot", *_WITH_ONE):
        raise click.UsageError(f"{action} takes no SNAPSHOT.")
    if snapshot is None and action in _WITH_ONE:
        raise click.UsageError("Which SNAPSHOT? bus container snapshots NAME shows them.")


def _list(found: list[Container], unavailable: Mapping[str, str]) -> None:
    if out.as_json:
        out.json(
            {
                "ok": True,
                "containers": [container.raw for container in found],
                "unavailable": unavailable,
            }
        )
        return
    for one in found:
        snapshots = f"snapshots: {', '.join(one.snapshots)}" if one.snapshots else ""
        words = (one.name, one.driver, one.state, ", ".join(one.addresses), snapshots)
        out.line(one_line(" ".join(word for word in words if word), 1000))
    if not found:
        out.line("no containers")
    _tell_missing(unavailable)


def _list_snapshots(container: str, found: list[Snapshot]) -> None:
    if out.as_json:
        out.json({"ok": True, "name": container, "snapshots": [snapshot.raw for snapshot in found]})
        return
    for snapshot in found:
        whose = ", made by a restore" if snapshot.by_restore else ""
        out.line(one_line(f"{snapshot.name} {snapshot.made}{whose}", 300))
    if not found:
        out.line("no snapshots")


def _tell_missing(unavailable: Mapping[str, str]) -> None:
    for driver, why in unavailable.items():
        out.note(one_line(f"{driver} cannot be asked: {why}", 300))


@click.command()
@click.option(
    "--hours",
    type=kinds.HOURS,
    metavar="TIME",
    help="How far back, in hours or as 15m, 7d; default 24.",
)
@click.option("--from", "sender", metavar="NAME", help="Of this machine.")
@click.option("--target", metavar="NAME", help="In this target.")
@click.option("--type", "type", type=click.Choice(_TYPES), help="Only these.")
@click.option(
    "--before",
    type=click.IntRange(1),
    metavar="SEQ",
    help="Only older ones. Give the first number shown to page back.",
)
@click.option(
    "--limit",
    type=click.IntRange(0, 500),
    metavar="N",
    help="At most this many; default 100. 0: all.",
)
@click.option("--follow", is_flag=True, help="Follow what happens, until interrupted.")
@json_option
def activity(follow: bool, **filters: Any) -> int:
    """Show what happened in the fleet, newest last: one line for a message, a call, a permission, …

    Standard error says when there was more than is shown.
    """
    if follow and (filters["before"] is not None or filters["limit"] == 0):
        raise click.UsageError(
            "--follow goes on with what comes: --before and --limit 0 look back."
        )
    with open_bus() as bus:
        if follow:
            _show(bus.net.follow_activity(**filters))
        elif filters["limit"] == 0:
            _show(bus.net.all_activity(**filters))
        else:
            events, has_more = bus.net.activity_page(**filters)
            _show(events)
            if has_more and events:
                out.note(
                    f"older events are not shown: --before {events[0].seq} shows more, --limit 0"
                    " all of the time asked for"
                )
    return exits.OK


def _show(events: Iterable[Event]) -> None:
    for event in events:
        if out.as_json:
            out.json(event.raw)
        else:
            out.line(_line(event))
        sys.stdout.flush()


def _line(event: Event) -> str:
    """Return one line about an event: who, whom, what, and how it ended.

    The last words are another machine's.
    """
    fields, about = event.raw, event.about or ""
    end = [event.result, event.error or ""]
    end += [
        word
        for name, word in (("timed_out", "time over"), ("cancelled", "was ended"))
        if fields.get(name)
    ]
    if event.exit_code is not None:
        end.append(f"exit {event.exit_code}")
    if event.duration_ms is not None:
        end.append(f"{event.duration_ms} ms")
    what = event.type
    if what == "exec" and event.result not in ("denied", "asked"):
        what += f" {event.id}"  # what bus call takes
    if what == "message":
        about = one_line(about, _LONGEST_BODY)
    names = {
        "snapshot": "snapshot",
        "saved": "kept before as",
        "reason": "because:",
        "left_out": "and so many more:",
    }
    more = [f"{word} {fields[name]}" for name, word in names.items() if fields.get(name)]
    sender = signed(event.sender, event.type != "message" or event.raw.get("verified") is True)
    head = f"{event.seq} {event.time} {sender}" + (f" > {event.target}" if event.target else "")
    shown = " ".join([one_line(about, _LONGEST_ABOUT), *more])
    return one_line(f"{head} {what} ({', '.join(word for word in end if word)}) {shown}", 500)
