"""Reading a table of the settings file of notices: each key once, and a line that names the one
that is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

from bus.config import BadSetting

T = TypeVar("T")
_MISSING = object()
_PERSON = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")


class Table:
    """A table of a TOML file; `path` says where it stands, such as `services.ops`.

    Each method reads one key, and raises BadSetting with a line that names it. None of these lines
    has the value of a secret.
    """

    def __init__(self, path: str, given: Mapping[str, Any]) -> None:
        self.path, self._given = path, given
        self._read: set[str] = set()

    def bad(self, key: str, why: str) -> BadSetting:
        """Return the error for a key."""
        return BadSetting(f"{self.path}.{key} {why}")

    def has(self, key: str) -> bool:
        """Return whether a key is there."""
        return key in self._given

    def text(self, key: str, default: str | None = None) -> str:
        """Return a text that is not empty; without a default the key must be there."""
        found: str = self._of(key, str, "a text", default)
        if found == "" and default != "":
            raise self.bad(key, "is empty")
        return found

    def secret(self, key: str, default: str | None = None) -> str:
        """Return a secret, which is ASCII without spaces."""
        found = self.text(key, default)
        if not (found.isascii() and found.isprintable()) or " " in found:
            raise self.bad(key, "must be ASCII without spaces")
        return found

    def url(self, key: str, default: str | None = None) -> str:
        """Return an http:// or https:// address."""
        found = self.text(key, default)
        try:
            parts = urlsplit(found)
            is_good = parts.scheme in ("http", "https") and bool(parts.hostname)
            _ = parts.port
        except ValueError:
            is_good = False
        if not is_good:
            raise self.bad(key, "must be an http:// or https:// address")
        return found

    def flag(self, key: str, default: bool) -> bool:
        """Return true or false."""
        return bool(self._of(key, bool, "true or false", default))

    def number(self, key: str, default: float, low: float, high: float) -> float:
        """Return a number within bounds."""
        found = self._of(key, (int, float), "a number", default)
        if isinstance(found, bool) or not low <= found <= high:
            raise self.bad(key, f"must be a number from {low:g} to {high:g}")
        return float(found)

    def whole(self, key: str, default: int | None = None) -> int:
        """Return a whole number of at most 64 bits, such as the id of a chat."""
        found: int = self._of(key, int, "a whole number", default)
        if isinstance(found, bool) or not -(2**63) <= found < 2**63:
            raise self.bad(key, "must be a whole number")
        return found

    def texts(self, key: str, default: Sequence[str] = ()) -> list[str]:
        """Return a list of texts; one text is a list of one."""
        found = self._of(key, (list, str), "a list of texts", list(default))
        return self._each([found] if isinstance(found, str) else found, key, str, "texts")

    def wholes(self, key: str) -> list[int]:
        """Return a list of whole numbers, such as the ids of people."""
        return self._each(self._of(key, list, "a list of numbers", []), key, int, "whole numbers")

    def words(self, key: str) -> dict[str, str]:
        """Return a table of texts, such as headers."""
        found = self._of(key, dict, "a table of texts", {})
        self._each(list(found.values()), key, str, "texts")
        return dict(found)

    def people(self, address: re.Pattern[str], said: str) -> dict[str, str]:
        """Return the key `people`: names of persons, each with an address of this form."""
        found = self.words("people")
        if not found:
            raise self.bad("people", 'is missing: such as { chas = "+15551234567" }')
        for who, one in found.items():
            if _PERSON.fullmatch(who) is None or address.fullmatch(one) is None:
                raise self.bad("people", f"has {who[:40]!r}: it must be name = {said}")
        return found

    def done(self) -> None:
        """Refuse keys that nobody has read: a key with a typo would be a rule that never holds."""
        for key in self._given:
            if key not in self._read:
                raise self.bad(key, f"is not known here; known are {', '.join(sorted(self._read))}")

    def _of(self, key: str, kind: Any, said: str, default: Any) -> Any:
        self._read.add(key)
        found = self._given.get(key, _MISSING)
        if found is _MISSING:
            if default is None:
                raise self.bad(key, f"is missing: it must be {said}")
            return default
        if not isinstance(found, kind) or (kind is not bool and isinstance(found, bool)):
            raise self.bad(key, f"must be {said}")
        return found

    def _each(self, found: list[Any], key: str, kind: type, said: str) -> list[Any]:
        if not all(isinstance(one, kind) and not isinstance(one, bool) for one in found):
            raise self.bad(key, f"must be {said} only")
        return found


def checked(table: Table, key: str, check: Callable[[str], T], text: str) -> T:
    """Return what a check makes of a text; its ValueError becomes a line that names the key."""
    try:
        return check(text)
    except ValueError as error:
        raise table.bad(key, f"is {text[:40]!r}: {error}") from None
