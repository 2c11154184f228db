"""What a message says of the files that came with it. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypedDict

from bus.model.answer import Count, Says
from bus.model.harmless import quoted

_FEW, _LONGEST = 3, 80  # names in a line, and characters of each


class Attachment(TypedDict):
    """A file that came with a message. GET its `url` of the hub for the bytes."""

    id: Annotated[str, Says(pattern="^[0-9A-Z]{26}$")]
    name: str
    size: Count
    sha256: Annotated[str, Says(pattern="^[0-9a-f]{64}$")]
    type: Annotated[str, "told by its first bytes; never one that a browser runs"]
    url: Annotated[str, "below the hub's address"]


def human_size(size: int) -> str:
    """Return a size for people: `512 B`, `1.4 MB`."""
    if size < 1_000:
        return f"{size} B"
    value = float(size)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1_000
        if value < 999.95:
            return f"{value:.1f} {unit}"
    return f"{value:.1f} PB"


def marks(message: Mapping[str, Any]) -> list[str]:
    """Return what a message's first line says of its files: name, size, and how to get them.

    In that line, so that no body can say the same.
    """
    found: Sequence[Mapping[str, Any]] = message.get("attachments") or ()
    if not found:
        return []
    shown = [f"FILE {quoted(_cut(one['name']))} {human_size(one['size'])}" for one in found[:_FEW]]
    more = [f"and {len(found) - _FEW} more"] if len(found) > _FEW else []
    return [*shown, *more, f"`bus get {message['seq']}`"]


def count_mark(message: Mapping[str, Any]) -> list[str]:
    """Return the same in a word or two, for a line with little room."""
    count = len(message.get("attachments") or ())
    return [] if count == 0 else ["FILE"] if count == 1 else [f"{count} FILES"]


def _cut(name: str) -> str:
    """Return a name with its end, which says what it is."""
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 16]}…{name[-15:]}"
