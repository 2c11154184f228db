"""bus stats."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

import click

from busclient._cli.output import age, columns, json_option, open_bus, out
from busclient._harmless import one_line
from busclient._net.figures import Figures, Timing

_BAR = 20
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


@click.command()
@click.option("--all", "all_readers", is_flag=True, help="Readers too for whom nothing waits.")
@json_option
def stats(all_readers: bool) -> None:
    """Show what the hub counts and measures. For admins and watchers."""
    with open_bus() as bus:
        figures = bus.admin.figures()
    if out.as_json:
        out.json(figures.raw)
        return
    for number, part in enumerate(_parts(figures, all_readers)):
        if number and part:
            out.line()
        for line in part:
            out.line(line)


def _parts(figures: Figures, all_readers: bool) -> Iterator[list[str]]:
    yield [_of_hub(figures)]
    yield _counted("RECORDS", sorted(figures.records.items(), key=lambda one: -one[1]))
    yield _counted("CALLS", [(f"{one.type} {one.result}", one.count) for one in figures.calls])
    yield columns(
        ("SINCE THE START", "COUNT", "MEAN", "HALF WITHIN", "99 % WITHIN"),
        [_timed(name, timing) for name, timing in figures.timings.items()],
    )
    waiting = [one for one in figures.readers if one.unread or all_readers]
    most = max((one.unread for one in waiting), default=0)
    rows = [
        (
            one_line(one.name, 64),
            f"{one.unread:,}{'+' if one.unread >= 1_000 else ''}",
            "" if one.oldest_unread_s is None else _for_people(one.oldest_unread_s),
            age(one.last_seen) if one.last_seen else "never seen",
            _bar(one.unread, most),
        )
        for one in waiting
    ]
    more = figures.readers_left_out
    yield [
        *(columns(("READER", "UNREAD", "OLDEST", "SEEN", ""), rows) or ["Nothing is unread."]),
        *([f"… and {more:,} more readers with no more unread than these"] if more else []),
    ]


def _of_hub(figures: Figures) -> str:
    hub = figures.raw["hub"]
    state = "ok" if hub.get("ok") else f"NOT OK: storage {hub.get('storage')}"
    words = [
        f"hub {hub.get('version')}: {state}",
        f"{hub.get('last_seq', 0):,} records",
        f"index {hub.get('index')}, {hub.get('index_lag', 0):,} behind",
        f"{hub.get('waiting', 0):,} waiting",
    ]
    return one_line(", ".join(words), 300)


def _counted(head: str, counts: Iterable[tuple[str, int]]) -> list[str]:
    listed = [*counts]
    most = max((count for _, count in listed), default=0)
    return columns(
        (head, "COUNT", ""), [(what, f"{count:,}", _bar(count, most)) for what, count in listed]
    )


def _timed(name: str, timing: Timing) -> tuple[str, ...]:
    return (name, f"{timing.count:,}", *map(_ms, (timing.mean_s, timing.p50_s, timing.p99_s)))


def _ms(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1000:.3g} ms"


def _for_people(seconds: int) -> str:
    return next(
        (f"{seconds // length} {unit}" for length, unit in _UNITS if seconds >= length), "now"
    )


def _bar(count: int, most: int) -> str:
    """Return a bar whose length says how much this is of the most; something is never nothing."""
    length = 0 if not count else max(1, round(_BAR * count / most))
    is_utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    return ("█" if is_utf8 else "#") * length
