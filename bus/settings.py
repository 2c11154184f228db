"""What a setting is: a variable of the environment with a default, a unit, bounds and a line of
help; and the settings of attachments. `bus.config` has the table of all.
"""

from __future__ import annotations

from dataclasses import Field, dataclass, field
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


@dataclass(frozen=True)
class AttachmentSettings:
    """The settings of attachments, a part of `Config`."""

    files_dir: Path | None = setting(
        "BUS_FILES_DIR",
        None,
        "folder",
        "where attachments are; `files` in the data folder unless set",
    )
    attachment_max_bytes: int = setting(
        "BUS_ATTACHMENT_MAX_BYTES", 2_048 * MIB, "bytes", "the largest attachment", KIB, 1 << 50
    )
    attachment_keep_s: int = setting(
        "BUS_ATTACHMENT_KEEP_S",
        30 * 86_400,
        "seconds",
        "how long an attachment can be fetched",
        60,
        10**9,
    )
    attachment_each_bytes: int = setting(
        "BUS_ATTACHMENT_EACH_BYTES",
        10_240 * MIB,
        "bytes",
        "of attachments that one credential has on the hub",
        KIB,
        1 << 50,
    )
    attachment_all_bytes: int = setting(
        "BUS_ATTACHMENT_ALL_BYTES",
        51_200 * MIB,
        "bytes",
        "of attachments on the hub in all",
        KIB,
        1 << 50,
    )
    attachment_uploads: int = setting(
        "BUS_ATTACHMENT_UPLOADS", 8, "uploads", "of one credential that run at once", 1, 1_000
    )
    attachment_downloads: int = setting(
        "BUS_ATTACHMENT_DOWNLOADS", 64, "downloads", "of one credential that run at once", 1, 10_000
    )
    upload_keep_s: int = setting(
        "BUS_UPLOAD_KEEP_S",
        86_400,
        "seconds",
        "how long an upload waits for its next part",
        60,
        10**9,
    )
    accel: bool = setting(
        "BUS_ACCEL", False, "0|1", "1: nginx sends attachments itself, told by X-Accel-Redirect"
    )
