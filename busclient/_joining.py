"""Joining a fleet: the settings file, written once and proved by a round trip; and leaving it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from busclient._bus import Bus
from busclient._errors import LocalTrouble, SettingsError
from busclient._files import write_private


class RoundTrip(NamedTuple):
    """How long it took to post a message to oneself, to read it and to ack it."""

    post_ms: float
    read_ms: float
    ack_ms: float


def write_env(path: Path, values: Mapping[str, str], *, force: bool = False, note: str = "") -> None:
    """Write the settings file, for this user alone. Never over an existing one without `force`; raises SettingsError."""
    if path.exists() and not force:
        raise SettingsError(f"{path} is there already.", hint="Give --force to replace it, or `bus leave` first.")
    text = (f"# {note}\n" if note else "") + "".join(f"{name}={quoted(value)}\n" for name, value in values.items())
    try:
        write_private(path, text)
    except OSError as error:
        raise LocalTrouble(f"{path} cannot be written: {error.strerror or error}.") from error


def quoted(value: str) -> str:
    """A value as python-dotenv, scripts/session-start-poll and (short of `$` and backquotes) a shell read it back."""
    if "\n" in value or "\r" in value or "\0" in value:
        raise SettingsError("A setting must be on one line.")
    if "'" in value or "\\" in value:
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
