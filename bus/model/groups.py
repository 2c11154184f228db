"""Recipients that stand for whoever belongs to them now: `topic:build.linux`, `role:deployer`.

No I/O. No agent's name has a colon.
"""

from __future__ import annotations

import re

TOPIC_PREFIX, ROLE_PREFIX = "topic:", "role:"
MAX_WORDS = 8
WORD = "[A-Za-z0-9][A-Za-z0-9_-]{0,63}"
TOPIC = re.compile(rf"(?=.{{1,128}}$){WORD}(?:\.{WORD}){{0,{MAX_WORDS - 1}}}")
ROLE = re.compile(WORD)


def as_recipient(value: str) -> str | None:
    """Return `topic:x` for that or for `#x`, and `role:x`; None for a text that names no group."""
    for prefix in (TOPIC_PREFIX, "#"):
        if value.startswith(prefix) and TOPIC.fullmatch(value[len(prefix) :]) is not None:
            return TOPIC_PREFIX + value[len(prefix) :]
    if value.startswith(ROLE_PREFIX) and ROLE.fullmatch(value[len(ROLE_PREFIX) :]) is not None:
        return value
    return None


def is_topic(recipient: str) -> bool:
    """Return whether a recipient is a topic."""
    return recipient.startswith(TOPIC_PREFIX)


def is_role(recipient: str) -> bool:
    """Return whether a recipient is a role."""
    return recipient.startswith(ROLE_PREFIX)


def is_group(recipient: str) -> bool:
    """Return whether a recipient is a topic or a role."""
    return ":" in recipient
