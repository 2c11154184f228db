"""The `bus` command: a group whose subcommands are loaded when they are used, and the one place
where errors end.

Exit codes (also in `bus --help` and docs/client.md; a test compares the three):
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from difflib import get_close_matches
from typing import Any

import click

from busclient._cli import exits
from busclient._cli.catalogue import COMMANDS, GROUPS
from busclient._cli.output import OutputLost, for_reader, forget_output, out
from busclient._harmless import harmless
from busclient._version import __version__


class _Harmless(logging.Formatter):
    """Lines about the work may repeat what a hub, ssh or git has said."""

    def format(self, record: logging.LogRecord) -> str:
        return for_reader(harmless(super().format(record)))


class _ReaderGone(Exception):
    """Whoever reads our output has seen enough.

    A BrokenPipeError would be click's, which makes exit code 1 of it.
    """


class _Commands(click.Group):
    """Loads a subcommand's module only when it is asked for, so that `bus inbox` starts fast."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _ReaderGone from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        name = "import_" if cmd_name == "import" else cmd_name.replace("-", "_")
        found: click.Command = getattr(
            importlib.import_module(f"busclient._cli.{entry.module}"), name
        )
        found.epilog = "\b\nExamples:\n" + "\n".join(f"  {line}" for line in entry.examples)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        near = get_close_matches(args[0], COMMANDS, 1) if args[0] not in COMMANDS else []
        if near and not args[0].startswith("-"):
            raise click.UsageError(
                f"No such command '{args[0]}'. Did you mean `bus {near[0]}`?", ctx
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, group in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name, entry.what) for name, entry in group.items()])


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="\b\nExit codes:\n"
    + "".join(f"  {code:>3}  {meaning}\n" for code, meaning in exits.MEANINGS.items()),
)
@click.version_option(__version__, prog_name="bus")
def cli() -> None:
    """Post and read messages on claude-bus, a message bus for AI coding agents; run commands in
    each other's machines.

    A message goes to a name and stays unread until that name acknowledges it; reading changes
    nothing. Every command takes --json. Settings: BUS_URL, BUS_USER, BUS_PASS, BUS_NAME, or
    ~/.secrets/claude-bus.env (`bus join` writes it).
    """


def main() -> None:
    """The console command. Never shows a traceback, unless BUS_DEBUG is set."""
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Harmless("bus: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    sys.exit(run())


def _open_closed_streams() -> None:
    """Give a stream that was closed (`>&-`) a number of its own: else the connection to the hub
    would get it.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            out.is_closed = out.is_closed or name == "stdout"
            fd = os.open(os.devnull, os.O_RDWR)
            if fd != number:
                os.dup2(fd, number)
                os.close(fd)
            setattr(sys, name, open(number, mode, encoding="utf-8"))  # noqa: SIM115


def run(arguments: list[str] | None = None) -> int:
    """Run one command line; returns its exit code.

    Of `exec` and `call` they are the command's: each failure of ours has one.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    is_commands = arguments[:1] == ["exec"] or (
        arguments[:1] == ["call"] and "--end" not in arguments
    )
    try:
        code: Any = cli.main(arguments, prog_name="bus", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Abort:
        return exits.INTERRUPTED
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except click.ClickException as error:
        out.usage(error)
        return exits.NOT_RUN if is_commands else exits.USAGE
    except (_ReaderGone, BrokenPipeError):
        forget_output()
        return exits.NOT_RUN if is_commands else exits.OK
    except Exception as error:
        code = _failed(error)
        return exits.NOT_RUN if is_commands else code
    return code if isinstance(code, int) else exits.OK


def _failed(error: Exception) -> int:
    from busclient._errors import BusError, LocalTrouble  # noqa: PLC0415

    if os.environ.get("BUS_DEBUG"):
        logging.getLogger("busclient").exception("BUS_DEBUG is set")
    if isinstance(error, OutputLost):
        error = LocalTrouble(f"Standard output cannot be written ({error}).")
    if isinstance(error, OSError):
        error = LocalTrouble(
            f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "") + "."
        )
    if not isinstance(error, BusError):
        out.error(
            BusError(
                f"A defect of this command: {error!r}.",
                hint="BUS_DEBUG=1 shows where. Please report it.",
            )
        )
        return exits.DEFECT
    out.error(error)
    return exits.of(error)
