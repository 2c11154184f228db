"""Addresses of unix sockets."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LONGEST_ADDRESS = 100  # of 107 bytes that Linux has room for


@contextmanager
def address_of(path: Path) -> Iterator[str]:
    """A form of the path of a socket that is short enough to be used."""
    text = str(path.absolute())
    if len(os.fsencode(text)) <= _LONGEST_ADDRESS:
        yield text
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
