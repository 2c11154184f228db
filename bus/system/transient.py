"""Which errors of the system pass by themselves: they are about this process and this moment, not
about the disk. Pure.

Too many open files, no memory, no more threads: the next try may succeed, so the answer is a 503
that says so. None of them may stop the log or throw an index away. An error of a sync is never one
of them, whatever its number: nobody knows what reached the disk (docs/reliability.md).
"""

from __future__ import annotations

import errno
import sqlite3

# Only `open` and its kind give these, before anything was done.
NO_FILES = frozenset((errno.EMFILE, errno.ENFILE))
NUMBERS = NO_FILES | {errno.ENOMEM, errno.EINTR, errno.EAGAIN}


def is_passing(error: BaseException) -> bool:
    """Return whether the same thing may succeed in a moment."""
    if isinstance(error, sqlite3.Error):
        # Not the disk's own errors: SQLite says "unable to open" for files that it has no
        # descriptor for.
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in (
            sqlite3.SQLITE_CANTOPEN,
            sqlite3.SQLITE_NOMEM,
        )
    if isinstance(error, OSError):
        return error.errno in NUMBERS
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and "start new thread" in str(error)
    )


def why(error: BaseException) -> str:
    """Return what is short, in a few words for a message."""
    if isinstance(error, OSError) and error.errno in NUMBERS:
        return error.strerror or type(error).__name__
    return str(error) or "out of memory"
