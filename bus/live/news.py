"""The file `presence.db`: what the hub knows that is news and not history, and may be lost."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from bus.system import modes

# Another worker's note takes microseconds, and an answer must not hang on news.
_WAITS_S = 0.05


def connect(path: Path, schema: str, *, is_autocommit: bool = True) -> sqlite3.Connection:
    """Return a connection to the file, which is made where there is none, with these tables.

    It may be used in any thread, by one at a time. Raises sqlite3.Error, OSError.
    """
    modes.make_file(path)
    db = sqlite3.connect(
        path,
        timeout=_WAITS_S,
        isolation_level=None if is_autocommit else "DEFERRED",
        check_same_thread=False,
    )
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = OFF")
        db.executescript(schema)
    except BaseException:
        db.close()
        raise
    return db
