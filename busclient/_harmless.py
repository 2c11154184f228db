"""Other people's text, made harmless for a terminal and for a reader."""

from __future__ import annotations

import re

# The same as the hub's (bus.web.replies), which a test compares: C0 but newline and tab, DEL, C1, bidi and zero-width
# marks, line separators, and the tag characters that carry text no person sees. Lone surrogates besides, which
# cannot be printed at all.
HARMFUL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
_UNPRINTABLE = re.compile("[\ud800-\udfff]")


def harmless(text: str) -> str:
    """Text with everything replaced by U+FFFD that could act on a terminal or hide from a reader."""
    return _UNPRINTABLE.sub("\ufffd", HARMFUL.sub("\ufffd", text))


def one_line(text: str, longest: int) -> str:
    """The beginning of a text on one line, harmless, with … where something is missing."""
    line = " ".join(harmless(text[: longest * 4]).split())
    return line if len(line) <= longest and len(text) <= longest * 4 else line[: longest - 1] + "…"
