"""bus exec, bus call."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from busclient._cli import exits, kinds
from busclient._cli.interrupting import signals_interrupt
from busclient._cli.output import json_option, open_bus, out
from busclient._cli.screen import Screen
from busclient._harmless import one_line

if TYPE_CHECKING:
    from busclient._net.forms import Call, Result
    from busclient._net.running import Running

_MOST_STDIN = 12_000_000  # as base64 in a request of 16 MiB
_MOST_JSON = 8 * 1024 * 1024  # bytes of each stream that --json keeps


class _BeforeDashes(click.Command):
    """What stands after the first `--` is no option of ours: it goes into `ctx.obj` as it is."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        at = args.index("--") if "--" in args else len(args)
        ctx.obj = args[at + 1 :]
        try:
            return super().parse_args(ctx, args[:at])
        except click.UsageError as error:
            if at < len(args) or len(args) < 2:
                raise
            hint = "The command stands after --, for example: bus exec db1 -- uptime"
            raise click.UsageError(f"{error.format_message()} {hint}", ctx) from None


@click.command(cls=_BeforeDashes)
@click.argument("target", metavar="TARGET -- CMD...")
@click.option("-c", "--shell", metavar="TEXT", help="Text for bash, instead of CMD.")
@click.option(
    "--timeout",
    "timeout_s",
    type=kinds.DURATION,
    metavar="TIME",
    help="End the command after this time; default 30s.",
)
@click.option("--cwd", metavar="DIR", help="The folder to run it in; default: the user's home.")
@click.option("--user", metavar="USER", help="The user to run it as, by name or number.")
@click.option(
    "--env",
    "env",
    multiple=True,
    metavar="K=V",
    help="A variable of its environment. Repeat the option for several.",
)
@click.option(
    "-i",
    "--stdin",
    is_flag=True,
    help="Read standard input to its end and send it with the command.",
)
@click.option(
    "--thread",
    type=kinds.MESSAGE,
    metavar="ID",
    help="Post the result in the thread of this message.",
)
@click.option("--detach", is_flag=True, help="Print its id and let it run; see bus call.")
@click.option(
    "--raw", is_flag=True, help="Show control characters as they are, also on a terminal."
)
@kinds.key
@kinds.wait_approval
@json_option
def exec(
    target: str,
    shell: str | None,
    env: tuple[str, ...],
    stdin: bool,
    detach: bool,
    raw: bool,
    **given: Any,
) -> int:
    """Run CMD in TARGET, a container or a machine. Its words are taken as they are, without a
    shell; -c TEXT is for bash.

    Output comes as it is written, and the exit code is the command's: 124 when its time was over,
    125 when it was not run or nobody knows how it ended. Ctrl-C and SIGTERM end it, with all its
    processes.
    """
    how = {name: value for name, value in given.items() if value is not None}
    command = _command(shell, click.get_current_context().obj)
    _check_text(
        [
            target,
            *(command if shell is None else [shell]),
            *env,
            *(str(value) for value in how.values()),
        ]
    )
    how |= {"env": _variables(env), "stdin": _stdin() if stdin else None}
    with open_bus() as bus:
        if detach:
            id = bus.net.exec_detached(target, command, **how)
            out.result({"id": id, "state": "running"}, id)
            return exits.OK
        with signals_interrupt():
            return _run(lambda: bus.net.exec_stream(target, command, **how), raw)


def _command(shell: str | None, words: list[str]) -> str | list[str]:
    if (shell is None) != bool(words):
        raise click.UsageError(
            "Give the command after --, or with -c as text for bash: bus exec db1 -- ls -l"
        )
    return words if shell is None else shell


def _check_text(words: Iterable[str]) -> None:
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            raise click.UsageError(
                f"{word[:80]!a} is not UTF-8, and words go as text: send such bytes with -i, on"
                " standard input."
            ) from None


def _stdin() -> bytes:
    data = sys.stdin.buffer.read(_MOST_STDIN + 1)
    if len(data) > _MOST_STDIN:
        raise click.UsageError(
            f"-i takes at most {_MOST_STDIN:,} bytes, what fits into one request: send it in parts."
        )
    return data


def _variables(given: tuple[str, ...]) -> dict[str, str]:
    if any("=" not in text for text in given):
        raise click.UsageError("--env takes NAME=VALUE.")
    return dict(text.split("=", 1) for text in given)


def _run(begin: Any, raw: bool) -> int:
    """Run it, show what comes, and give its exit code."""
    kept, sizes = {"stdout": bytearray(), "stderr": bytearray()}, {"stdout": 0, "stderr": 0}
    screens = {"stdout": Screen(sys.stdout, raw=raw), "stderr": Screen(sys.stderr, raw=raw)}
    running: Running = begin()
    try:
        with running:
            for name, data in running:
                sizes[name] += len(data)
                if out.as_json:
                    kept[name] += data[: max(0, _MOST_JSON - len(kept[name]))]
                else:
                    screens[name].write(data)
    except (KeyboardInterrupt, OSError):
        _end(running.id)
        raise
    for screen in screens.values():
        screen.close()
    if out.as_json:
        _tell_json(running.result, kept)
    else:
        _tell(running.result, sizes)
    return _code(running.result)


def _code(result: Result) -> int:
    if result.timed_out:
        return exits.TIME_OVER
    return exits.NOT_RUN if result.exit_code is None else result.exit_code


def _tell(result: Result, sizes: dict[str, int]) -> None:
    """What the output does not say."""
    if result.timed_out:
        out.note(
            f"its time was over after {result.duration_ms / 1000:.1f} s, and it was ended"
            f" ({result.id})"
        )
    elif result.exit_code is None:
        out.note(f"{result.id} was ended before its end")
    if result.leaked is None:
        out.note("nobody knows whether all of its processes were ended")
    elif result.leaked:
        out.note(f"{result.leaked} of its processes could not be ended")
    if result.replayed:
        out.note(f"not run again: this is what {result.id} gave")
    for name, size in (("stdout", result.stdout_size), ("stderr", result.stderr_size)):
        if size > sizes[name]:
            out.note(
                f"{size - sizes[name]:,} of {size:,} bytes of {name} are not here: the hub has not"
                " kept them"
            )


def _tell_json(result: Result, kept: dict[str, bytearray]) -> None:
    from busclient._net.forms import encoded  # noqa: PLC0415

    facts: dict[str, Any] = dict(result.raw)
    for name, data in kept.items():
        facts[name], facts[f"{name}_encoding"] = encoded(bytes(data))
        facts["truncated"] = bool(facts.get("truncated")) or len(data) == _MOST_JSON
    out.json({**facts, "ok": True})


def _end(id: str) -> None:
    """End a command that we leave; a second interrupt ends the wait for that."""
    from busclient._errors import BusError  # noqa: PLC0415
    from busclient._http.calls import Patience  # noqa: PLC0415

    try:
        with open_bus(patience=Patience(connect_s=3, read_s=10, total_s=12, attempts=2)) as bus:
            bus.net.end_call(id)
    except BusError as error:
        out.note(f"{id} may still run until its time is over: {error.message}")


@click.command()
@click.argument("id")
@click.option("--end", is_flag=True, help="End the command, with all its processes.")
@click.option(
    "--wait",
    "wait_s",
    type=kinds.DURATION,
    default="0",
    metavar="TIME",
    help="Wait this long for its end.",
)
@click.option(
    "--raw", is_flag=True, help="Show control characters as they are, also on a terminal."
)
@json_option
def call(id: str, end: bool, wait_s: float, raw: bool) -> int:
    """Say how the call ID is, and show what it gave; or --end it.

    The exit code is the command's once it is done, as with bus exec: 124 when its time was over,
    125 when it was ended, was not run, or nobody knows how it ended. While it runs: 0, after --wait
    124.
    """
    with open_bus() as bus:
        if end:
            ended = bus.net.end_call(id)
            out.result(
                {"id": id, "ended": ended}, f"ended {id}" if ended else f"{id} had ended before"
            )
            return exits.OK
        found = bus.net.wait_for_call(id, wait_s)
    if out.as_json:
        out.json({**found.raw, "ok": found.state in ("running", "done")})
    elif found.result is None:
        out.line(one_line(f"{found.id}: {found.state}", 80))
        if found.error is not None:
            out.error(found.error, also=found.error.code)
        elif found.state == "unknown":
            out.note("nobody knows how it ended: look before you repeat it")
    else:
        _show(found.result, raw)
        out.note(
            f"{found.id}: {_ending(found.result)}, {found.result.duration_ms} ms"
            + (", output cut" if found.result.truncated else "")
        )
    return _code_of_call(found, waited=wait_s > 0)


def _ending(result: Result) -> str:
    if result.timed_out:
        return "its time was over"
    return "it was ended" if result.exit_code is None else f"exit code {result.exit_code}"


def _code_of_call(found: Call, *, waited: bool) -> int:
    if found.state == "running":
        return exits.TIME_OVER if waited else exits.OK
    if found.result is not None:
        return _code(found.result)
    return exits.OK if found.state == "done" else exits.NOT_RUN


def _show(result: Result, raw: bool) -> None:
    for stream, data in ((sys.stdout, result.stdout), (sys.stderr, result.stderr)):
        screen = Screen(stream, raw=raw)
        screen.write(data)
        screen.close()
