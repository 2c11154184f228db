"""Whether a session starts in bypass mode, in which Claude acts without asking. Its start is the
one event whose hook is not told the mode.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

from busclient._claude.claude_files import settings_files
from busclient._processes import arguments_of

BYPASS = "bypassPermissions"
_OPTION = "--permission-mode"
_MANAGED = Path("/etc/claude-code/managed-settings.json")


def mode_at_start(pid: int | None, environ: Mapping[str, str], cwd: str) -> str:
    """Return `bypassPermissions` if Claude's command line says so, or, where that says no mode, one
    of its settings files; else `default`.
    """
    given = [] if pid is None else arguments_of(pid)
    if "--dangerously-skip-permissions" in given:
        return BYPASS
    said = [after for word, after in pairwise(given) if word == _OPTION]
    said += [word.partition("=")[2] for word in given if word.startswith(f"{_OPTION}=")]
    modes = said or list(_modes(environ, cwd))
    return BYPASS if BYPASS in modes else "default"


def _modes(environ: Mapping[str, str], cwd: str) -> Iterator[str]:
    """Yield the mode in each settings file that has one: any of them may be the one that counts."""
    for file in (*settings_files(environ, cwd), _MANAGED):
        with suppress(OSError, ValueError, KeyError, TypeError):
            yield str(json.loads(file.read_text())["permissions"]["defaultMode"])
