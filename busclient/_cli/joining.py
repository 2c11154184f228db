"""bus join, bus leave, bus up, bus down."""

from __future__ import annotations

import os
import sys

import click

from busclient._cli.output import json_option, out
from busclient._files import followed
from busclient._places import Places
from busclient._settings import (
    SHARED_USER,
    Settings,
    as_values,
    check_free,
    default_name,
    write_env,
)


@click.command()
@click.argument("url")
@click.option("--name", help="Who this machine is on the bus.")
@click.option("--user", help="User name of the credential.")
@click.option(
    "--pass",
    "password",
    help="Its password. Without it, the command asks. BUS_PASS keeps it out of the process list.",
)
@click.option(
    "--invite",
    "code",
    metavar="CODE",
    help="The code that `bus invite` printed, instead of a password.",
)
@click.option("--force", is_flag=True, help="Replace existing settings.")
@json_option
def join(
    url: str,
    name: str | None,
    user: str | None,
    password: str | None,
    code: str | None,
    force: bool,
) -> None:
    """Join the hub at URL: check the credential, write ~/.secrets/claude-bus.env, and prove it with
    a round trip.

    With --invite CODE the hub makes this machine's own credential, under the name that the invite
    is for.
    """
    from busclient._bus import Bus  # noqa: PLC0415
    from busclient._doctor import round_trip  # noqa: PLC0415

    places = Places.of_user()
    if code is not None:
        if name or user or password:
            raise click.UsageError(
                "--invite brings name, user and password: leave --name, --user and --pass out."
            )
        from busclient._joining import redeem  # noqa: PLC0415

        settings = redeem(url, code, places, ssh_host=_ssh_host(), force=force)
    else:
        settings = _asked(places, url, name, user, password, force)
    with Bus(settings) as bus:
        times = round_trip(bus)
    shadows = [
        name for name in ("BUS_URL", "BUS_USER", "BUS_PASS", "BUS_NAME") if os.environ.get(name)
    ]
    out.result(
        {
            "url": settings.url,
            "name": settings.name,
            "file": str(places.env_file),
            "round_trip_ms": times._asdict(),
        },
        f"joined {settings.url} as {settings.name}: posted to myself, read it and acknowledged it"
        f" in {sum(times):.0f} ms\nwrote {places.env_file}; next: `bus inbox`, and `bus install"
        " claude-code` for mail inside Claude Code",
    )
    if code is not None and shadows:
        out.note(f"{', '.join(shadows)} in the environment goes before that file: unset it")


def _asked(
    places: Places, url: str, name: str | None, user: str | None, password: str | None, force: bool
) -> Settings:
    """Return the settings with a password that somebody knows, checked and written."""
    from busclient._bus import Bus  # noqa: PLC0415
    from busclient._joining import hints_of_join  # noqa: PLC0415

    check_free(places.env_file, force=force)
    user = user or os.environ.get("BUS_USER") or SHARED_USER
    password = password or os.environ.get("BUS_PASS") or _password(user)
    name = name or os.environ.get("BUS_NAME") or default_name(user)
    with hints_of_join():
        settings = Settings(url=url, user=user, password=password, name=name, ssh_host=_ssh_host())
        with Bus(settings) as bus:
            bus.messages(limit=1)
    write_env(places.env_file, as_values(settings), force=force)
    return settings


def _ssh_host() -> str | None:
    return os.environ.get("BUS_SSH_HOST") or None


def _password(user: str) -> str:
    """Return the password, asked for on a terminal, else the first line of standard input.

    Raises click.UsageError.
    """
    if sys.stdin.isatty() and not out.as_json:
        asked: str = click.prompt(f"Password of {user}", hide_input=True, err=True)
        return asked
    line = "" if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    if not line:
        raise click.UsageError("There is no password: set BUS_PASS, or give it on standard input.")
    return line


@click.command()
@json_option
def leave() -> None:
    """Undo `bus join`: remove the settings file. Messages that wait in the outbox stay there."""
    from busclient import _hub_control  # noqa: PLC0415

    places = Places.of_user()
    kept = followed(places.env_file)
    try:
        places.env_file.unlink()
    except FileNotFoundError:
        out.result({"removed": False}, f"there is no {places.env_file}")
        return
    out.result({"removed": True}, f"removed {places.env_file}")
    if _hub_control.is_running(places):
        out.note("the hub that `bus up` started goes on; `bus down` ends it")
    if kept != places.env_file and kept.exists():
        out.note(f"it was a link: {kept} stays, with the password in it")


@click.command()
@click.option(
    "--url",
    default="http://127.0.0.1:8787",
    show_default=True,
    help="Where the hub listens, if there are no settings yet.",
)
@json_option
def up(url: str) -> None:
    """See that a hub runs on this machine, in the background, and that the settings lead to it."""
    from busclient import _hub_control  # noqa: PLC0415

    settings, is_new = _hub_control.up(Places.of_user(), url)
    out.result(
        {"url": settings.url, "started": is_new},
        (
            f"started a hub at {settings.url}; `bus down` ends it"
            if is_new
            else f"a hub is running at {settings.url}"
        ),
    )


@click.command()
@json_option
def down() -> None:
    """End the hub that `bus up` started.

    It is not started again by itself until the next `bus up`.
    """
    from busclient import _hub_control  # noqa: PLC0415

    was_running = _hub_control.down(Places.of_user())
    out.result(
        {"stopped": was_running},
        "the hub has ended" if was_running else "no hub of `bus up` is running",
    )
