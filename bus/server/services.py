"""The services beside the hub: the one that runs commands, the one that sends notices, and the
listener for peers.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable

import click

from bus import check_notifier, create_notifier, create_peers, create_runner
from bus.config import Config
from bus.model.harmless import harmless
from bus.peers.address import address_of
from bus.runner.supervisor import Supervisor
from bus.system import modes

Service = Callable[[int | None], None]


def keep(service: Service, beside: int | None, what: str) -> None:
    """Run a service; beside a process, start it again when it dies, and end with that process."""
    if beside is None:
        service(None)
    elif os.getppid() != beside:
        click.echo(f"{what} does not run: {beside} has not started it, or has ended", err=True)
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


def run_notify(parent: int | None) -> None:
    """Send notices until it is stopped, or until the process `parent` is gone."""
    config = _settled()
    notifier = create_notifier(
        config, is_over=lambda: parent is not None and os.getppid() != parent
    )
    _at_stop(notifier.stop_soon)
    notifier.start()
    click.echo(f"notices are sent by the rules of {config.notify_file}", err=True)
    notifier.serve()


def check_notify() -> bool:
    """Say how the services of notices are set up; return whether all of them work."""
    is_good = True
    for name, lines in check_notifier(_settled()).items():
        for line in lines:
            is_good = is_good and not line.startswith("!")
            click.echo(f"{name}: {harmless(line)}")
    return is_good


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
