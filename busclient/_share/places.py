"""Where shared files lie: `rclone:gdrive:claude-handoffs`, `scp:host:/opt/claude-bus-files`,
`dir:/mnt/nas`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from busclient._errors import SettingsError
from busclient._harmless import quoted

LONGEST = 1000
_EXAMPLES = (
    "A place is rclone:REMOTE:PATH, scp:HOST:/FOLDER or dir:/FOLDER, for example"
    " scp:web1:/opt/claude-bus-files."
)
# A name of a remote in rclone's configuration, never a connection string (`:sftp,host=…:`), which
# could hold a password and would be posted.
_REMOTE = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.+@ -]*")
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(@[A-Za-z0-9_][A-Za-z0-9_.-]*)?")


@dataclass(frozen=True)
class Place:
    """A folder that several machines reach. `host` is the remote of rclone or the host of ssh;
    empty for a mount.
    """

    scheme: str  # rclone, scp, dir
    host: str
    path: str

    @classmethod
    def of(cls, text: str, what: str) -> Place:
        """Return the place that a text names; raises SettingsError, with `what` for the text."""
        scheme, _, rest = text.partition(":")
        host, colon, path = ("", ":", rest) if scheme == "dir" else rest.partition(":")
        name = {"rclone": _REMOTE, "scp": _HOST}.get(scheme)
        # Neither can stand in a line of sftp's batch, and no folder is called so.
        is_odd = not text.isprintable() or "\\" in text or len(text) > LONGEST
        is_absolute = path.startswith("/") or scheme == "rclone"
        if (
            is_odd
            or not (scheme == "dir" or (name and name.fullmatch(host)))
            or not (colon and is_absolute)
            or any(part in (".", "..") for part in path.split("/"))
        ):
            raise SettingsError(f"{what} is {quoted(text)}, which is no place.", hint=_EXAMPLES)
        return cls(scheme, host, path.rstrip("/") or "/" * path.startswith("/"))

    def __str__(self) -> str:
        """The place as one text: two that are equal are the same place."""
        return ":".join([self.scheme, *([self.host] if self.host else []), self.path])

    def inside(self, file: str) -> str:
        """Return the path of a file in it."""
        return f"{self.path.rstrip('/')}/{file}" if self.path else file


def default_place(more: Mapping[str, str], via: str | None) -> Place:
    """Return where to share: `--via`, or the first place of BUS_SHARE; raises SettingsError."""
    if via is not None:
        return Place.of(via, "--via")
    places = places_of(more, "BUS_SHARE")
    if not places:
        raise SettingsError(
            "BUS_SHARE is not set, so nothing says where shared files go.",
            hint=f"Give --via PLACE, or set BUS_SHARE. {_EXAMPLES}",
        )
    return places[0]


def allowed_places(more: Mapping[str, str]) -> list[Place]:
    """Return the places from which files are fetched: BUS_SHARE_FROM, else those of BUS_SHARE."""
    return places_of(more, "BUS_SHARE_FROM" if "BUS_SHARE_FROM" in more else "BUS_SHARE")


def places_of(more: Mapping[str, str], name: str) -> list[Place]:
    """Return the places that a setting lists, with commas between; raises SettingsError."""
    texts = [text.strip() for text in more.get(name, "").split(",")]
    return [Place.of(text, name) for text in texts if text]
