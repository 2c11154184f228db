"""Following the hub's stream over breaks, without gap or repeat.

The cursor is the seq of the last message handed out. A line that a break cut short is thrown away:
the message comes again, whole, after the reconnection.
"""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from busclient._errors import BadAnswer, HubFailed, Unavailable, Unreachable
from busclient._http.calls import Calls
from busclient._messages.message import Message

logger = logging.getLogger("busclient")

_LONGEST_PAUSE_S = 10.0


def follow(
    calls: Calls,
    last_seq: Callable[[], int],
    idle_s: float,
    sleep: Callable[[float], None],
    filters: Mapping[str, Any],
) -> Iterator[Message]:
    """Yield the messages of `Bus.stream`."""
    query = {
        "from" if name == "sender" else name: value
        for name, value in filters.items()
        if value is not None
    }
    tags = _tags(query)
    # With the place known before the first connection, a break before the first message loses
    # nothing either.
    if query.get("since") is None and query.get("unread_by") is None:
        query["since"] = last_seq()
    breaks, is_first = 0, True
    while True:
        try:
            chunks = calls.stream(
                "/stream", idle_s=idle_s, params=query, headers={"Accept": "application/x-ndjson"}
            )
            for message in _messages(chunks):
                breaks, is_first = 0, False
                if message is None or (
                    isinstance(query.get("since"), int) and message.seq <= query["since"]
                ):
                    continue
                query["since"] = message.seq
                if tags is None or tags & set(message.tags):
                    yield message
        except (Unreachable, Unavailable, HubFailed) as error:
            if is_first:
                raise
            logger.info("the stream broke: %s", error.message)
        breaks += 1
        sleep(min(0.1 * 2 ** min(breaks, 10), _LONGEST_PAUSE_S) * (0.5 + random.random() / 2))  # noqa: S311


def _tags(query: dict[str, Any]) -> set[str] | None:
    """Return the tags to look for here; the hub's stream takes one, so a single one is left
    to it.
    """
    tags = query.pop("tags", None)
    if tags is None:
        return None
    wanted = {tags} if isinstance(tags, str) else set(tags)
    if len(wanted) == 1:
        query["tag"] = wanted.pop()
        return None
    return wanted


def _messages(chunks: Iterator[bytes]) -> Iterator[Message | None]:
    """Yield the message on each whole line; None for a sign of life."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield _message(line) if line.strip() else None


def _message(line: bytes) -> Message:
    try:
        return Message.from_json(json.loads(line))
    except ValueError:
        raise BadAnswer("The stream holds a line that is not a message.") from None
