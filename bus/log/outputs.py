"""What calls gave: output and contents too large for the log, one file a call, kept for a while.

The log has the facts of every call for ever; these files have the bytes, so that a repeated call
gets its stored answer. A file is on stable storage before the record that says the call has ended.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from bus.system import durable, modes


class Results:
    """The folder of results. Keys are ids of calls and approvals: 26 letters and digits."""

    def __init__(self, folder: Path, keep_s: float, keep_bytes: int = 1 << 30) -> None:
        self._folder, self._keep_s, self._keep_bytes = folder, keep_s, keep_bytes
        self._new_bytes = 0

    def put(self, key: str, value: dict[str, Any]) -> str:
        """Keep a result, durably; returns its SHA-256. Raises OSError."""
        data = orjson.dumps(value)
        self._folder.mkdir(mode=modes.FOLDER, exist_ok=True)
        durable.atomic_write(self._path(key), data, modes.FILE)
        self._new_bytes += len(data)
        return sha256(data).hexdigest()

    def get(self, key: str, sum: str | None = None) -> dict[str, Any] | None:
        """Return a result; None when it was not kept, or no longer is, or is not the one with this
        SHA-256.
        """
        try:
            data = self._path(key).read_bytes()
            found: dict[str, Any] = orjson.loads(data)
        except (FileNotFoundError, orjson.JSONDecodeError):
            return None
        return found if sum in (None, sha256(data).hexdigest()) else None

    def drop(self, key: str) -> None:
        """Remove a result, if there is one."""
        self._path(key).unlink(missing_ok=True)

    def kept(self, older_s: float = 0) -> list[str]:
        """Return the keys of all that is kept, for so many seconds at least."""
        until = time.time() - older_s
        return [
            Path(path).stem
            for path, made, _ in self._entries()
            if path.endswith(".json") and made <= until
        ]

    def prune(self) -> int:
        """Remove those that are older than they are kept, and the oldest of what is more than is
        kept; returns how many.
        """
        self._new_bytes = 0
        oldest, left, gone = time.time() - self._keep_s, self._keep_bytes, 0
        for path, made, size in sorted(self._entries(), key=lambda entry: -entry[1]):
            left -= size
            if made < oldest or left < 0:
                Path(path).unlink(missing_ok=True)
                gone += 1
        return gone

    def is_growing(self) -> bool:
        """Return whether so much has come since the last look that it is time for the next."""
        return self._new_bytes > self._keep_bytes // 16

    def _entries(self) -> Iterator[tuple[str, float, int]]:
        with suppress(FileNotFoundError), os.scandir(self._folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    stat = entry.stat(follow_symlinks=False)
                    yield entry.path, stat.st_mtime, stat.st_size

    def _path(self, key: str) -> Path:
        if not (key.isascii() and key.isalnum() and len(key) == 26):
            raise ValueError(f"no id: {key[:40]!r}")
        return self._folder / f"{key}.json"
