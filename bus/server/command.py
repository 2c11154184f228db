"""What the commands of `python -m bus` share: how they end, and whose data folder they work on."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import ParamSpec

import click

from bus.config import BadSetting, Config
from bus.errors import BusError
from bus.server import first_start

P = ParamSpec("P")


def command(function: Callable[P, None]) -> Callable[P, None]:
    """Return a command that ends with one line and exit code 2 instead of a traceback."""

    @wraps(function)
    def told(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except BrokenPipeError:
            os.dup2(
                os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
            )  # nobody reads on: that is no failure
        except (BadSetting, BusError, OSError) as error:
            click.echo(f"bus: {error}", err=True)
            sys.exit(2)

    return told


def owned(config: Config) -> Config:
    """Return the settings, for a command that writes in the data folder: root goes on as the
    folder's owner.
    """
    existing(config)
    # Once root has become the owner, a Python in root's home is out of reach.
    for module in ("bus.hub.hub", "bus.index.database", "bus.live.presence"):
        import_module(module)
    first_start.become_owner(config)
    return config


def existing(config: Config) -> Config:
    """Return the settings, if there is a log; a mistyped folder must not become a new,
    empty one.
    """
    if not (config.data_dir / "bus.jsonl").exists():
        raise BadSetting(f"there is no log in {config.data_dir}: is BUS_DATA_DIR right?")
    return config
