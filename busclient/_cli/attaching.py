"""bus send: files of any size through the hub. `bus get` is in `sharing`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click

from busclient._cli import kinds
from busclient._cli.output import json_option, open_bus, out
from busclient._cli.posting import priority_of, tell
from busclient._harmless import human_size, one_line

_TENTH_S = 0.1


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="FILE… [TO] [TEXT]")
@click.option("-t", "--tag", "tags", multiple=True, help="A tag. Repeat the option for several.")
@click.option("--urgent", is_flag=True, help="First in every inbox.")
@click.option("--fyi", is_flag=True, help="Last in every inbox.")
@click.option(
    "--reply-to",
    "in_reply_to",
    type=kinds.MESSAGE,
    metavar="ID",
    help="The id or seq of the message this answers.",
)
@click.option("--thread", help="The thread this belongs to.")
@click.option("--key", help="Idempotency key: the same key again posts nothing new.")
@click.option("--strict", is_flag=True, default=None, help="Refuse a name that nobody has.")
@json_option
def send(words: tuple[str, ...], **fields: Any) -> int:
    """Send files of any size with a message to TO: a name, several with commas between, or `any`.

    The first words that are files are sent, 16 at most; TO and TEXT come behind them. A file named
    like a name is ./NAME. What broke goes on: give the same line again.
    """
    paths, to, text = _apart(words)
    fields["priority"] = priority_of(fields.pop("urgent"), fields.pop("fyi"))
    names: Any = [name.strip() for name in to.split(",")] if "," in to else to
    from busclient._places import Places  # noqa: PLC0415

    bar = Bar()
    with open_bus() as bus, bar:
        remember = Places.of_user().make_state() / "uploads"
        posted = bus.send_file(
            *paths, to=names, body=text, progress=bar.show, remember=remember, **fields
        )
    return tell(posted)


def _apart(words: tuple[str, ...]) -> tuple[list[Path], str, str | None]:
    """Return the files, to whom, and the text; raises click.UsageError."""
    paths: list[Path] = []
    rest = list(words)
    while rest and (not paths or len(rest) > 2 or Path(rest[0]).is_file()):
        path = Path(rest.pop(0))
        if not path.is_file():
            what = "a folder" if path.is_dir() else "no file"
            raise click.UsageError(f"{path} is {what}. Files come first, then TO, then TEXT.")
        paths.append(path)
    return paths, rest[0] if rest else "any", rest[1] if len(rest) > 1 else None


class Bar:
    """One line on a terminal that says how far a file is; nothing elsewhere."""

    def __init__(self) -> None:
        self._is_shown = sys.stderr.isatty() and not out.as_json
        self._name, self._began, self._from, self._last = "", 0.0, 0, 0.0

    def show(self, name: str, done: int, size: int) -> None:
        """Show how far a file is."""
        if not self._is_shown:
            return
        now = time.monotonic()
        if name != self._name:
            self._name, self._began, self._from = name, now, done
        elif done < size and now - self._last < _TENTH_S:
            return
        self._last = now
        share = done / size if size else 1.0
        speed = (done - self._from) / max(now - self._began, 0.001)
        blocks = "#" * int(share * 24)
        text = (
            f"{one_line(name, 40)} [{blocks:<24}] {share:4.0%}  {human_size(done)} of"
            f" {human_size(size)}, {human_size(int(speed))}/s"
        )
        click.echo(f"\r\x1b[K{text}", nl=False, err=True)

    def clear(self) -> None:
        """Take the line away."""
        if self._is_shown and self._name:
            click.echo("\r\x1b[K", nl=False, err=True)
            self._name = ""

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()
