"""bus drain."""

from __future__ import annotations

import click

from busclient._cli import exits, kinds
from busclient._cli.interrupting import signals_interrupt
from busclient._cli.output import json_option, open_bus, out
from busclient._errors import LocalTrouble, NotTrusted
from busclient._places import Places

_MOST_NAMED = 5


@click.command()
@click.option(
    "--exec", "command", required=True, metavar="CMD", help="The shell runs this for each message."
)
@click.option("--max", "limit", type=click.IntRange(1), help="Handle at most this many messages.")
@click.option(
    "--timeout",
    "timeout_s",
    type=kinds.DURATION,
    default="5m",
    show_default=True,
    metavar="TIME",
    help="How long each message may take.",
)
@click.option(
    "--failures",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Skip a message after this many failed attempts.",
)
@click.option("--retry", is_flag=True, help="Try skipped messages again.")
@json_option
def drain(command: str, limit: int | None, timeout_s: float, failures: int, retry: bool) -> int:
    """Hand each unread message to CMD; for cron and timers.

    CMD gets the message as JSON on standard input, and as BUS_FROM, BUS_BODY, BUS_TAGS, BUS_ID,
    BUS_SEQ, BUS_TS, BUS_TO, BUS_PRIORITY, BUS_THREAD and BUS_IN_REPLY_TO. Exit code 0 acknowledges
    it; 126 and 127 (CMD cannot be run) stop the run with exit code 8; else it comes again in the
    next run. Two runs never overlap: the second ends at once with exit code 0.
    """
    if not command.strip():
        raise click.UsageError("--exec is empty: every message would be acknowledged unread.")
    if timeout_s <= 0:
        raise click.UsageError("--timeout is 0: no command ends in no time.")
    from busclient._drain import Drainer  # noqa: PLC0415

    with open_bus() as bus:
        drainer = Drainer(
            bus,
            command,
            Places.of_user().state,
            allowed=failures,
            timeout_s=timeout_s,
            quiet=out.as_json,
        )
        with signals_interrupt():
            try:
                report = drainer.run(limit, retry_dead=retry)
            except NotTrusted as error:
                # lasts until somebody acts, so a timer must not take it for a hub that is away
                raise LocalTrouble(error.message, hint=error.hint) from error
    facts = {
        "done": report.done,
        "failed": report.failed,
        "dead": report.dead,
        "passed": report.passed,
        "other_running": report.is_other_running,
    }
    words = [
        f"{len(ids)} {what}"
        for what, ids in (
            ("handled", report.done),
            ("failed", report.failed),
            ("given up", report.dead),
        )
        if ids
    ]
    if report.passed and not out.as_json:
        shown = ", ".join(report.passed[:_MOST_NAMED]) + (
            ", …" if len(report.passed) > _MOST_NAMED else ""
        )
        out.note(
            f"{len(report.passed)} passed over, which failed {failures} times (--retry tries them"
            f" again): {shown}"
        )
    out.result(facts, ", ".join(words))
    return exits.UNHANDLED if report.failed or report.dead else exits.OK
