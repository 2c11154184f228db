"""Handoffs: notes from one session to the next, in a git clone that a fleet shares (BUS_HANDOFFS).

`latest.md` is the newest one. Each is also kept as `handoffs/TIME-NAME.md`, a name that nobody else
makes: so two machines that write at once cannot lose each other's text, whoever's `latest.md` wins.
A handoff is committed before anything goes over the network; what cannot be pushed now is pushed
with the next one.
"""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from busclient._errors import LocalTrouble
from busclient._files import replace_text
from busclient._handoffs import cloning
from busclient._handoffs.git import git
from busclient._harmless import body_lines

_HEAD_LINES, _HEAD_CHARACTERS = 40, 2_400
_PUSH_ATTEMPTS = 4


@dataclass(frozen=True)
class Handoff:
    """What became of a handoff: the file that keeps it, its commit, and why it is not pushed (None:
    it is).
    """

    path: str
    commit: str
    not_pushed: str | None


def pull(clone: Path, within_s: float) -> bool:
    """Fetch what others wrote, for at most so long; returns whether that went well."""
    if not cloning.is_clone(clone):
        return False
    try:
        git(clone, "pull", "--quiet", "--ff-only", timeout_s=within_s)
    except LocalTrouble:
        return False
    return True


def head(clone: Path) -> str:
    """Return the beginning of `latest.md`, harmless; empty when there is none, or when it is no
    plain file of the clone's own.

    Whoever may push may push a link: followed, it would show any file of this user's to the
    session, and be written through.
    """
    try:
        fd = os.open(
            clone / "latest.md",
            os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0),
        )
    except OSError:
        return ""
    if not stat.S_ISREG(os.fstat(fd).st_mode) or (clone / "latest.md").is_symlink():
        os.close(fd)
        return ""
    with os.fdopen(fd, "rb") as file:
        text = file.read(_HEAD_CHARACTERS * 4).decode(errors="replace")
    return "\n".join(body_lines(text[:_HEAD_CHARACTERS])[:_HEAD_LINES]).rstrip("\n")


def write(
    clone: Path, text: str, name: str, *, now: datetime | None = None, timeout_s: float = 30
) -> Handoff:
    """Write a handoff, commit it and push it.

    Raises LocalTrouble when it could not be committed; then nothing is lost either: the text is in
    the clone, or in the caller's hands.
    """
    if not cloning.is_clone(clone):
        raise LocalTrouble(
            f"{clone} is no git clone.", hint="Set BUS_HANDOFFS to one: git clone URL DIR."
        )
    now = now or datetime.now(UTC)
    noted = f"# Handoff {now:%Y-%m-%d %H:%M} UTC by {name}\n\n{text.rstrip()}\n"
    path = f"handoffs/{now:%Y-%m-%dT%H%M%S.%f}Z-{name.replace('/', '_')}.md"
    try:
        _make_folder(clone / "handoffs")
        replace_text(clone / path, noted)
        replace_text(clone / "latest.md", noted)
    except OSError as error:
        raise LocalTrouble(f"{error.filename} cannot be written: {error.strerror}.") from error
    git(clone, "add", "--", path, "latest.md")
    git(
        clone,
        *_identity(clone, name),
        "commit",
        "--quiet",
        "--no-verify",
        "-m",
        f"Handoff by {name}",
        "--",
        path,
        "latest.md",
    )
    commit = git(clone, "rev-parse", "--short", "HEAD").strip()
    return Handoff(path, commit, _push(clone, name, timeout_s))


def _make_folder(folder: Path) -> None:
    """See that this is a folder of the clone's own; a link that somebody pushed in its
    place goes.
    """
    if folder.is_symlink():
        folder.unlink()
    folder.mkdir(exist_ok=True)


def _push(clone: Path, name: str, timeout_s: float) -> str | None:
    """Push; when others were first, put our commits on top of theirs and try again.

    Gives why it did not work.
    """
    why = ""
    for _ in range(_PUSH_ATTEMPTS):
        try:
            git(clone, "push", "--quiet", "origin", "HEAD", timeout_s=timeout_s)
        except LocalTrouble as error:
            why = error.message
        else:
            return None
        try:
            # In a rebase "theirs" are the commits that are moved: of two latest.md, the one of this
            # machine wins.
            git(
                clone,
                *_identity(clone, name),
                "pull",
                "--quiet",
                "--rebase",
                "--autostash",
                "-X",
                "theirs",
                timeout_s=timeout_s,
            )
        except LocalTrouble as error:
            with contextlib.suppress(LocalTrouble):
                git(clone, "rebase", "--abort")
            return error.message
    return why


def _identity(clone: Path, name: str) -> list[str]:
    """Options that give a committer where git knows none; a container has often none."""
    try:
        git(clone, "config", "user.email")
    except LocalTrouble:
        return [
            "-c",
            f"user.name={name}",
            "-c",
            f"user.email={name.replace('/', '.')}@claude-bus.invalid",
        ]
    return []
