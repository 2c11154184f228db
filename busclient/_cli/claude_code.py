"""bus hook, bus wait-for-mail, bus statusline, bus mcp: what Claude Code runs."""

from __future__ import annotations

import click

from busclient._claude.profiles import SERVERS


@click.command()
def hook() -> None:
    """Answer a hook of Claude Code, whose JSON is on standard input.

    Always exits 0 and never takes longer than 2 seconds; says nothing if the hub is away.
    """
    from busclient._claude import quick  # noqa: PLC0415

    quick.main("hook")


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
    from busclient._claude.quick import status  # noqa: PLC0415

    click.echo(status(other))


@click.command()
@click.option(
    "--profile",
    type=click.Choice(list(SERVERS)),
    default="default",
    show_default=True,
    help="Which tools.",
)
def mcp(profile: str) -> None:
    """Serve the bus as tools, over MCP on standard input and output, until that is closed."""
    from busclient._claude.mcp import serve  # noqa: PLC0415

    serve(profile)
