"""What goes into one text message of a phone: 160 places of GSM 7-bit, or 70 of UTF-16. Pure."""

from __future__ import annotations

from collections.abc import Callable

# GSM 03.38: the basic alphabet, and what takes two places.
_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED = frozenset("^{}\\[~]|€")
MOST_GSM, MOST_UTF16 = 160, 70
# One of these would halve and more the room of the whole text.
_PLAIN = str.maketrans(
    {
        **dict.fromkeys("‘’‚‛′", "'"),
        **dict.fromkeys("“”„‟″", '"'),
        **dict.fromkeys("‐‑‒–—―−", "-"),
        **{"→": ">", "…": "...", "•": "*", "\u00a0": " ", "\t": " ", "`": "'"},
    }
)


def one_text(text: str, pointer: str) -> str:
    """Return a text on one line that fits into one text message, with `pointer` at its end, which
    is plain ASCII. What does not fit is cut, and `..` says so.
    """
    line = " ".join(text.translate(_PLAIN).split())
    tail = f" {pointer}" if pointer else ""
    if _fits(line + tail):
        return line + tail
    # A cut text may be plain where the whole one was not: that has room for more.
    plain = _cut(line, _gsm, MOST_GSM - len(tail) - 2)
    other = _cut(line, _utf16, MOST_UTF16 - len(tail) - 2)
    return f"{max(plain, other, key=len).rstrip()}..{tail}"


def _cut(line: str, size_of: Callable[[str], int | None], room: int) -> str:
    """Return as much of a line as there is room for, up to what an alphabet does not have."""
    used = 0
    for at, char in enumerate(line):
        size = size_of(char)
        if size is None or used + size > room:
            return line[:at]
        used += size
    return line


def _fits(text: str) -> bool:
    size = _gsm(text)
    return size <= MOST_GSM if size is not None else _utf16(text) <= MOST_UTF16


def _gsm(text: str) -> int | None:
    """Return how many places a text takes in GSM 7-bit; None: it has a character that is not in
    it.
    """
    if not all(char in _BASIC or char in _EXTENDED for char in text):
        return None
    return len(text) + sum(char in _EXTENDED for char in text)


def _utf16(text: str) -> int:
    return len(text.encode("utf-16-le", "replace")) // 2
