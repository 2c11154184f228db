"""Other people's text, made harmless for a terminal and a reader.

The hub's twin is `bus.model.harmless`; tests compare them.
"""

from __future__ import annotations

import json
import re

from busclient._hidden import HIDDEN, PICTURES

# What belongs to an emoji stays: a variation selector 16 behind a picture or in a keycap, a joiner
# between two pictures.
_SELECTED = rf"(?<![{PICTURES}]\ufe0f)(?!(?<=[0-9#*]\ufe0f)\u20e3)"
_JOINED = "".join(
    rf"(?!(?<=[{PICTURES}]{between}\u200d)[{PICTURES}])" for between in ("", r"\ufe0f")
)
_HARMFUL = re.compile(f"[{HIDDEN}]{_SELECTED}{_JOINED}")
# What looks like a reference that proves something does.
_NEEDS_NO_QUOTES = re.compile(
    r"(?!(?:[0-9]{1,18}|[0-9A-Za-z]{26})\.[A-Za-z][0-9A-Za-z]{3}\Z)[A-Za-z0-9._:-]+"
)


def harmless(text: str) -> str:
    """Return text with everything replaced by U+FFFD that could act on a terminal or hide from a
    reader.
    """
    return _HARMFUL.sub("\ufffd", text)


def body_lines(body: str) -> list[str]:
    """Return the lines of a message's body, harmless; those that end in CR LF too."""
    return harmless(body.replace("\r\n", "\n")).split("\n")


def one_line(text: str, longest: int) -> str:
    """Return the beginning of a text on one line, harmless, with … where something is missing."""
    line = " ".join(harmless(text[: longest * 4].replace("\r\n", "\n")).split())
    return line if len(line) <= longest and len(text) <= longest * 4 else line[: longest - 1] + "…"


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


def signed(sender: str, is_verified: bool) -> str:
    """Return who a message is from, with a mark where no credential of that name sent it.

    Every text of ours says it like this.
    """
    return sender if is_verified else f"{sender} (unverified)"


def quoted(text: str, longest: int = 200) -> str:
    """Return a field of one line so that one sees where it ends: in quotes, unless it is plain
    letters, digits and `._:-`, and no reference that proves something.
    """
    text = text if len(text) <= longest else text[: longest - 1] + "…"
    return text if is_plain(text) else harmless(json.dumps(text, ensure_ascii=False))


def is_plain(text: str) -> bool:
    """Return whether a field needs no quotes."""
    return _NEEDS_NO_QUOTES.fullmatch(text) is not None
