"""What a topic is called, as a recipient: `topic:build.linux`. No I/O."""

from __future__ import annotations

import re

PREFIX = "topic:"
MAX_WORDS = 8
WORD = "[A-Za-z0-9][A-Za-z0-9_-]{0,63}"
TOPIC = re.compile(rf"(?=.{{1,128}}$){WORD}(?:\.{WORD}){{0,{MAX_WORDS - 1}}}")


def as_recipient(value: str) -> str | None:
    """Return `topic:x` for that or for `#x`; None for a text that names no topic."""
    for prefix in (PREFIX, "#"):
        if value.startswith(prefix) and TOPIC.fullmatch(value[len(prefix) :]) is not None:
            return PREFIX + value[len(prefix) :]
    return None


def is_topic(recipient: str) -> bool:
    """Return whether a recipient is a topic. No agent's name has a colon."""
    return recipient.startswith(PREFIX)
