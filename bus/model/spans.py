"""Lengths of time in words, for what the hub tells people. No I/O."""

from __future__ import annotations

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def in_words(seconds: float) -> str:
    """Return a length of time in its two largest units: `2 h 5 min`, `45 s`."""
    left, words = max(0, int(seconds)), []
    for size, unit in _UNITS:
        if left >= size:
            words.append(f"{left // size} {unit}")
            left %= size
    return " ".join(words[:2]) or "0 s"
