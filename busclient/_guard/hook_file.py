"""The pre-commit hook of a repository: ours in front of the one that was there, and back again.

The hook that was there is kept beside ours under another name, unchanged, and runs first. It is
where git looks for hooks, so `core.hooksPath` counts, and all worktrees of a clone share one.
"""

from __future__ import annotations

import os
import shlex
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from busclient._errors import LocalTrouble, SettingsError
from busclient._repository import git

_KEPT = "pre-commit.before-bus-guard"
_MARK = "# claude-bus guard: `bus guard uninstall` takes this out again."
_SCRIPT = """#!/bin/sh
{mark}
before="$(dirname "$0")/{kept}"
if [ -x "$before" ]; then
  "$before" "$@" || exit $?
fi
if [ ! -x {program} ]; then
  echo "bus: guard: {shown} is gone, so nobody asked who works on these files." >&2
  exit 0
fi
exec {command} guard check
"""


@dataclass(frozen=True)
class State:
    """`installed`, `absent`, or `replaced`: somebody has put another hook over ours."""

    state: str
    path: Path
    has_other: bool  # a hook that was there before is kept


class HookFile:
    """The hook of the repository that a folder is in; raises SettingsError if it is in none."""

    def __init__(self, folder: Path) -> None:
        hooks = git(folder, "rev-parse", "--git-path", "hooks", within_s=5)
        if not hooks:
            raise SettingsError(
                "The current folder is in no git repository.",
                hint="Run it in the repository whose commits it shall look at.",
            )
        self.path = folder / hooks / "pre-commit"
        self._kept = self.path.with_name(_KEPT)

    def state(self) -> State:
        """Return how it is now."""
        has_kept = os.path.lexists(self._kept)
        if self._is_ours():
            return State("installed", self.path, has_kept)
        return State("replaced" if has_kept else "absent", self.path, os.path.lexists(self.path))

    def install(self, program: list[str]) -> bool:
        """Put our hook in; return whether that changed anything. Raises SettingsError,
        LocalTrouble.
        """
        text = _SCRIPT.format(
            mark=_MARK,
            kept=_KEPT,
            program=shlex.quote(program[0]),
            command=shlex.join(program),
            shown=program[0].translate(dict.fromkeys(map(ord, '"$`\\'), "?")),
        ).encode("utf-8", "surrogateescape")
        if self._is_ours():
            if self._read() == text:
                return False
        elif os.path.lexists(self.path) and os.path.lexists(self._kept):
            raise SettingsError(
                f"{self.path} was put over our hook, and {self._kept.name} is there too.",
                hint="Remove one of them: the one that you keep must be called pre-commit.",
            )
        try:
            self._put(text)
        except OSError as error:
            raise LocalTrouble(f"{self.path} cannot be written: {error}.") from error
        return True

    def _put(self, text: bytes) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        scratch = self.path.with_name(f"{_KEPT}.{os.getpid()}")
        try:
            scratch.write_bytes(text)
            scratch.chmod(0o755)
            if os.path.lexists(self.path) and not self._is_ours():
                self.path.rename(self._kept)
            scratch.replace(self.path)
        finally:
            scratch.unlink(missing_ok=True)

    def uninstall(self) -> bool:
        """Take our hook out, and put the one that was there back as it was; return whether there
        was one of ours. Raises SettingsError, LocalTrouble.
        """
        has_kept = os.path.lexists(self._kept)
        if not self._is_ours():
            if has_kept and os.path.lexists(self.path):
                raise SettingsError(
                    f"{self.path} is not our hook any more; {self._kept.name} was there before.",
                    hint="Remove the one that you do not want.",
                )
            if not has_kept:
                return False
        try:
            if has_kept:
                self._kept.replace(self.path)
            else:
                self.path.unlink()
        except OSError as error:
            raise LocalTrouble(f"{self.path} cannot be restored: {error}.") from error
        return True

    def _is_ours(self) -> bool:
        return not self.path.is_symlink() and f"\n{_MARK}\n".encode() in self._read()

    def _read(self) -> bytes:
        with suppress(OSError):
            return self.path.read_bytes()
        return b""
