"""Joining a fleet: the settings file, written once and proved by a round trip; and a new secret now and then.

A secret is said once, in an answer. So that this machine can keep it is seen to before the hub is asked.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from busclient._bus import Bus
from busclient._calls import ONCE
from busclient._errors import LocalTrouble, NotFound, OutcomeUnknown, SettingsError, Unauthorized, Unreachable
from busclient._files import check_room, followed, write_private
from busclient._fleetforms import Credential
from busclient._places import Places
from busclient._settings import Settings, read_env_text
from busclient._trouble import is_unsent


class RoundTrip(NamedTuple):
    """How long it took to post a message to oneself, to read it and to ack it."""

    post_ms: float
    read_ms: float
    ack_ms: float


def write_env(path: Path, values: Mapping[str, str], *, force: bool = False, note: str = "") -> None:
    """Write the settings file, for this user alone. Never over an existing one without `force`; raises SettingsError."""
    check_free(path, force=force)
    empty = [name for name, value in values.items() if not value]
    if empty:
        raise SettingsError(f"{' and '.join(empty)} would be empty in {path}: nothing was written.")
    text = (f"# {note}\n" if note else "") + "".join(f"{name}={quoted(value)}\n" for name, value in values.items())
    try:
        write_private(followed(path), text)
    except OSError as error:
        raise LocalTrouble(f"{path} cannot be written: {error.strerror or error}.") from error


def as_values(settings: Settings) -> dict[str, str]:
    """What the settings file says of these settings."""
    values = {
        "BUS_URL": settings.url,
        "BUS_USER": settings.user,
        "BUS_PASS": settings.password,
        "BUS_NAME": settings.name,
    }
    return values if settings.ssh_host is None else {**values, "BUS_SSH_HOST": settings.ssh_host}


def check_free(path: Path, *, force: bool = False) -> None:
    """Raise SettingsError when there is a settings file already, and it is not to be replaced."""
    if path.exists() and not force:
        raise SettingsError(f"{path} is there already.", hint="Give --force to replace it, or `bus leave` first.")


def redeem(url: str, code: str, places: Places, *, ssh_host: str | None = None, force: bool = False) -> Settings:
    """Turn an invite into this machine's own credential, written to the settings file; gives the settings.

    The code is spent only when the file can be written. Raises BusError; OutcomeUnknown when the answer was lost.
    """
    invite, _, secret = code.strip().partition(".")
    if not (invite and secret):
        raise SettingsError("The code of an invite is one word, ID.SECRET.", hint="Paste the whole line of `bus invite`.")
    check_free(places.env_file, force=force)
    _check_room(places.env_file)
    with Bus(Settings(url=url, user=f"invite~{invite}", password=secret, name="invited", ssh_host=ssh_host)) as door:
        made = _spent(door)
    settings = Settings(url=url, user=made.name, password=made.secret, name=made.name, ssh_host=ssh_host)
    _kept(made, lambda: write_env(places.env_file, as_values(settings), force=force))
    return settings


def _spent(door: Bus) -> Credential:
    try:
        return Credential.from_json(door._calls.json("POST", "/api/join", json={}, patience=ONCE))
    except Unauthorized as error:
        hint = "Paste the whole line of `bus invite`; the code is one word."
        raise Unauthorized("The hub does not know this invite.", status=error.status, code=error.code, hint=hint) from error
    except NotFound as error:
        raise NotFound("This hub has no invites; it is older than this client.", status=error.status, code=error.code) from error
    except Unreachable as error:
        if is_unsent(error):
            error.hint = f"{error.hint} The invite is not spent: the same line works later."
            raise
        hint = "If the invite is spent now, an admin revokes the name (`bus credential revoke NAME`) and invites it anew."
        raise OutcomeUnknown(f"{error.message} The invite may be spent all the same.", hint=hint) from error


def rotate(bus: Bus, places: Places, overlap_s: float | None = None) -> Path:
    """A new secret for oneself, in place of the old one in the settings file, which is given. Raises BusError."""
    path = places.env_file
    if bus.settings.sources.get("BUS_PASS") != str(path):
        where = bus.settings.sources.get("BUS_PASS", "elsewhere")
        hint = f"An admin can do it and put the secret there: bus credential rotate {bus.settings.user}"
        raise SettingsError(f"BUS_PASS comes from another place ({where}), where it cannot be replaced from here.", hint=hint)
    _check_room(path)
    made = bus.admin.rotate(overlap_s=overlap_s)
    _kept(made, lambda: _replace_password(path, made.secret))
    with Bus(Settings(url=bus.settings.url, user=made.name, password=made.secret, ssh_host=bus.settings.ssh_host)) as renewed:
        renewed.messages(limit=1)
    return path


def _replace_password(path: Path, secret: str) -> None:
    path, line = followed(path), f"BUS_PASS={quoted(secret)}"
    old = path.read_bytes().decode("utf-8", "surrogateescape")
    text = re.sub(r"(?m)^(\ufeff?)[ \t]*(?:export[ \t]+)?BUS_PASS[ \t]*=[^\r\n]*$", lambda found: found[1] + line, old)
    if read_env_text(text).get("BUS_PASS") != secret:  # in a form of its own: the last line of a name counts
        text = f"{old.rstrip()}\n{line}\n"
    write_private(path, text)


def _check_room(path: Path) -> None:
    try:
        check_room(followed(path))
    except OSError as error:
        raise LocalTrouble(f"{path} cannot be written: {error.strerror or error}. Nothing was asked of the hub.") from error


def _kept(made: Credential, write: Callable[[], None]) -> None:
    """Write a secret down; where that fails after all, the error shows it, for it is said only once."""
    try:
        write()
    except (OSError, LocalTrouble) as error:
        hint = f"It is NOT written down, and not said again: BUS_USER={quoted(made.name)} BUS_PASS={quoted(made.secret)}"
        raise LocalTrouble(f"The new credential could not be kept: {error}", hint=hint) from error


def quoted(value: str) -> str:
    """A value as python-dotenv, scripts/session-start-poll and a shell that sources the file read it back.

    In single quotes, where none of them changes anything. What cannot stand there goes into double quotes; a shell then
    expands `$` and backquotes, the other two do not.
    """
    if set(value) & set("\n\r\0"):
        raise SettingsError("A setting must be on one line.")
    if "'" in value or "\\\\" in value or value.endswith("\\"):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"'{value}'"


def round_trip(bus: Bus) -> RoundTrip:
    """Post a message to oneself, read it, ack it; raises BusError. It expires in a minute, whatever happens."""
    direct = bus.without_outbox()
    started = time.perf_counter()
    posted = direct.post("bus round trip", to=direct.name, tags=["bus-doctor"], priority="fyi", expires_in_s=60)
    sent = time.perf_counter()
    assert posted.message is not None
    found = direct.message(posted.message)
    read = time.perf_counter()
    direct.ack(found)
    acked = time.perf_counter()
    return RoundTrip((sent - started) * 1000, (read - sent) * 1000, (acked - read) * 1000)
