"""`bus.briefs`: messages with a title and front matter. `docs/work.md` is the hub's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from busclient._agents.actions import Action, of_post
from busclient._connection import Connection
from busclient._http.calls import Calls
from busclient._messages import reading, sending
from busclient._messages.message import Message, Posted
from busclient._messages.reading import Ref

_FRONT = re.compile("\ufeff?---[ \t]*\r?\n")
_END = re.compile(r"^(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.MULTILINE)


@dataclass(frozen=True)
class PostedBrief:
    """A brief that was posted, what it asks to be done, and whom names were taken for."""

    posted: Posted
    actions: tuple[Action, ...]
    read_as: Mapping[str, str]


class Briefs:
    """Briefs of mine and to me. Every call raises BusError."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def post(
        self, text: str, *, front: Mapping[str, Any] | None = None, key: str | None = None
    ) -> PostedBrief:
        """Post a brief: markdown, with front matter before it or without; `front` is more of that,
        such as `{"to": "db1", "title": "…"}`, and goes before what the text has.

        The same text again is the same brief, unless a `key` is given. Not through the outbox.
        """
        said = dict(front or {})
        if not _says_from(text):
            said = {"from": self._connection.settings.name, **said}
        data = with_front(text, said).encode()
        headers = {"Content-Type": "text/markdown"}
        headers |= {} if key is None else {"Idempotency-Key": key}
        return _posted(self._connection.call(lambda: _send(self._connection.calls, data, headers)))

    def take_in(self, text: str, *, name: str | None = None, box: str = "inbox") -> PostedBrief:
        """Put a file of another mail system into my mailbox, or that of another of my credential's
        names, once: its writer is a claim. `box` is `inbox`, `archive` (it is acknowledged) or
        `sent`.
        """
        said = {"markdown": text, "name": name or self._connection.settings.name, "box": box}
        return _posted(self._connection.post("/import", said))

    def markdown(self, brief: Ref) -> str:
        """Return a brief as markdown with its front matter; raises NotFound."""
        path = f"/briefs/{reading.ref(brief)}"
        params = {"format": "markdown"}
        reply = self._connection.call(
            lambda: self._connection.calls.send("GET", path, params=params)
        )
        return reply.content.decode()

    def all(self, *, limit: int = 50, **filters: Any) -> list[Message]:
        """Return the newest briefs, oldest first; filters as in `bus.messages`: `to`, `sender`,
        `tag`, `thread`, `unread_by`.
        """
        names = {"from" if name == "sender" else name: value for name, value in filters.items()}
        page = self._connection.get("/briefs", {**names, "limit": limit})
        return [Message.from_json(one) for one in page.get("messages", ())]

    def signature(self) -> str:
        """Return what my briefs are signed with; an empty text is nothing."""
        asked = {"name": self._connection.settings.name}
        return str(self._connection.get("/signature", asked).get("signature") or "")

    def sign(self, text: str, *, name: str | None = None) -> None:
        """Have my briefs signed with a line from now on; an empty text ends that. `name` is another
        of my credential's names.
        """
        said = {"name": name or self._connection.settings.name, "signature": text}
        self._connection.put("/signature", said)

    def digest(self, *, ack: bool = False, budget: int | None = None) -> dict[str, Any]:
        """Return the hub's sum of what is unread and to be done: `unread`, `by_sender`,
        `by_priority`, `messages` (with `title` and `text`), `more`, `actions`.

        `ack` acknowledges the messages that it has; `budget` is how many characters it may take.
        """
        asked = {"reader": self._connection.settings.name, "budget": budget}
        given = {name: value for name, value in asked.items() if value is not None}
        if ack:
            return self._connection.post("/digest", {**given, "ack": 1})
        return self._connection.get("/digest", given)


def _posted(reply: dict[str, Any]) -> PostedBrief:
    posted = sending.posted(str(reply.get("client_id", "")), reply)
    return PostedBrief(posted, tuple(of_post(reply)), dict(reply.get("read_as", {})))


def _send(calls: Calls, data: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    return calls.json("POST", "/briefs", data=data, headers=headers)


def _says_from(text: str) -> bool:
    """Return whether the front matter of a text says who it is from."""
    start = _FRONT.match(text)
    if start is None:
        return False
    end = _END.search(text, start.end())
    front = text[start.end() : end.start()] if end else text[start.end() :]
    return re.search(r"""^(["']?)from\1[ \t]*:""", front, re.MULTILINE) is not None


def with_front(text: str, fields: Mapping[str, Any]) -> str:
    """Return a text with these fields in its front matter; it may have some already."""
    lines = "".join(f"{name}: {_yaml(value)}\n" for name, value in fields.items())
    if not lines:
        return text
    start = _FRONT.match(text)
    if start is None:
        return f"---\n{lines}---\n{text}"
    return text[: start.end()] + lines + text[start.end() :]


def _yaml(value: Any) -> str:
    """Return a text, or a list of such, as YAML takes it: JSON's quotes are its own, but for what
    JSON escapes as two halves.
    """
    if isinstance(value, str) or not isinstance(value, Iterable):
        chars = (
            f"\\U{ord(char):08x}" if ord(char) > 0xFFFF else json.dumps(char)[1:-1]
            for char in str(value)
        )
        return f'"{"".join(chars)}"'
    return "[" + ", ".join(map(_yaml, value)) + "]"
