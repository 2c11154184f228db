"""bus worker."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import click

from busclient._cli import exits, kinds
from busclient._cli.interrupting import signals_interrupt
from busclient._cli.output import json_option, open_bus, out
from busclient._errors import LocalTrouble
from busclient._places import Places

_SAID = {
    "nothing": "no mail that starts a run",
    "live": "a session of this machine is live",
    "lid": "the lid of the day is reached",
    "busy": "another worker is at it",
}


@click.command()
@click.option(
    "--dir",
    "folder",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Where Claude works.",
)
@click.option("--once", is_flag=True, help="Look once and leave; for cron.")
@click.option("--claude", default="claude", show_default=True, help="The program to start.")
@click.option("--runs-a-day", "runs", type=click.IntRange(1), default=20, show_default=True)
@click.option("--minutes-a-day", "minutes", type=click.FloatRange(0), default=60, show_default=True)
@click.option(
    "--timeout",
    "timeout_s",
    type=kinds.DURATION,
    default="10m",
    show_default=True,
    metavar="TIME",
    help="How long a run may take.",
)
@click.option(
    "--trust",
    "trusts",
    metavar="LABELS",
    help="Only mail of these labels, such as human,agent: others start no run.",
)
@click.option("--resume", is_flag=True, help="Go on with the conversation of the last run.")
@json_option
def worker(
    folder: Path,
    once: bool,
    claude: str,
    runs: int,
    minutes: float,
    timeout_s: float,
    trusts: str | None,
    resume: bool,
) -> int:
    """Start `claude -p` for this machine's mail while no session of it is live.

    Claude gets the unread mail on standard input; its output is posted as a reply with the tag
    `worker`. Exit code 0 of Claude acknowledges what it was shown. A message starts at most 3 runs.
    """
    if timeout_s <= 0:
        raise click.UsageError("--timeout is 0: no run ends in no time.")
    from busclient._claude.worker import Limits, Worker  # noqa: PLC0415

    program = shutil.which(claude)
    if program is None:
        raise LocalTrouble(f"There is no program {claude!r}.", hint="Give --claude PATH.")
    # A relative path would be looked for in the folder.
    limits = Limits(
        folder, os.path.abspath(program), runs, minutes * 60, timeout_s, resume, _labels(trusts)
    )
    try:
        with signals_interrupt(), open_bus() as bus:
            made = Worker(bus, Places.of_user().state, limits)
            if not once:
                made.serve()
            look = made.look()
    except KeyboardInterrupt:
        return exits.OK  # it is how a worker ends
    words = _SAID.get(look.what) or f"Claude ended with {look.code}"
    out.result({"what": look.what, "code": look.code}, words)
    return exits.OK


_TRUSTS = ("human", "agent", "shared", "peer", "webhook", "link", "hub")


def _labels(text: str | None) -> frozenset[str]:
    """Return the labels of trust in a list with commas; raises click.UsageError."""
    found = frozenset(word.strip() for word in (text or "").split(",") if word.strip())
    if (text is not None and not found) or found - {*_TRUSTS}:
        raise click.UsageError(f"--trust takes {', '.join(_TRUSTS)}, with commas.")
    return found
