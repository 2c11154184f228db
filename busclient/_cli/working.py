"""bus worker."""

from __future__ import annotations

import shutil
import signal
import sys
from pathlib import Path
from types import FrameType

import click

from busclient._cli import exits, kinds
from busclient._cli.output import json_option, open_bus, out
from busclient._errors import LocalTrouble
from busclient._places import Places


@click.command()
@click.option(
    "--dir",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="Where Claude works.",
)
@click.option("--claude", default="claude", show_default=True, help="The program.")
@click.option("--runs-a-day", type=click.IntRange(1), default=20, show_default=True)
@click.option("--minutes-a-day", type=click.FloatRange(0), default=60, show_default=True)
@click.option(
    "--timeout",
    "timeout_s",
    type=kinds.DURATION,
    default="10m",
    show_default=True,
    metavar="TIME",
    help="How long one run may take.",
)
@click.option("--resume", is_flag=True, help="Go on with the conversation of the last run.")
@click.option("--once", is_flag=True, help="Look once and leave; for cron.")
@json_option
def worker(
    folder: Path,
    claude: str,
    runs_a_day: int,
    minutes_a_day: float,
    timeout_s: float,
    resume: bool,
    once: bool,
) -> int:
    """Start `claude -p` for the mail of this machine when no session of it is live.

    One at a time, at most so many runs and minutes a day. What Claude says is posted into the
    thread with its exit code; after a run that ends with 0, the mail is acknowledged.
    """
    from busclient._claude.worker import Plan, Worker, alone  # noqa: PLC0415

    program = shutil.which(claude)
    if program is None:
        raise LocalTrouble(f"There is no program {claude!r}.", hint="Give --claude PATH.")
    places = Places.of_user()
    plan = Plan(folder, program, runs_a_day, minutes_a_day, timeout_s, resume)
    with alone(places) as is_alone:
        if not is_alone:
            out.result({"ran": False}, "another worker of this user is running")
            return exits.OK
        with open_bus() as bus:
            working = Worker(bus, plan, places)

            def stop(_: int, __: FrameType | None) -> None:
                working.stop()
                sys.exit(exits.OK)

            signal.signal(signal.SIGTERM, stop)
            working.run(once=once)
    return exits.OK
