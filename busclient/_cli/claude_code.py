"""bus hook, bus wait-for-mail, bus statusline, bus mcp: what Claude Code runs."""

from __future__ import annotations

import os
import sys
import threading

import click

_WITHIN_S = 1.7  # with the start of Python, within 2 s


@click.command()
def hook() -> None:
    """Answer a hook of Claude Code, whose JSON is on standard input.

    Always exits 0 and never takes longer than 2 seconds; says nothing if the hub is away.
    """
    from busclient._claude import hook as program  # noqa: PLC0415

    sent = sys.stdin.read()
    answers: list[str] = []
    worker = threading.Thread(target=lambda: answers.append(program.run(sent)), daemon=True)
    worker.start()
    worker.join(_WITHIN_S)
    if answers and answers[0]:
        click.echo(answers[0])
    sys.stdout.flush()
    os._exit(0)  # whatever still waits for a hub must not hold the session up


@click.command()
def wait_for_mail() -> int:
    """Wait until there is mail that may wake the session of Claude Code to which this hook
    belongs. Then print it on standard error and exit with 2.

    Ends with 0 once the session is gone, and at once where another waiter runs, in `claude -p` and
    with BUS_WAKE=off.
    """
    from busclient._claude import waiter  # noqa: PLC0415

    text = waiter.run()
    if not text:
        return 0
    click.echo(text, err=True)
    return 2


@click.command()
@click.option("--and", "other", metavar="COMMAND", help="Another status line, shown in front.")
def statusline(other: str | None) -> None:
    """Print how much mail waits, for the status line of Claude Code."""
    from busclient._claude import status_line  # noqa: PLC0415
    from busclient._places import Places  # noqa: PLC0415

    sent = "" if sys.stdin.isatty() else sys.stdin.read()
    first = "" if other is None else status_line.beside(other, sent)
    own = status_line.line(Places.of_user())
    click.echo(f"{first} {own}" if first else own)


@click.command()
@click.option(
    "--profile",
    type=click.Choice(["default", "claude-net", "peers"]),
    default="default",
    show_default=True,
    help="Which tools.",
)
def mcp(profile: str) -> None:
    """Serve the bus as tools, over MCP on standard input and output, until that is closed."""
    from busclient._claude.mcp import serve  # noqa: PLC0415

    serve(profile)
