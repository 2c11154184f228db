"""bus kill-broker: for those who come from claude-peers."""

from __future__ import annotations

import os
import signal

import click

from busclient._cli.output import json_option, out
from busclient._errors import LocalTrouble

_PORT = "7899"


@click.command("kill-broker")
@json_option
def kill_broker() -> None:
    """End the hub's listener for clients of claude-peers and agentmesh on this machine.

    The hub goes on, and starts it again within a second: nothing is lost. To have none, set
    BUS_PEERS_COMPAT=0 and restart the hub.
    """
    from busclient._hub_control.process import command_of, listeners  # noqa: PLC0415

    listen = os.environ.get("BUS_PEERS_LISTEN", "").rpartition(":")[2]
    port = listen or os.environ.get("CLAUDE_PEERS_PORT") or _PORT
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
        raise click.UsageError(f"The port is {port!r}: see BUS_PEERS_LISTEN and CLAUDE_PEERS_PORT.")
    ended = []
    for pid in listeners(int(port)):
        if command_of(pid)[1:4] != ["-m", "bus", "peers"]:
            raise LocalTrouble(
                f"Process {pid} listens at port {port}, and is none of the hub's: end it yourself."
            )
        try:
            os.kill(pid, signal.SIGTERM)
        except OSError as error:
            raise LocalTrouble(f"Process {pid} cannot be ended: {error.strerror}.") from None
        ended.append(pid)
    told = (
        f"ended the listener at port {port} (process {ended[0]}); the hub starts it again"
        if ended
        else f"no process of yours listens at port {port}"
    )
    out.result({"port": int(port), "ended": ended}, told)
