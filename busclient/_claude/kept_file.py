"""A file of the user's that we change: what it was before is kept, so that it can be restored byte
for byte.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from busclient._errors import LocalTrouble
from busclient._files import followed, write_private
from busclient._places import Places

_RECORD = "claude-code-settings.json"


@contextmanager
def one_at_a_time(places: Places) -> Iterator[None]:
    """Let no other installation of this user change files meanwhile; raises LocalTrouble."""
    from filelock import FileLock, Timeout  # noqa: PLC0415

    try:
        with FileLock(places.make_state() / "install.lock", timeout=60):
            yield
    except Timeout:
        raise LocalTrouble("Another `bus install` is running.") from None


class KeptFile:
    """One file, and what is known of it since we changed it."""

    def __init__(self, path: Path, places: Places, mode: int = 0o600) -> None:
        self.path, self._places, self._mode = path, places, mode
        self._record = places.state / _RECORD

    def text(self) -> str | None:
        """Return what the file holds, None if it is not there; raises LocalTrouble."""
        try:
            return self.path.read_bytes().decode("utf-8")
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise LocalTrouble(f"{self.path} cannot be read: {error}") from None

    def known(self) -> dict[str, Any]:
        """Return what was noted at the last change; {} if nothing of ours is known."""
        found = self._records().get(str(self.path))
        return found if isinstance(found, dict) else {}

    def change(
        self, before: str | None, after: str, *, is_clean: bool, facts: Mapping[str, Any] = {}
    ) -> None:
        """Write `after` in place of `before`; `is_clean` says that `before` holds nothing of ours.
        `facts` are noted with it. Raises LocalTrouble.
        """
        known = self.known()
        noted: dict[str, Any] = {**facts, "after": after}
        noted["made"] = [*known.get("made", []), *_missing(followed(self.path).parent)]
        # What was there without us: of a second change, what the first one has found. A file
        # with ours in it that was changed since has no such text any more.
        if known.get("after") == before and "before" in known:
            noted["before"] = known["before"]
        elif is_clean:
            noted["before"] = before
        self._write(before, after)
        self._note(noted)

    def undo(
        self,
        without_ours: Callable[[str], str],
        is_empty: Callable[[str], bool] = lambda text: not text.strip(),
    ) -> str:
        """Take ours out: `restored` byte for byte, `removed` from a file that was changed since,
        or `absent`. A file that was made here goes if it `is_empty` then. Raises LocalTrouble.
        """
        text, known = self.text(), self.known()
        if text is not None and known.get("after") == text and "before" in known:
            self._write(text, known["before"])
            self._done(known)
            return "restored"
        left = text if text is None else without_ours(text)
        if left == text:
            self._done(known)
            return "absent"
        is_made = "before" in known and known["before"] is None
        self._write(text, None if left is None or (is_made and is_empty(left)) else left)
        self._done(known)
        return "removed"

    def _done(self, known: Mapping[str, Any]) -> None:
        """Forget the file, and remove folders that were made for it if nothing is in them."""
        self._note(None)
        for folder in known.get("made", []):
            try:
                os.rmdir(folder)
            except OSError:
                self._leave(folder)

    def _leave(self, folder: str) -> None:
        """Let another file of ours take a folder with it that was made for this one, and in which
        both are.
        """
        records = self._records()
        for path, facts in records.items():
            if Path(folder) in Path(path).parents and isinstance(facts, dict):
                facts["made"] = [*facts.get("made", []), folder]
                write_private(self._record, json.dumps(records))
                return

    def _write(self, before: str | None, text: str | None) -> None:
        if self.text() != before:
            raise LocalTrouble(
                f"Another program has just changed {self.path}; nothing was written to it.",
                hint="Run the same command again.",
            )
        path = followed(self.path)
        try:
            if text is None:
                path.unlink(missing_ok=True)
                return
            mode = path.stat().st_mode & 0o777 if path.exists() else self._mode
            path.parent.mkdir(parents=True, exist_ok=True)
            write_private(path, text)
            os.chmod(path, mode)
        except OSError as error:
            raise LocalTrouble(f"{path} cannot be written: {error.strerror or error}.") from error

    def _note(self, facts: dict[str, Any] | None) -> None:
        records = {**self._records(), str(self.path): facts}
        kept = {path: fact for path, fact in records.items() if fact is not None}
        self._places.make_state()
        write_private(self._record, json.dumps(kept))

    def _records(self) -> dict[str, Any]:
        with suppress(OSError, ValueError):
            found = json.loads(self._record.read_text(encoding="utf-8"))
            if isinstance(found, dict):
                return found
        return {}


def _missing(folder: Path) -> list[str]:
    """Return the folders that are not there yet, the innermost first."""
    found = []
    while not folder.exists() and folder != folder.parent:
        found.append(str(folder))
        folder = folder.parent
    return found
