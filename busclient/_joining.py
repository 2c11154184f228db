"""Joining a fleet: the settings file, written once and proved by a round trip; and a new secret now
and then.

A secret is said once, in an answer. So that this machine can keep it is seen to before the hub is
asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from busclient._bus import Bus
from busclient._errors import (
    BadAnswer,
    BusError,
    Forbidden,
    LocalTrouble,
    NotFound,
    OutcomeUnknown,
    SettingsError,
    Unauthorized,
    Unreachable,
)
from busclient._files import check_room, followed, write_private
from busclient._http.calls import ONCE
from busclient._http.trouble import is_unsent
from busclient._net.fleet_forms import Credential
from busclient._places import Places
from busclient._settings import Settings, as_values, check_free, quoted, read_env_text, write_env

# For whoever has no settings yet: in place of those that speak of settings, and of the doctor, who
# looks at them.
_HINTS = {
    SettingsError.hint: "Nothing was written.",
    Unreachable.hint: "Is the hub up, and is the address right? Nothing was written.",
    BadAnswer.hint: (
        "What is at this address is not the hub, or a proxy between is in trouble. Nothing was"
        " written."
    ),
    Unauthorized.hint: (
        "Check the password, and the user: `claude`, unless --user names another. Nothing was"
        " written."
    ),
}
_NO_PLACE_TO_JOIN = (
    "Is the address right? It is the hub's alone, without a path, like https://bus.example.org."
)


@contextmanager
def hints_of_join() -> Iterator[None]:
    """Let errors say what to do to somebody who joins."""
    try:
        yield
    except BusError as error:
        error.hint = _HINTS.get(error.hint, error.hint)
        raise


def redeem(
    url: str, code: str, places: Places, *, ssh_host: str | None = None, force: bool = False
) -> Settings:
    """Turn an invite into this machine's own credential, written to the settings file; returns the
    settings.

    The code is spent only when the file can be written. Raises BusError; OutcomeUnknown when the
    answer was lost.
    """
    invite, _, secret = code.strip().partition(".")
    if not (invite and secret):
        raise SettingsError(
            "The code of an invite is one word, ID.SECRET.",
            hint="Paste the whole line of `bus invite`.",
        )
    check_free(places.env_file, force=force)
    _check_room(places.env_file)
    with (
        hints_of_join(),
        Bus(
            Settings(
                url=url, user=f"invite~{invite}", password=secret, name="invited", ssh_host=ssh_host
            )
        ) as door,
    ):
        made = _spent(door)
    settings = Settings(
        url=url, user=made.name, password=made.secret, name=made.name, ssh_host=ssh_host
    )
    _kept(made, lambda: write_env(places.env_file, as_values(settings), force=force))
    return settings


def _spent(door: Bus) -> Credential:
    try:
        with hints_of_join():
            return Credential.from_json(
                door._calls.json("POST", "/api/join", json={}, patience=ONCE)
            )
    except Unauthorized as error:
        hint = "Paste the whole line of `bus invite`; the code is one word."
        raise Unauthorized(
            "The hub does not know this invite.", status=error.status, code=error.code, hint=hint
        ) from error
    except NotFound as error:
        raise NotFound(
            "This hub has no invites; it is older than this client.",
            status=error.status,
            code=error.code,
        ) from error
    except Forbidden as error:
        error.hint = _NO_PLACE_TO_JOIN
        raise
    except Unreachable as error:
        if is_unsent(error):
            error.hint = f"{error.hint} The invite is not spent: the same line works later."
            raise
        hint = (
            "If the invite is spent now, an admin revokes the name (`bus credential revoke NAME`)"
            " and invites it anew."
        )
        raise OutcomeUnknown(
            f"{error.message} The invite may be spent all the same.", hint=hint
        ) from error


def rotate(bus: Bus, places: Places, overlap_s: float | None = None) -> Path:
    """Return a new secret for oneself, in place of the old one in the settings file, which is
    given.

    Raises BusError.
    """
    path = places.env_file
    if bus.settings.sources.get("BUS_PASS") != str(path):
        where = bus.settings.sources.get("BUS_PASS", "elsewhere")
        hint = (
            "An admin can do it and put the secret there: bus credential rotate"
            f" {bus.settings.user}"
        )
        raise SettingsError(
            f"BUS_PASS comes from another place ({where}), where it cannot be replaced from here.",
            hint=hint,
        )
    _check_room(path)
    made = bus.admin.rotate(overlap_s=overlap_s)
    _kept(made, lambda: _replace_password(path, made.secret))
    with Bus(
        Settings(
            url=bus.settings.url,
            user=made.name,
            password=made.secret,
            ssh_host=bus.settings.ssh_host,
        )
    ) as renewed:
        renewed.messages(limit=1)
    return path


def _replace_password(path: Path, secret: str) -> None:
    path, line = followed(path), f"BUS_PASS={quoted(secret)}"
    old = path.read_bytes().decode("utf-8", "surrogateescape")
    text = re.sub(
        r"(?m)^(\ufeff?)[ \t]*(?:export[ \t]+)?BUS_PASS[ \t]*=[^\r\n]*$",
        lambda found: found[1] + line,
        old,
    )
    if (
        read_env_text(text).get("BUS_PASS") != secret
    ):  # in a form of its own: the last line of a name counts
        text = f"{old.rstrip()}\n{line}\n"
    write_private(path, text)


def _check_room(path: Path) -> None:
    try:
        check_room(followed(path))
    except OSError as error:
        raise LocalTrouble(
            f"{path} cannot be written: {error.strerror or error}. Nothing was asked of the hub."
        ) from error


def _kept(made: Credential, write: Callable[[], None]) -> None:
    """Write a secret down; where that fails after all, the error shows it, for it is said only
    once.
    """
    try:
        write()
    except (OSError, LocalTrouble) as error:
        hint = (
            f"It is NOT written down, and not said again: BUS_USER={quoted(made.name)}"
            f" BUS_PASS={quoted(made.secret)}"
        )
        raise LocalTrouble(f"The new credential could not be kept: {error}", hint=hint) from error
