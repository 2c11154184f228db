"""The commands of `python -m bus`. Each works beside a running hub, and says what it did."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import click

from bus import __version__, create_core, setup
from bus.config import BadSetting, Config
from bus.errors import BusError
from bus.log import inspect
from bus.log.disk import Disk
from bus.log.files import compress as compress_file
from bus.log.files import sealed

P = ParamSpec("P")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Run the hub of claude-bus and look after its data folder (BUS_DATA_DIR)."""
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)


def command(function: Callable[P, None]) -> Callable[P, None]:
    """A command of `main` that ends with one line and exit code 2 instead of a traceback."""

    @wraps(function)
    def told(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads on: that is no failure
        except (BadSetting, BusError, OSError) as error:
            click.echo(f"bus: {error}", err=True)
            sys.exit(2)

    return told


@main.command()
@click.option("--free", is_flag=True, help="Fail when the address is taken.")
@command
def init(free: bool) -> None:
    """Make the data folder and a first credential, unless they are there."""
    config = Config.from_env()
    if free:
        setup.refuse_taken_address(config)
    for line in setup.prepare(config):
        click.echo(line)


@main.command()
@command
def serve() -> None:
    """Run the hub under gunicorn. Ends a stop after a failed sync, once the log is verified."""
    config = Config.from_env()
    setup.prepare(config)
    if setup.restore(config):
        click.echo("the log was verified after a failed write or sync; posts are taken again", err=True)
    root = Path(__file__).parents[1]
    # Made absolute before the folder changes.
    os.environ["BUS_DATA_DIR"] = str(config.data_dir.absolute())
    os.environ["BUS_CREDENTIALS"] = str(config.credentials_file.absolute())
    os.chdir(root)
    os.execv(sys.executable, [sys.executable, "-m", "gunicorn", "-c", "python:bus.server", "app:app"])


@main.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@command
def verify(as_json: bool) -> None:
    """Check every line of the log; name the first damaged one. Exit code 1 when there is damage."""
    report = inspect.verify(_existing(Config.from_env()).data_dir)
    if as_json:
        click.echo(json.dumps(report.as_dict()))
    else:
        click.echo(report.as_text())
    sys.exit(0 if report.is_clean() else 1)


@main.command()
@command
def reindex() -> None:
    """Make the index anew from the log, with progress on standard error."""
    core = create_core(_existing(Config.from_env()))

    def show(done: int, total: int) -> None:
        click.echo(f"\r{done} of {total} records", nl=False, err=True)

    count = core.index.rebuild(show)
    click.echo("", err=True)
    click.echo(f"applied {count} records")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@command
def stats(as_json: bool) -> None:
    """Say how much there is: records, messages, files, bytes."""
    facts = inspect.stats(_existing(Config.from_env()).data_dir)
    click.echo(json.dumps(facts) if as_json else "\n".join(f"{name}: {value}" for name, value in facts.items()))


@main.command()
@click.option("--kind", default="message", help="The kind of record; `all` for every one.", show_default=True)
@command
def export(kind: str) -> None:
    """Write the records of the log as JSON lines to standard output."""
    core = create_core(_existing(Config.from_env()))
    for _, record in core.log.read():
        if kind in ("all", record["kind"]):
            click.echo(json.dumps(record, ensure_ascii=False))


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
@command
def backup(folder: Path) -> None:
    """Copy the log and the credentials to a new FOLDER, consistently, while the hub runs."""
    config = _existing(Config.from_env())
    facts = inspect.backup(config.data_dir, config.credentials_file, folder)
    click.echo(f"copied {facts['records']} records in {facts['files']} files ({facts['bytes']} bytes) to {folder}")


@main.command()
@command
def compress() -> None:
    """Compress the sealed files of the log that are not compressed yet."""
    folder = _existing(Config.from_env()).data_dir
    for path in sealed(folder).values():
        packed = compress_file(path, Disk()) if path.suffix != ".gz" else None
        if packed is not None:
            click.echo(f"{path.name} is now {packed.name}, {packed.stat().st_size} bytes")


@main.command()
@command
def settings() -> None:
    """List every setting with its default, its unit and what it is for."""
    for setting in Config.__dataclass_fields__.values():
        meta: Any = setting.metadata
        default = int(setting.default) if isinstance(setting.default, bool) else setting.default
        click.echo(f"{meta['name']}={'' if default is None else default}  ({meta['unit']}) {meta['help']}")


def _existing(config: Config) -> Config:
    """The settings, if there is a log; a mistyped folder must not become a new, empty one."""
    if not (config.data_dir / "bus.jsonl").exists():
        raise BadSetting(f"there is no log in {config.data_dir}: is BUS_DATA_DIR right?")
    return config
