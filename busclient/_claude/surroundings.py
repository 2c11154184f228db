"""What around an installation keeps sessions from their mail, or shows it to them twice."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from busclient._errors import SettingsError
from busclient._places import Places
from busclient._settings import SHARED_USER, Settings, read_env_file

if TYPE_CHECKING:
    from busclient._claude.settings_file import SettingsFile

_CREDENTIAL = ("BUS_URL", "BUS_USER", "BUS_PASS")


def warnings(
    places: Places, file: SettingsFile, environ: Mapping[str, str] = os.environ
) -> list[str]:
    """Return what the user has to know or to do, a paragraph each. Raises SettingsError for a
    settings file of Claude Code that cannot be read.
    """
    return [*_of_the_hub(places, environ), *_of_polls(file)]


def _of_the_hub(places: Places, environ: Mapping[str, str]) -> list[str]:
    try:
        settings, kept = Settings.find(environ, places), read_env_file(places.env_file)
    except SettingsError as error:
        return [
            f"this machine has no hub that sessions could ask: {error.message} Until it has joined"
            " one with `bus join URL` (docs/client.md), the hooks and tools do nothing."
        ]
    found = []
    given = [name for name in _CREDENTIAL if environ.get(name)]
    differ = [name for name in given if name in kept and kept[name] != environ[name]]
    if differ:
        found.append(
            f"{', '.join(differ)} in the environment: other than in {places.env_file}, and before"
            f" it. Sessions that are started from this shell speak as {settings.user} at"
            f" {settings.url}. To end that: unset {' '.join(differ)}"
        )
    elif given and not kept:
        found.append(
            f"{', '.join(given)} in the environment, and there is no {places.env_file}: sessions"
            " that are started elsewhere have no hub. `bus join URL` writes that file."
        )
    if settings.user == SHARED_USER:
        name = settings.name.partition("/")[0]
        found.append(
            f"these are the settings of the shared user. Sessions get callsigns ({name}/alpha) only"
            f" if {name} is free to choose, so no name that a machine's own credential has or had;"
            " else they get no mail, and hooks.log says why. Choose another BUS_NAME then, or let"
            f" an admin give this machine its own credential: `bus invite {name}`."
        )
    return found


def _of_polls(file: SettingsFile) -> list[str]:
    return [
        f"mail would be shown twice at a session's start: {file.path} also runs `{poll}` there."
        " Remove that hook from SessionStart."
        for poll in file.polls()
    ]
