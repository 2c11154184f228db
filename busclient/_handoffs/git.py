"""The user's git, in one repository and no other.

A hook of git's runs with variables that name the repository it works in (GIT_DIR, GIT_INDEX_FILE,
…); they would win over `git -C CLONE`, and what is meant for the clone would go into the user's own
branch. So git gets none of what `git rev-parse --local-env-vars` lists, never looks for a
repository above the clone, and runs no hooks: with a `core.hooksPath` for all repositories, a hook
that calls us would call itself.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
from pathlib import Path

from busclient._errors import LocalTrouble

_NO_HOOKS = ("-c", f"core.hooksPath={os.devnull}")
_VERBS = ("add", "commit", "push", "pull", "rebase", "config", "clone")


def git(clone: Path, *arguments: str, timeout_s: float = 30) -> str:
    """Run git in a clone; returns its output. Raises LocalTrouble with what it said."""
    return run(["git", "-C", str(clone), *_NO_HOOKS, *arguments], environment(clone), timeout_s)


def environment(clone: Path) -> dict[str, str]:
    """Ours, without what would lead git away from this clone, and with no question to the user."""
    inherited = {
        name: value for name, value in os.environ.items() if name not in _local_variables()
    }
    inherited.setdefault("GIT_SSH_COMMAND", "ssh -o BatchMode=yes -o ConnectTimeout=5")
    return {
        **inherited,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CEILING_DIRECTORIES": str(clone.resolve().parent),
        "LC_ALL": "C",
    }


def run(command: list[str], environ: dict[str, str], timeout_s: float) -> str:
    """Run a command that is git or calls it; returns its output.

    Raises LocalTrouble with what it said.
    """
    try:
        process = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environ,
            start_new_session=os.name != "nt",
        )
    except FileNotFoundError:
        raise LocalTrouble(f"There is no `{command[0]}` on this machine.") from None
    verb = f"{command[0]} {next((word for word in command if word in _VERBS), command[-1])}"
    try:
        output, errors = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        _end(process)
        raise LocalTrouble(f"{verb} took longer than {timeout_s:g} s.") from None
    if process.returncode != 0:
        lines = [line for line in errors.decode(errors="replace").splitlines() if line.strip()]
        said = next(
            (line for line in lines if line.startswith(("fatal:", "error:"))),
            lines[-1] if lines else "no reason given",
        )
        raise LocalTrouble(f"{verb} failed: {said[:300]}")
    return output.decode(errors="replace")


@functools.cache
def _local_variables() -> frozenset[str]:
    """Return the variables that tie git to one repository, as this git knows them; those of git
    2.39 where it cannot say.
    """
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        listed = subprocess.run(
            ["git", "rev-parse", "--local-env-vars"],  # noqa: S607  the user's git, wherever it is
            stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=10,
        )  # fmt: skip
        return frozenset(listed.stdout.decode(errors="replace").split())
    return frozenset(
        {
            "GIT_DIR",
            "GIT_WORK_TREE",
            "GIT_INDEX_FILE",
            "GIT_COMMON_DIR",
            "GIT_OBJECT_DIRECTORY",
            "GIT_PREFIX",
        }
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    """End git with its helpers; politely, because it then removes its lock files."""
    with contextlib.suppress(OSError):
        if os.name == "nt":
            process.terminate()
        else:
            os.killpg(process.pid, signal.SIGTERM)
    try:
        process.communicate(timeout=2)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
