"""`bus.topics`: what one subscribes to, and which topics there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from busclient._connection import Connection
from busclient._errors import BadAnswer, Refused

_PAGE = 500


@dataclass(frozen=True)
class Topic:
    """A topic: how many messages it has, when the last one came, and how many names it reaches."""

    topic: str
    messages: int
    last: str | None
    subscribers: int

    @classmethod
    def from_json(cls, fields: Any) -> Topic:
        """Return a topic of the hub's JSON; raises BadAnswer."""
        try:
            last = fields["last"]
            return cls(
                str(fields["topic"]), int(fields["messages"]), last, int(fields["subscribers"])
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BadAnswer(f"The answer holds what is not a topic: {error!r}.") from None


class Topics:
    """Topics and subscriptions of one name. Every call raises BusError.

    A post to a topic is `bus.post(text, to="topic:deploys")`.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def all(self, *, mine: bool = False) -> list[Topic]:
        """Return the topics in their order; with `mine`, those that reach me."""
        name = {"name": self._connection.settings.name} if mine else {}
        found: list[Topic] = []
        after: str | None = None
        while True:
            place = {} if after is None else {"after": after}
            page = self._connection.get("/topics", {**name, **place, "limit": _PAGE})
            if not isinstance(page.get("topics"), list):
                raise BadAnswer("The answer holds no topics.")
            found += map(Topic.from_json, page["topics"])
            after = page.get("next")
            if after is None:
                return found

    def subscribe(self, topic: str) -> bool:
        """Have what is posted to a topic from now on reach me; return whether that is new.

        `*` stands for one word, `>` at the end for one or more: `build.*`, `build.>`.
        """
        return self._change(topic, "subscribe")

    def unsubscribe(self, topic: str) -> bool:
        """End a subscription; return whether there was one."""
        return self._change(topic, "unsubscribe")

    def _change(self, topic: str, what: str) -> bool:
        fields = {"name": self._connection.settings.name}
        if "/" in topic:
            raise Refused(
                f"{topic[:80]!r} is not a topic.", hint="Words with dots between them: build.linux."
            )
        path = f"/topics/{quote(topic.removeprefix('topic:'), safe='')}/{what}"
        return self._connection.post(path, fields).get("changed") is True
