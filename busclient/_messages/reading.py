"""What is asked of the hub's messages, and what it answers: filters as parameters, pages as
messages.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from busclient._errors import BadAnswer, Refused
from busclient._messages.message import REF, Acked, Message

Ref = Message | str | int
_SHOWN = re.compile(r"([0-9]{1,18}|[0-9A-Za-z]{26})\.[A-Za-z][0-9A-Za-z]{3}")


def ref(message: Ref) -> str | int:
    """Return the id or seq of a message, which may stand in a path; raises Refused for what can be
    neither.
    """
    found = message.id if isinstance(message, Message) else message
    if not REF.fullmatch(str(found)):
        raise Refused(
            f"{str(found)[:80]!r} is not the id of a message.",
            hint="Give its id (26 letters and digits) or its seq.",
        )
    return found


def plain(message: str | int) -> str | int:
    """Return a reference without the characters by which it proves something: `412` of
    `412.k7f3`.
    """
    found = _SHOWN.fullmatch(str(message))
    return message if found is None else found[1]


def params(filters: Mapping[str, Any]) -> dict[str, Any]:
    """Return filters as query parameters; those that are None are left out."""
    names = {"sender": "from"}
    return {
        names.get(name, name): int(value) if isinstance(value, bool) else _place(name, value)
        for name, value in filters.items()
        if value is not None
    }


def _place(name: str, value: Any) -> Any:
    """Return the value of a filter; a message, or its id, where the filter takes one."""
    return ref(value) if name in ("since", "before", "after") else value


def messages_in(page: Mapping[str, Any]) -> list[Message]:
    """Return the messages of a page; raises BadAnswer."""
    found = page.get("messages")
    if not isinstance(found, list):
        raise BadAnswer("The answer holds no messages.")
    return [Message.from_json(fields) for fields in found]


def of_readers(
    get: Callable[[str, Mapping[str, Any]], dict[str, Any]], message: Ref, what: str
) -> dict[str, Any]:
    """Return the `receipts` or the `trace` of a message by reader, page by page; raises
    BadAnswer.
    """
    found: dict[str, Any] = {}
    place: dict[str, Any] = {}
    while True:
        page = get(f"/messages/{ref(message)}/{what}", place)
        if not isinstance(page.get(what), dict):
            raise BadAnswer(f"The answer holds no {what}.")
        found |= page[what]
        if not page.get("has_more"):
            return found
        place = {"after": page["next"]}


def acked_in(reply: Mapping[str, Any]) -> Acked:
    """Return what an answer says was acknowledged; raises BadAnswer."""
    try:
        return Acked(list(reply["acked"]), list(reply["already"]))
    except (KeyError, TypeError):
        raise BadAnswer("The answer is not that of an acknowledgement.") from None


def health_in(content: bytes, url: str) -> dict[str, Any]:
    """Return the health that the hub at `url` tells; raises BadAnswer."""
    try:
        facts = json.loads(content)
    except ValueError:
        facts = None
    if not isinstance(facts, dict) or "ok" not in facts or "error" in facts:
        raise BadAnswer(f"{url} answered something that is not a hub's health.")
    return facts
