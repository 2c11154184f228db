"""Tags by which Claude Code tells a model what comes from whom, made harmless in others' text.

The hub's twin is in `bus.model.frames`; tests compare them.
"""

from __future__ import annotations

import re

_ENVELOPES = (
    r"bus-|system|task-notification|cross-session-message|channel|human|user|assistant|function"
    r"|invoke|tool|command-|local-command|persisted-output|antml"
)
TAG = re.compile(rf"<(?=[/!?\s\ufffd]*(?:[\w.-]{{1,32}}:)?(?:{_ENVELOPES}))", re.IGNORECASE)


def defused(text: str) -> str:
    """Return harmless text in which no tag can pass for an envelope: its `<` is `&lt;`."""
    return TAG.sub("&lt;", text)
