"""bus completion."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from busclient._cli.output import json_option, out


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@json_option
def completion(shell: str) -> None:
    """Print the completion script of a shell: source <(bus completion bash)."""
    from busclient._cli import cli  # noqa: PLC0415

    kind = get_completion_class(shell)
    assert kind is not None
    out.result(
        {"script": kind(cli, {}, "bus", "_BUS_COMPLETE").source()},
        kind(cli, {}, "bus", "_BUS_COMPLETE").source(),
    )
