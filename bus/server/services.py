"""The services beside the hub: the one that runs commands, and the listener for peers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable

import click

from bus import create_peers, create_runner
from bus.config import Config
from bus.peers.address import address_of
from bus.runner.supervisor import Supervisor
from bus.system import modes

Service = Callable[[int | None], None]


def keep(service: Service, beside: int | None, what: str) -> None:
    """Run a service; beside a process, start it again when it dies, and end with that process."""
    if beside is None:
        service(None)
    else:
        Supervisor(service, beside, what).keep()


def run_exec(parent: int | None) -> None:
    """Run the service that runs commands until it is stopped, or until the process `parent` is
    gone.
    """
    service = create_runner(_settled())
    _at_stop(service.stop_soon)
    click.echo(f"commands are run for callers of {Config.from_env().exec_socket_file}", err=True)
    service.serve(parent)


def run_peers(parent: int | None) -> None:
    """Run the listener for peers until it is stopped, or until the process `parent` is gone."""
    config = _settled()
    host, port = address_of(config, os.environ)
    try:
        listener = create_peers(
            config,
            (host, port),
            is_over=lambda: parent is not None and os.getppid() != parent,
        )
    except OSError as error:
        raise OSError(f"peers: {host}:{port} cannot be listened at ({error.strerror})") from None
    _at_stop(listener.stop_soon)
    click.echo(f"peers are served at {host}:{port}", err=True)
    listener.serve()


def start_peers() -> None:
    """Start the listener beside this process, which may go on as another program. It is started
    again when it is killed, and ends with this process.
    """
    beside = ["peers", "--beside", str(os.getpid())]
    subprocess.Popen([sys.executable, "-m", "bus", *beside], stdin=subprocess.DEVNULL)  # noqa: S603


def _settled() -> Config:
    config = Config.from_env()
    config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    modes.settle(config.data_dir)
    return config


def _at_stop(stop: Callable[[], None]) -> None:
    for how in (signal.SIGTERM, signal.SIGINT):
        signal.signal(how, lambda *_: stop())
