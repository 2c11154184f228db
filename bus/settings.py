"""What a setting is: a variable of the environment with a default, a unit, bounds and a line of
help. `bus.config` has the table of all.
"""

from __future__ import annotations

from dataclasses import Field, field
from pathlib import Path
from typing import Any, cast

KIB, MIB = 1024, 1024 * 1024


class BadSetting(ValueError):
    """A BUS_* variable with a value that cannot be used; the text names it and what is allowed."""


def setting(
    name: str,
    default: Any,
    unit: str,
    help: str,
    low: float | None = None,
    high: float | None = None,
) -> Any:
    """Return the field of a dataclass for a setting; `low` and `high` are its bounds."""
    return field(
        default=default,
        metadata={"name": name, "unit": unit, "help": help, "low": low, "high": high},
    )


def parsed(setting: Field[Any], text: str) -> Any:
    """Return the value of a setting that is given as text; raises BadSetting."""
    name, default = setting.metadata["name"], cast(Any, setting.default)
    if "Path" in str(setting.type):
        return Path(text)
    try:
        if isinstance(default, bool):
            return {"0": False, "1": True}[text]
        return type(default)(text)
    except (KeyError, ValueError):
        wanted = "0 or 1" if isinstance(default, bool) else f"a number such as {default}"
        raise BadSetting(f"{name} is {text!r}: it must be {wanted}") from None


def is_address(listen: str) -> bool:
    """Return whether a text is `host:port`, or `unix:/path`."""
    host, _, port = listen.rpartition(":")
    return listen.startswith("unix:/") or (
        host != "" and port.isascii() and port.isdigit() and 0 < int(port) < 65_536
    )
