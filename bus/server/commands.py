"""The commands of `python -m bus`. Each works beside a running hub, and says what it did."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import click

from bus import create_hub
from bus.config import Config
from bus.log.contents import Contents
from bus.log.jsonl import inspection
from bus.log.jsonl.disk import Disk
from bus.log.jsonl.files import compress as compress_file
from bus.log.jsonl.files import sealed
from bus.model.harmless import harmless
from bus.model.records import KINDS
from bus.server import first_start, services
from bus.server.command import command, existing, owned
from bus.server.credential_commands import credential, invite
from bus.server.importing import Import, Report, summary
from bus.system import modes
from bus.version import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Run the hub of claude-bus and look after its data folder (BUS_DATA_DIR)."""
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    os.umask(modes.UMASK)


main.add_command(credential)
main.add_command(invite)


@main.command()
@click.option("--free", is_flag=True, help="Fail when the address is taken.")
@command
def init(free: bool) -> None:
    """Make the data folder and a first credential, unless they are there."""
    config = Config.from_env()
    if free:
        first_start.refuse_taken_address(config)
    for line in first_start.prepare(config):
        click.echo(line)


@main.command()
@click.option("--no-peers", is_flag=True, help="Without `peers`, which another service runs.")
@command
def serve(no_peers: bool) -> None:
    """Run the hub under gunicorn, and `peers` beside it where BUS_PEERS_COMPAT is 1. Ends a stop
    after a failed sync, once the log is verified.
    """
    config = Config.from_env()
    first_start.prepare(config)
    if first_start.restore(config):
        click.echo(
            "the log was verified after a failed write or sync; posts are taken again", err=True
        )
    root = Path(__file__).parents[2]
    for name, path in config.paths().items():
        os.environ[name] = str(path.absolute())  # before the folder changes
    os.chdir(root)
    if config.peers_compat and not no_peers:
        services.start_peers()
    os.execv(
        sys.executable,
        [sys.executable, "-m", "gunicorn", "-c", "python:bus.server.gunicorn_config", "app:app"],
    )


BESIDE = click.option(
    "--beside",
    type=int,
    metavar="PID",
    help="End with this process, which must have started this one.",
)


@main.command("exec-service")
@BESIDE
@command
def exec_service(beside: int | None) -> None:
    """Run the service that runs commands and reads files in targets. Ends what it runs when it is
    stopped.

    With --beside it is also started again when it dies.
    """
    services.keep(command(services.run_exec), beside, "the service that runs commands")


@main.command()
@BESIDE
@command
def peers(beside: int | None) -> None:
    """Serve clients of claude-peers and agentmesh. With --beside, started again when it dies."""
    services.keep(command(services.run_peers), beside, "the listener for peers")


@main.command()
@BESIDE
@click.option("--check", is_flag=True, help="Only say whether the settings work, and end.")
@command
def notify(beside: int | None, check: bool) -> None:
    """Tell services outside, such as Telegram, what happens, by the rules of BUS_NOTIFY_CONFIG.

    With --beside it is also started again when it dies.
    """
    if check:
        sys.exit(0 if services.check_notify() else 1)
    services.keep(command(services.run_notify), beside, "the service that sends notices")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--files", "with_files", is_flag=True, help="Read all attachments, too.")
@command
def verify(as_json: bool, with_files: bool) -> None:
    """Check every line of the log; name the first damaged one. Exit code 1 when there is damage."""
    config = existing(Config.from_env())
    report = inspection.verify(config.data_dir)
    attachments = dict(Contents(config.files_folder).check()) if with_files else {}
    damaged = [name for name, is_good in attachments.items() if not is_good]
    if as_json:
        facts = {"files": len(attachments), "damaged_files": damaged} if with_files else {}
        click.echo(json.dumps({**report.as_dict(), **facts}))
    else:
        click.echo(report.as_text())
        if with_files:
            read = f"{len(attachments)} read, {len(damaged)} damaged"
            click.echo(f"attachments in {config.files_folder}: {read}")
        for name in damaged:
            click.echo(f"DAMAGED: the attachment {name} has other bytes than its name says")
    sys.exit(0 if report.is_clean() and not damaged else 1)


@main.command()
@command
def reindex() -> None:
    """Rebuild the index from the log, with progress on standard error."""
    hub = create_hub(owned(Config.from_env()))

    def show(done: int, total: int) -> None:
        click.echo(f"\r{done} of {total} records", nl=False, err=True)

    count = hub.index.rebuild(show)
    click.echo("", err=True)
    click.echo(f"applied {count} records")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@command
def stats(as_json: bool) -> None:
    """Say how much there is: records, messages, files, bytes."""
    facts = inspection.stats(existing(Config.from_env()).data_dir)
    click.echo(
        json.dumps(facts)
        if as_json
        else "\n".join(f"{name}: {value}" for name, value in facts.items())
    )


@main.command()
@click.option(
    "--kind",
    default="message",
    type=click.Choice(["all", *KINDS]),
    help="The kind of record.",
    show_default=True,
)
@command
def export(kind: str) -> None:
    """Write the records of the log as JSON lines to standard output."""
    hub = create_hub(owned(Config.from_env()))
    for _, record in hub.log.read():
        if kind in ("all", record["kind"]):
            click.echo(json.dumps(record, ensure_ascii=False))


@main.command("import")
@click.argument("file", type=click.File("rb"), metavar="OLD.jsonl")
@command
def import_(file: IO[bytes]) -> None:
    """Take in the log of a simpler bus: JSON lines with id, ts, from, to, body, tags and acks; `-`
    is standard input.

    What cannot be read is told line by line. Run it again as often as you like: nothing is doubled.
    """
    config = Config.from_env()
    if (
        not config.credentials_file.exists()
    ):  # `init` has made them; the log may still be to be begun
        existing(config)
    first_start.become_owner(config)
    lines = Import(create_hub(config), config.data_dir / "run", _told, _progress())
    try:
        report = lines.run(file)
    finally:
        for line in summary(lines.report):
            click.echo(line)
    sys.exit(1 if report.refused else 0)


def _told(text: str) -> None:
    click.echo(harmless(text), err=True)


def _progress() -> Callable[[Report], None]:
    """Shows a terminal how far an import has come."""
    is_seen = sys.stderr.isatty()
    return lambda report: (
        click.echo(f"\r{report.lines} lines", nl=False, err=True) if is_seen else None
    )


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
@command
def backup(folder: Path) -> None:
    """Copy the log and the credentials to a new FOLDER, consistently, while the hub runs."""
    config = existing(Config.from_env())
    facts = inspection.backup(config.data_dir, config.credentials_file, folder)
    click.echo(
        f"copied {facts['records']} records in {facts['files']} files ({facts['bytes']} bytes) to"
        f" {folder}"
    )


@main.command()
@command
def compress() -> None:
    """Compress the sealed files of the log that are not compressed yet."""
    folder = owned(Config.from_env()).data_dir
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
        click.echo(
            f"{meta['name']}={'' if default is None else default}  ({meta['unit']}) {meta['help']}"
        )
