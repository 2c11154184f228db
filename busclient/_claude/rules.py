"""What Claude reads about the bus: a marked block in CLAUDE.md, and the skills."""

from __future__ import annotations

import re
from pathlib import Path

from busclient._claude.kept_file import KeptFile
from busclient._errors import SettingsError
from busclient._places import Places

_HERE = Path(__file__).parent
_SKILLS = {"bus": "SKILL.md", "mail": "MAIL.md"}
_BEGIN, _END = "<!-- claude-bus: begin -->", "<!-- claude-bus: end -->"
_ENDS = ("", "\r", "\n")
_BLOCK = re.compile(rf"{re.escape(_BEGIN)}.*?{re.escape(_END)}(?:\r?\n)?", re.DOTALL)


class Rules:
    """Our block in a CLAUDE.md."""

    def __init__(self, path: Path, places: Places) -> None:
        self.path, self._file = path, KeptFile(path, places, mode=0o644)

    def write(self) -> bool:
        """Put the block in; return whether that changed the file. Raises SettingsError,
        LocalTrouble.
        """
        before = self._file.text()
        text = self._checked(before or "")
        end = "\r\n" if "\r\n" in text else "\n"
        block = f"{_BEGIN}\n{_shipped('rules.md').strip()}\n{_END}\n".replace("\n", end)
        is_clean = _BEGIN not in text
        gap = self._file.known().get("gap", "")
        if is_clean:
            gap = "" if not text else end if text.endswith("\n") else end * 2
            after = text + gap + block
        else:
            after = _BLOCK.sub(lambda _: block, text)
        if after == text:
            return False
        self._file.change(before, after, is_clean=is_clean, facts={"gap": gap})
        return True

    def is_there(self) -> bool:
        """Return whether a block of ours is in the file; raises LocalTrouble."""
        return _BLOCK.search(self._file.text() or "") is not None

    def remove(self) -> str:
        """Take the block out: `restored`, `removed` or `absent`, as KeptFile.undo. Raises
        SettingsError, LocalTrouble.
        """
        gap = str(self._file.known().get("gap", ""))

        def without(text: str) -> str:
            with_gap = re.compile(f"(?:{re.escape(gap)})?{_BLOCK.pattern}", re.DOTALL)
            before, *after = with_gap.split(self._checked(text))
            # What was the last line before the block and what was written after it are two.
            is_glued = before[-1:] not in ("", "\n") and after != [] and after[0][:1] not in _ENDS
            end = "\r\n" if "\r\n" in text else "\n"
            return (end if is_glued else "").join([before, *after])

        return self._file.undo(without)

    def _checked(self, text: str) -> str:
        if not text.count(_BEGIN) == text.count(_END) == len(_BLOCK.findall(text)) <= 1:
            raise SettingsError(
                f"{self.path} does not have one `{_BEGIN}` and one `{_END}`; it was left as it is.",
                hint="Take out what is left of the block, then run the same command again.",
            )
        return text


class Skill:
    """A skill of ours in a folder of skills: `bus`, or `mail` (the command /mail)."""

    def __init__(self, folder: Path, places: Places, name: str = "bus") -> None:
        self.name, self.path = name, folder / name / "SKILL.md"
        self._file = KeptFile(self.path, places, mode=0o644)

    def write(self) -> bool | None:
        """Write the skill; return whether that changed the file, None if another one is there,
        which stays. Raises LocalTrouble.
        """
        before, text = self._file.text(), self._text()
        if before == text:
            return False
        if before is not None and before != self._file.known().get("after"):
            return None
        self._file.change(before, text, is_clean=before is None)
        return True

    def is_there(self) -> bool:
        """Return whether the skill is there as it is shipped; raises LocalTrouble."""
        return self._file.text() == self._text()

    def is_changed(self) -> bool:
        """Return whether somebody has changed what we have written; raises LocalTrouble."""
        text, after = self._file.text(), self._file.known().get("after")
        return None not in (text, after) and text not in (after, self._text())

    def remove(self) -> str:
        """Take the skill away: `restored`, `kept` where somebody has changed it, or `absent` where
        it is not ours. Raises LocalTrouble.
        """
        is_changed = self.is_changed()
        became = self._file.undo(lambda text: text)
        return "kept" if is_changed else became

    def _text(self) -> str:
        return _shipped(_SKILLS[self.name])


def _shipped(name: str) -> str:
    return (_HERE / name).read_bytes().decode("utf-8")
