"""Other people's text as people, terminals and models are shown it.

Pure. The client has its own in `busclient._harmless`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from bus.model.hidden import HIDDEN, PICTURES

# A variation selector 16 behind a picture or in a keycap, and a joiner between two pictures, belong
# to an emoji.
_HARMFUL = re.compile(
    f"[{HIDDEN}](?<![{PICTURES}]\ufe0f)(?!(?<=[0-9#*]\ufe0f)\u20e3)"
    f"(?!(?<=[{PICTURES}]\u200d)[{PICTURES}])(?!(?<=[{PICTURES}]\ufe0f\u200d)[{PICTURES}])"
)
# What looks like a reference that proves something (see `bus.model.context_refs`) is not plain.
_PLAIN = re.compile(
    r"(?!(?:[0-9]{1,18}|[0-9A-Za-z]{26})\.[A-Za-z][0-9A-Za-z]{3}\Z)[A-Za-z0-9._:-]+"
)


def harmless(text: str) -> str:
    """Return text with everything replaced by U+FFFD that could act on a terminal or hide from a
    reader.
    """
    return _HARMFUL.sub("\ufffd", text)


def body_lines(body: str) -> list[str]:
    """Return the lines of a body, harmless; those of other systems end in CR LF."""
    return harmless(body.replace("\r\n", "\n")).split("\n")


def quoted(text: str) -> str:
    """Return a text of one line so that one sees where it ends: in quotes, unless it is plain
    letters, digits and `._:-`, and no reference that proves something.
    """
    return text if _PLAIN.fullmatch(text) else harmless(json.dumps(text, ensure_ascii=False))


def sender(message: Mapping[str, Any]) -> str:
    """Return who a message is from, with a mark where no credential of that name has sent it.

    Every text form says it like this.
    """
    return message["from"] if message.get("verified") is True else f"{message['from']} (unverified)"
