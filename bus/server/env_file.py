"""Files of NAME=value lines that curl users source, and that the client, python-dotenv and
scripts/session-start-poll read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values

from bus.config import BadSetting


def read(path: Path) -> dict[str, str]:
    """Return the values, empty ones left out; none where there is no file.

    A foreign byte spoils its own value, no other.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            return {
                name: value
                for name, value in dotenv_values(stream=file, interpolate=False).items()
                if value
            }
    except FileNotFoundError:
        return {}


def text(values: Mapping[str, str]) -> str:
    """Return the lines; raises BadSetting for a value that is empty, not UTF-8, or more than one
    line.
    """
    for name, value in values.items():
        if not value or re.search("[\n\r\0\ud800-\udfff]", value):
            raise BadSetting(f"{name} is empty, not UTF-8, or more than one line")
    return "".join(f"{name}={_quoted(value)}\n" for name, value in values.items())


def _quoted(value: str) -> str:
    """In single quotes, where a shell and python-dotenv change nothing; else in double ones.

    The client does the same.
    """
    if "'" in value or "\\\\" in value or value.endswith("\\"):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"'{value}'"
