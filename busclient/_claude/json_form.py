"""JSON files of other programs: read strictly, and written in the form in which they are."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from busclient._errors import SettingsError

_MEND = "Mend the file by hand, then run the same command again."


def parsed(text: str | None, path: Path) -> dict[str, Any]:
    """Return the object in a file; raises SettingsError. A file with nothing in it is empty."""
    if text is None or not text.strip():
        return {}
    try:
        found = json.loads(text.removeprefix("\ufeff"), object_pairs_hook=_no_twins)
    except (ValueError, RecursionError) as error:
        raise SettingsError(
            f"{path} is not plain JSON ({error}); nothing was changed.",
            hint=_MEND,
        ) from None
    if not isinstance(found, dict):
        raise SettingsError(f"{path} is not a JSON object; nothing was changed.", hint=_MEND)
    return found


def written(value: Mapping[str, Any], like: str, path: Path) -> str:
    """Return an object as JSON, indented as the text that it comes from; raises SettingsError for
    what cannot be written as it was read.
    """
    indent = re.search(r"\n([ \t]+)\"", like)
    step: int | str = 2 if indent is None else indent[1]
    try:
        text = json.dumps(value, indent=step, ensure_ascii=False, allow_nan=False) + "\n"
        text.encode()
    except ValueError:  # not told: it may repeat the settings, secrets among them
        raise SettingsError(
            f"{path} holds a number or a character that no file can; nothing was changed.",
            hint=_MEND,
        ) from None
    text = "\ufeff" + text if like.startswith("\ufeff") else text
    if like and not like.endswith("\n"):
        text = text[:-1]
    return text.replace("\n", "\r\n") if "\r\n" in like else text


def object_in(value: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the object under a key, made if there is none; raises SettingsError."""
    found = value.setdefault(name, {})
    if not isinstance(found, dict):
        raise SettingsError(
            f"`{name}` in the settings is not an object; nothing was changed.", hint=_MEND
        )
    return found


def list_in(value: dict[str, Any], name: str) -> list[Any]:
    """Return the list under a key, made if there is none; raises SettingsError."""
    found = value.setdefault(name, [])
    if not isinstance(found, list):
        raise SettingsError(
            f"`{name}` in the settings is not a list; nothing was changed.", hint=_MEND
        )
    return found


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object with one key twice: one of the two would be lost."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("it has a key twice in one object")
    return found
