"""What `bus` prints: text for people and agents, JSON for programs.

Other people's text is made harmless here: for a terminal, and for a model that reads it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from busclient._envelopes import defused
from busclient._harmless import body_lines, harmless, human_size, one_line, quoted, signed

if TYPE_CHECKING:
    from busclient._bus import Bus
    from busclient._errors import BusError
    from busclient._messages.message import Message

F = TypeVar("F", bound=Callable[..., Any])
_COLOURS = {"urgent": "red", "fyi": "bright_black"}


class OutputLost(Exception):
    """Standard output cannot be written: it is closed, or what it leads to is full."""


class Output:
    """The two streams, and whether JSON was asked for.

    Colours only on a terminal, not with NO_COLOR or TERM=dumb.
    """

    as_json = False
    is_closed = False

    def json(self, value: Any) -> None:
        """One JSON value on one line, in ASCII: no text in it can act on a terminal."""
        self._write(json.dumps(value, separators=(",", ":")))

    def line(self, text: str = "") -> None:
        """A line of our own words, or of harmless text."""
        self._write(
            for_reader(text),
            color=False if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" else None,
        )

    def note(self, text: str) -> None:
        """A line about the work, on standard error, so that standard output holds only results."""
        self._complain(f"bus: {_with_lines_marked(text)}")

    def result(self, facts: Mapping[str, Any], text: str) -> None:
        """The outcome of a command, in the form asked for.

        What is done is done, also where nobody can be told.
        """
        try:
            if self.as_json:
                self.json({"ok": True, **facts})
            elif text:
                self.line(text)
        except OutputLost as lost:
            self.note(
                f"standard output cannot be written ({lost}). This is done all the same, do not"
                " repeat it:"
            )
            self._complain(f"     {harmless(text)}")

    def error(self, error: BusError, *, also: str | None = None) -> None:
        """An error, in the form asked for; `also` with its code, for people."""
        if self.as_json:
            with contextlib.suppress(OutputLost):
                self.json(error.as_dict())
            return
        self._complain(
            "bus:"
            f" {_with_lines_marked(f'{also}: ' if also else '')}{_with_lines_marked(error.message)}"
        )
        if error.hint:
            self._complain(f"     {_with_lines_marked(error.hint)}")

    def usage(self, error: click.ClickException) -> None:
        """A wrong command line."""
        if self.as_json or "--json" in sys.argv:
            self.json(
                {
                    "ok": False,
                    "error": "usage",
                    "message": error.format_message(),
                    "hint": "See bus COMMAND --help.",
                }
            )
        else:
            error.show()

    def messages(self, messages: Iterable[Message], *, longest: int | None = None) -> int:
        """Messages, each a head and its body indented, so that no body can pass for a head; gives
        how many.
        """
        count = 0
        for count, message in enumerate(messages, 1):  # noqa: B007
            if self.as_json:
                self.json(message.raw)
            else:
                self.line(message_text(message, longest))
            sys.stdout.flush()
        return count

    def _write(self, text: str, color: bool | None = None) -> None:
        """A line on standard output; raises OutputLost, and BrokenPipeError when its reader has
        seen enough.
        """
        if self.is_closed:
            raise OutputLost("it is closed")
        try:
            click.echo(text, color=color)
        except BrokenPipeError:
            raise
        except OSError as error:
            forget_output()
            raise OutputLost(error.strerror or str(error)) from error

    def _complain(self, text: str) -> None:
        """A line on standard error; when that is full or closed as well, nobody is left to
        be told.
        """
        with contextlib.suppress(OSError):
            click.echo(for_reader(text), err=True)


def for_reader(text: str) -> str:
    """Return harmless text as whoever reads may see it: a Claude Code session is shown no tag that
    it could take for Claude Code's own.
    """
    is_session = os.environ.get("CLAUDECODE") == "1" or bool(os.environ.get("BUS_SESSION"))
    return defused(text) if is_session else text


def _with_lines_marked(text: str) -> str:
    """Return a text that may repeat what another machine said: no line of it can pass for a line of
    ours.
    """
    return "\n     | ".join(body_lines(text))


def forget_output() -> None:
    """Let what is still in the buffer of standard output go nowhere: Python would complain of it
    once more at its end.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


out = Output()


def json_option(function: F) -> F:
    """Adds `--json`."""

    def given(_: click.Context, __: click.Parameter, value: bool) -> None:
        out.as_json = value

    option: Callable[[F], F] = click.option(
        "--json",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=given,
        help="Print JSON; messages one a line.",
    )
    return option(function)


def message_text(message: Message, longest: int | None = None) -> str:
    """Return a message for people: one line about it, then its body (at most `longest` characters
    of it) indented.
    """
    marks = [f"#{quoted(tag, 80)}" for tag in message.tags]
    if message.in_reply_to:
        marks.append(f"re {quoted(message.in_reply_to)}")
    marks += [*_said(message.raw), *_files(message)]
    if message.priority != "normal":
        marks.insert(0, message.priority.upper())
    # Of a name that is too long for a line the mark must stay.
    sender = signed(one_line(message.sender, 140), message.verified)
    head = f"{message.seq} {age(message.ts)} {sender} > {','.join(message.to)}"
    body = (message.body if message.snippet is None else message.snippet).replace("\r\n", "\n")
    shown = body if longest is None or len(body) <= longest else body[:longest]
    lines = [f"  {line}" for line in body_lines(shown)]
    if len(shown) < len(body):
        lines.append(f"  … {len(body) - len(shown):,} more characters: bus read {message.seq}")
    elif message.signature and message.snippet is None:
        lines.append(f"  {one_line(message.signature, 200)}")
    first = click.style(one_line(head, 400), bold=True, fg=_COLOURS.get(message.priority))
    return "\n".join([" ".join([first, *marks]), *lines])


def _files(message: Message) -> list[str]:
    """Return what a message's first line says of its files: in it, so that no body can say it."""
    files = message.attachments
    marks = [f"FILE {quoted(one.name, 80)} {human_size(one.size)}" for one in files[:3]]
    marks += [f"and {len(files) - 3} more"] if len(files) > 3 else []
    return [*marks, f"`bus get {message.seq}`"] if files else []


def _said(raw: Mapping[str, Any]) -> list[str]:
    """Return what a message's first line says of a brief, of its origin and of a question."""
    ask, forwarded, brief = raw.get("ask"), raw.get("forwarded"), raw.get("brief")
    marks = []
    extra = brief.get("extra") if isinstance(brief, dict) else None
    if isinstance(extra, dict) and "claimed_from" in extra:
        said = (str(extra[name]) for name in ("claimed_from", "claimed_date") if name in extra)
        marks.append(one_line(f"claimed from {' '.join(map(quoted, said))}", 160))
    if isinstance(brief, dict):
        marks.insert(0, f"BRIEF {quoted(str(brief.get('title')), 120)}")
    if isinstance(forwarded, dict):
        marks.append(one_line(f"forwarded from {forwarded.get('from')}", 160))
    if isinstance(ask, dict):
        options = ask.get("options")
        marks.append(one_line(f"QUESTION {ask.get('state')}", 40))
        if isinstance(options, list):
            marks.append(one_line(f"options={','.join(quoted(str(one)) for one in options)}", 300))
    return marks


def age(ts: str) -> str:
    """Return how long ago something was, for people: `now`, `5 min ago`, `3 h ago`, `2 d ago`."""
    seconds = (datetime.now(UTC) - datetime.fromisoformat(ts)).total_seconds()
    if seconds < 60:
        return "now"
    for unit, length, most in (("min", 60, 60), ("h", 3600, 48)):
        if seconds < length * most:
            return f"{int(seconds // length)} {unit} ago"
    return f"{int(seconds // 86400)} d ago"


def columns(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a table: lines of columns, each as wide as its widest cell.

    The head is left out where there is nothing below it.
    """
    cells = [[one_line(cell, 140) or "-" for cell in row] for row in rows]
    table = [list(head), *cells] if cells else []
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in table]


def open_bus(**kwargs: Any) -> Bus:
    """Return the Bus of this user; raises SettingsError."""
    from busclient._bus import Bus  # noqa: PLC0415  what `bus --help` need not load

    bus = Bus.from_env(light=True, **kwargs)
    if sys.stderr.isatty():  # a person waits; a log or a program does not ask why
        bus.tell_when_slow(out.note)
    return bus
