"""bus cat, bus put."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from busclient._cli import kinds
from busclient._cli.output import json_option, open_bus, out
from busclient._cli.screen import Screen


@click.command()
@click.argument("place", metavar="TARGET:PATH", type=kinds.PLACE)
@click.option("--offset", type=click.IntRange(0), metavar="N", help="The first byte to show.")
@click.option("--limit", type=click.IntRange(0), metavar="N", help="At most this many bytes.")
@click.option(
    "--raw", is_flag=True, help="Show control characters as they are, also on a terminal."
)
@kinds.wait_approval
@json_option
def cat(place: kinds.Place, raw: bool, **given: Any) -> None:
    """Show a file of another machine, byte for byte.

    One of more than 8 MiB comes in parts, one call for each.
    """
    if given["offset"] is None and given["limit"] is None and not out.as_json:
        _show_all(place, given["wait_for_approval_s"], raw)
        return
    with open_bus() as bus:
        found = bus.net.read_file(place.target, place.path, **given)
    if out.as_json:
        out.json({**found.raw, "ok": True})
        return
    screen = Screen(sys.stdout, raw=raw)
    screen.write(found.content)
    screen.close()


def _show_all(place: kinds.Place, wait_for_approval_s: float, raw: bool) -> None:
    screen = Screen(sys.stdout, raw=raw)
    with open_bus() as bus:
        for part in bus.net.file_parts(
            place.target, place.path, wait_for_approval_s=wait_for_approval_s
        ):
            screen.write(part.content)
    screen.close()


@click.command()
@click.argument("place", metavar="TARGET:PATH", type=kinds.PLACE)
@click.argument("file", required=False)
@click.option(
    "--mode", metavar="OCTAL", help="Its mode, for example 0644. Without it, the mode stays."
)
@click.option("--uid", type=click.IntRange(0), help="Its owner, by number.")
@click.option("--gid", type=click.IntRange(0), help="Its group, by number.")
@click.option("--create-dirs", is_flag=True, help="Make the folders above it.")
@click.option(
    "--if-sha256",
    metavar="SHA256",
    help="Write only over a file with this sum; empty: only if there is no file.",
)
@kinds.key
@kinds.wait_approval
@json_option
def put(place: kinds.Place, file: str | None, **given: Any) -> None:
    """Write FILE, or standard input, to a file of another machine: whole or not at all."""
    if file is None and sys.stdin.isatty():
        raise click.UsageError("Give a FILE, or - for standard input.")
    content = sys.stdin.buffer.read() if file in (None, "-") else Path(str(file)).read_bytes()
    with open_bus() as bus:
        done = bus.net.write_file(place.target, place.path, content, **given)
    out.result(
        done.raw,
        f"wrote {place.target}:{place.path}, {done.size} bytes, mode {done.mode}, sha256"
        f" {done.sha256}",
    )
