"""What a message says of a shared file, in `data.attachments`:

    {"name": "build.zip", "size": 12345, "sha256": "…", "type": "application/zip",
     "via": "scp:web1:/opt/claude-bus-files"}

The file's name there follows from its name and its sum (`stored_name`), so that a pointer cannot
lead elsewhere, no two files have the same, and the same file shared again is the same file.
"""

from __future__ import annotations

import mimetypes
import re
from dataclasses import asdict, dataclass
from typing import Any

from busclient._errors import Refused, SettingsError
from busclient._files import as_file_name
from busclient._harmless import harmless, one_line, quoted
from busclient._messages.message import Message
from busclient._share.places import LONGEST, Place

MOST_BYTES = 1 << 50
_LONGEST_NAME = 100  # of characters; each may become twelve
_SUM = re.compile(r"[0-9a-f]{64}")
# A path, a stream of Windows, a wildcard, a quote.
_NO_NAME = re.compile(r"[\x00-\x1f\x7f/\\:*?\"<>|\ud800-\udfff\ufffd]")


@dataclass(frozen=True)
class Pointer:
    """A file at a place. `name` is only a name: no path ever comes from it."""

    name: str
    size: int
    sha256: str
    type: str
    via: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def file(self) -> str:
        """The file's name at its place."""
        return stored_name(self.name, self.sha256)

    def line(self) -> str:
        """The line for people, who may fetch it without `bus get`."""
        where = self.via if self.via.endswith(("/", ":")) else f"{self.via}/"
        return f"[file] {self.name}, {self.size:,} bytes, sha256 {self.sha256}: {where}{self.file}"


def clean_name(name: str) -> str:
    """Return a file's name without what could act: separators, control characters, what nobody
    sees, a dot or a dash in front.
    """
    plain = _NO_NAME.sub("_", harmless(name)).strip()[:_LONGEST_NAME].rstrip(". ")
    return f"_{plain[1:]}" if plain[:1] in (".", "-", "~") else plain or "file"


def stored_name(name: str, sha256: str) -> str:
    """Return the name that a file gets at its place: plain ASCII of at most 160 characters."""
    return f"{sha256[:32]}-{as_file_name(name)[:120]}"


def type_of(name: str) -> str:
    return mimetypes.guess_type(name, strict=False)[0] or "application/octet-stream"


def pointers_of(message: Message) -> list[Pointer]:
    """Return the files to which a message points; raises Refused for a pointer that is not one.

    Attachments that the hub has itself are left out.
    """
    told = message.data.get("attachments") if isinstance(message.data, dict) else None
    if not isinstance(told, list):
        return []
    return [_pointer(one) for one in told if isinstance(one, dict) and "via" in one]


def allowed_place(pointer: Pointer, allowed: list[Place]) -> Place:
    """Return where a pointer leads; raises SettingsError if my settings do not name that place."""
    for place in allowed:
        if str(place) == pointer.via:
            return place
    names = ", ".join(quoted(str(place)) for place in allowed) or "none"
    raise SettingsError(
        f"The file lies at {quoted(pointer.via)}, and you fetch files only from: {names}.",
        hint="If you trust that place, add it to BUS_SHARE_FROM (places with commas between).",
    )


def _pointer(told: dict[str, Any]) -> Pointer:
    name, size, sha256, via = (told.get(field) for field in ("name", "size", "sha256", "via"))
    is_right = (
        isinstance(name, str)
        and isinstance(via, str)
        and len(via) <= LONGEST
        and isinstance(size, int)
        and not isinstance(size, bool)
        and 0 <= size <= MOST_BYTES
        and isinstance(sha256, str)
        and _SUM.fullmatch(sha256)
    )
    if not is_right:
        raise Refused(
            "The message points at a file, but not in the form of `bus share`:"
            f" {one_line(repr(told), 200)}",
            hint="Ask its sender to share the file again.",
        )
    assert isinstance(name, str) and isinstance(size, int)
    return Pointer(clean_name(name), size, str(sha256), type_of(clean_name(name)), str(via))
