"""The clone of handoffs that BUS_HANDOFFS names by its repository: where it is kept, and how it
comes there.

`python -m busclient._handoffs.cloning SOURCE FOLDER` makes it in a process of its own, for a
session start that cannot wait. scripts/session-start-poll uses the same folder for the same source.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from busclient._errors import LocalTrouble
from busclient._handoffs import git
from busclient._places import is_at_github, without_secret

WITHIN_S = 120.0


def is_clone(folder: Path) -> bool:
    """Return whether git is at home in this very folder."""
    return (folder / ".git").exists()


def clone(source: str, folder: Path, within_s: float = WITHIN_S) -> None:
    """Clone a repository into a folder that is not there, whole or not at all.

    Raises LocalTrouble.
    """
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".cloning-"))
    except OSError as error:
        raise LocalTrouble(
            f"{folder.parent} cannot be written: {error.strerror or error}."
        ) from error
    made = scratch / "clone"
    try:
        git.run([*_command(source), str(made)], git.environment(made), within_s)
        with contextlib.suppress(OSError):  # another session was faster: its clone is as good
            made.rename(folder)
    except LocalTrouble as error:
        why = error.message.replace(source, without_secret(source))
        raise LocalTrouble(f"{without_secret(source)} could not be cloned: {why}") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def begin(source: str, folder: Path) -> None:
    """Clone in a process of its own, which goes on when this one ends."""
    with contextlib.suppress(OSError):
        subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "busclient._handoffs.cloning", source, str(folder)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=os.name != "nt",
        )  # fmt: skip


def _command(source: str) -> list[str]:
    if not is_at_github(source):
        return ["git", "clone", "--quiet", "--", source]
    if shutil.which("gh") is None:
        raise LocalTrouble(
            f"{source} is a repository at GitHub, and there is no `gh` here: set BUS_HANDOFFS to"
            " its URL."
        )
    return ["gh", "repo", "clone", source]


if __name__ == "__main__":
    try:
        clone(sys.argv[1], Path(sys.argv[2]))
    except LocalTrouble:
        sys.exit(1)
