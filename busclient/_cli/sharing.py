"""bus share, bus get."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from busclient._cli import kinds
from busclient._cli.attaching import Bar
from busclient._cli.output import json_option, open_bus, out
from busclient._cli.posting import priority_of, tell
from busclient._errors import LocalTrouble, NotFound
from busclient._harmless import is_plain, one_line, quoted
from busclient._messages import reading


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("to", default="any")
@click.argument("text", required=False)
@click.option(
    "--via",
    metavar="PLACE",
    help="Where it goes: rclone:REMOTE:PATH, scp:HOST:/FOLDER or dir:/FOLDER; default BUS_SHARE.",
)
@click.option("-t", "--tag", "tags", multiple=True, help="A tag. Repeat the option for several.")
@click.option("--urgent", is_flag=True, help="First in every inbox.")
@click.option("--fyi", is_flag=True, help="Last in every inbox.")
@click.option("--thread", help="The thread this belongs to.")
@click.option("--key", help="Idempotency key: the same key again posts nothing new.")
@json_option
def share(file: Path, to: str, text: str | None, via: str | None, **fields: Any) -> int:
    """Put FILE where other machines reach it, beside the hub, and post to TO where it is.

    `bus get` fetches it and checks its sum. The message has TEXT, and a line about the file.
    """
    from busclient._share.places import default_place  # noqa: PLC0415
    from busclient._share.sharing import share as put  # noqa: PLC0415

    fields["priority"] = priority_of(fields.pop("urgent"), fields.pop("fyi"))
    names: Any = [name.strip() for name in to.split(",")] if "," in to else to
    with open_bus() as bus:
        pointer = put(file, default_place(bus.settings.more, via))
        body = f"{text}\n\n{pointer.line()}" if text else pointer.line()
        data = {"attachments": [pointer.as_json()]}
        return tell(bus.post(body, to=names, data=data, **fields))


@click.command()
@click.argument("ref", type=kinds.MESSAGE)
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=".",
    metavar="DIR",
    help="The folder that they go to; default: this one.",
)
@click.option("--force", is_flag=True, help="Let those of the hub replace other files.")
@json_option
def get(ref: str, folder: Path, force: bool) -> None:
    """Fetch the files of the message REF (id or seq) and check their sums.

    Those that were sent with `bus send` come from the hub, and go on where they broke: give the
    same line again. Shared ones come only from the places that BUS_SHARE_FROM (else BUS_SHARE)
    lists. None replaces another file.
    """
    from busclient._share.places import allowed_places  # noqa: PLC0415
    from busclient._share.pointer import pointers_of  # noqa: PLC0415
    from busclient._share.sharing import fetch  # noqa: PLC0415

    bar = Bar()
    with open_bus() as bus, bar:
        message = bus.message(reading.plain(ref))
        pointers = pointers_of(message)
        if not pointers and not message.attachments:
            raise NotFound(
                f"Message {ref} has no file.", hint=f"`bus read {ref}` shows what it says."
            )
        if not folder.is_dir():
            raise LocalTrouble(f"There is no folder {folder}.", hint="Make it first with mkdir.")
        if message.attachments:
            places = bus.get_file(message, folder, force=force, progress=bar.show)
            bar.clear()
            for one, place in zip(message.attachments, places, strict=True):
                facts = {"name": one.name, "size": one.size, "sha256": one.sha256}
                out.result({"file": str(place), **facts}, _fetched(place, one.size))
        for pointer in pointers:
            file = fetch(pointer, allowed_places(bus.settings.more), folder)
            out.result(
                {"file": str(file), **pointer.as_json()},
                _fetched(file, pointer.size),
            )


def _fetched(file: Path, size: int) -> str:
    shown = str(file)  # a folder is plain too
    if not all(map(is_plain, shown.strip("/").split("/"))):
        shown = quoted(shown, 500)
    return one_line(f"{shown} {size:,} bytes, its sum is right", 700)
