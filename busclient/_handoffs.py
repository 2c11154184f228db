"""Handoffs: notes from one session to the next, in a git clone that a fleet shares (BUS_HANDOFFS).

`latest.md` is the newest one. Each is also kept as `handoffs/TIME-NAME.md`, a name that nobody else makes: so two machines
that write at once cannot lose each other's text, whoever's `latest.md` wins. A handoff is committed before anything
goes over the network; what cannot be pushed now is pushed with the next one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from busclient._errors import LocalTrouble
from busclient._harmless import harmless

_HEAD_LINES, _HEAD_CHARACTERS = 40, 2_400
_PUSH_ATTEMPTS = 4


@dataclass(frozen=True)
class Handoff:
    """What became of a handoff: the file that keeps it, its commit, and why it is not pushed (None: it is)."""

    path: str
    commit: str
    not_pushed: str | None


def pull(clone: Path, within_s: float) -> bool:
    """Fetch what others wrote, for at most so long; gives whether that went well."""
    try:
        _git(clone, "pull", "--quiet", "--ff-only", timeout_s=within_s)
    except LocalTrouble:
        return False
    return True


def head(clone: Path) -> str:
    """The beginning of `latest.md`, harmless; empty when there is none."""
    try:
        text = (clone / "latest.md").read_bytes()[: _HEAD_CHARACTERS * 4].decode(errors="replace")
    except OSError:
        return ""
    return harmless("\n".join(text[:_HEAD_CHARACTERS].splitlines()[:_HEAD_LINES]))


def write(clone: Path, text: str, name: str, *, now: datetime | None = None, timeout_s: float = 30) -> Handoff:
    """Write a handoff, commit it and push it. Raises LocalTrouble when it could not be committed; then nothing is lost
    either: the text is in the clone, or in the caller's hands."""
    if not (clone / ".git").exists():
        raise LocalTrouble(f"{clone} is no git clone.", hint="Set BUS_HANDOFFS to one: git clone URL DIR.")
    now = now or datetime.now(UTC)
    noted = f"# Handoff {now:%Y-%m-%d %H:%M} UTC by {name}\n\n{text.rstrip()}\n"
    path = f"handoffs/{now:%Y-%m-%dT%H%M%S.%f}Z-{name.replace('/', '_')}.md"
    try:
        (clone / "handoffs").mkdir(exist_ok=True)
        (clone / path).write_text(noted, encoding="utf-8")
        (clone / "latest.md").write_text(noted, encoding="utf-8")
    except OSError as error:
        raise LocalTrouble(f"{error.filename} cannot be written: {error.strerror}.") from error
    _git(clone, "add", "--", path, "latest.md")
    _git(clone, *_identity(clone, name), "commit", "--quiet", "--no-verify", "-m", f"Handoff by {name}", "--", path, "latest.md")
    commit = _git(clone, "rev-parse", "--short", "HEAD").strip()
    return Handoff(path, commit, _push(clone, name, timeout_s))


def _push(clone: Path, name: str, timeout_s: float) -> str | None:
    """Push; when others were first, put our commits on top of theirs and try again. Gives why it did not work."""
    why = ""
    for _ in range(_PUSH_ATTEMPTS):
        try:
            _git(clone, "push", "--quiet", "origin", "HEAD", timeout_s=timeout_s)
        except LocalTrouble as error:
            why = error.message
        else:
            return None
        try:
            # In a rebase "theirs" are the commits that are moved: of two latest.md, the one of this machine wins.
            _git(
                clone, *_identity(clone, name), "pull", "--quiet", "--rebase", "--autostash", "-X", "theirs", timeout_s=timeout_s
            )
        except LocalTrouble as error:
            with contextlib.suppress(LocalTrouble):
                _git(clone, "rebase", "--abort")
            return error.message
    return why


def _identity(clone: Path, name: str) -> list[str]:
    """Options that give a committer where git knows none; a container has often none."""
    try:
        _git(clone, "config", "user.email")
    except LocalTrouble:
        return ["-c", f"user.name={name}", "-c", f"user.email={name.replace('/', '.')}@claude-bus.invalid"]
    return []


def _git(clone: Path, *arguments: str, timeout_s: float = 30) -> str:
    """Run git without any question to the user; gives its output. Raises LocalTrouble with what it said."""
    environ = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    environ.setdefault("GIT_SSH_COMMAND", "ssh -o BatchMode=yes -o ConnectTimeout=5")
    try:
        process = subprocess.Popen(  # noqa: S603
            ["git", "-C", str(clone), *arguments],  # noqa: S607  the user's git, wherever it is
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environ,
            start_new_session=os.name != "nt",
        )
    except FileNotFoundError:
        raise LocalTrouble("There is no `git` on this machine.") from None
    try:
        output, errors = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        _end(process)
        raise LocalTrouble(f"git {arguments[0]} took longer than {timeout_s:g} s.") from None
    if process.returncode != 0:
        lines = [line for line in errors.decode(errors="replace").splitlines() if line.strip()]
        said = next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[-1] if lines else "no reason given")
        verb = next((word for word in arguments if word in ("add", "commit", "push", "pull", "rebase", "config")), arguments[0])
        raise LocalTrouble(f"git {verb} failed: {said[:300]}")
    return output.decode(errors="replace")


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
