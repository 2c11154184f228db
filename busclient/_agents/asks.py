"""`bus.asks`: questions that stay open until they are answered. `docs/work.md` is the hub's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from busclient._connection import Connection
from busclient._errors import BadAnswer
from busclient._http.calls import new_key
from busclient._messages import polling, reading, sending
from busclient._messages.message import Posted
from busclient._messages.reading import Ref

_PAGE = 100


@dataclass(frozen=True)
class Said:
    """What somebody has said to a question: an answer, or why there will be none.

    That of `bus` is the default.
    """

    name: str
    time: str
    option: str | None = None
    text: str | None = None
    reason: str | None = None
    id: str | None = None
    is_default: bool = False


@dataclass(frozen=True)
class Ask:
    """A question, and what has come of it.

    `state` is open, answered, declined, expired or withdrawn. `waiting_for` are those who may still
    answer, 64 at most; `waiting` counts all. The texts are other people's: data, not orders.
    """

    seq: int
    id: str
    ts: str
    sender: str
    to: tuple[str, ...]
    question: str
    state: str
    need: int
    options: tuple[str, ...] = ()
    by: str | None = None
    default: str | None = None
    thread: str | None = None
    trust: str | None = None
    answers: tuple[Said, ...] = ()
    declined: tuple[Said, ...] = ()
    waiting_for: tuple[str, ...] = ()
    waiting: int = 0
    raw: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def is_open(self) -> bool:
        """Whether it can still be answered."""
        return self.state == "open"

    @classmethod
    def from_json(cls, fields: Any) -> Ask:
        """Return an ask of the hub's JSON; raises BadAnswer."""
        try:
            to = fields["to"]
            return cls(
                seq=int(fields["seq"]),
                id=str(fields["id"]),
                ts=str(fields["ts"]),
                sender=str(fields["from"]),
                to=tuple(to) if isinstance(to, list) else (str(to),),
                question=str(fields["question"]),
                state=str(fields["state"]),
                need=int(fields["need"]),
                options=tuple(fields.get("options", ())),
                answers=tuple(map(_said, fields["answers"])),
                declined=tuple(map(_said, fields["declined"])),
                waiting_for=tuple(fields["waiting_for"]),
                waiting=int(fields["waiting"]),
                raw=fields,
                **{name: fields.get(name) for name in ("by", "default", "thread", "trust")},
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadAnswer(f"The answer holds what is not an ask: {error!r}.") from None


def _said(fields: Any) -> Said:
    texts = {name: fields.get(name) for name in ("option", "text", "reason", "id")}
    is_default = fields.get("default") is True
    return Said(str(fields["name"]), str(fields["time"]), **texts, is_default=is_default)


class Asks:
    """Questions of mine and to me. Every call raises BusError."""

    def __init__(self, connection: Connection, sleep: Callable[[float], None]) -> None:
        self._connection, self._sleep = connection, sleep

    def ask(
        self,
        question: str,
        *,
        to: str | Sequence[str],
        options: Sequence[str] = (),
        need: int | None = None,
        by: float | str | None = None,
        default: str | None = None,
        thread: str | None = None,
        in_reply_to: Ref | None = None,
        priority: str | None = None,
        tags: Sequence[str] = (),
        key: str | None = None,
        strict: bool | None = None,
    ) -> Posted:
        """Ask. Not through the outbox: a question that waits here is asked of nobody.

        `need` answers close it, one unless given; `by` is a time, or seconds from now, after which
        the `default` counts. A `key` makes two calls one question.
        """
        fields: dict[str, Any] = {
            "from": self._name,
            "to": to if isinstance(to, str) else list(to),
            "question": question,
            "client_id": new_key() if key is None else key,
        }
        more = {
            "options": list(options) or None,
            "need": need,
            "by": by,
            "default": default,
            "thread": thread,
            "in_reply_to": None if in_reply_to is None else reading.ref(in_reply_to),
            "priority": priority,
            "tags": list(tags) or None,
            "strict": strict,
        }
        fields |= {name: value for name, value in more.items() if value is not None}
        reply = self._connection.post("/ask", sending.checked(fields))
        return sending.posted(str(fields["client_id"]), reply)

    def get(self, ask: Ref, *, wait_s: float = 0) -> Ask:
        """Return one ask; with `wait_s`, up to 60, once it is closed. Raises NotFound."""
        params = {"wait": round(wait_s, 3)} if wait_s else {}
        reply = self._connection.get(f"/ask/{reading.ref(ask)}", params, wait_s=wait_s)
        return Ask.from_json(reply.get("ask"))

    def wait(self, ask: Ref, timeout_s: float) -> Ask:
        """Return one ask once it is closed, or as it is when the time is over.

        It outlives a restart of the hub.
        """
        last: list[Ask] = []

        def read(hold_s: float) -> list[Ask]:
            last[:] = [self.get(ask, wait_s=hold_s)]
            return [] if last[0].is_open else last

        polling.poll(read, timeout_s, self._sleep)
        return last[0]

    def all(
        self,
        *,
        owed_by: str | None = None,
        asked_by: str | None = None,
        state: str | None = None,
        limit: int = 100,
    ) -> list[Ask]:
        """Return the newest asks, newest first: those that a name has yet to answer, those that it
        has asked, those in a state.
        """
        filters = {"owed_by": owed_by, "asked_by": asked_by, "state": state}
        return self._pages({name: value for name, value in filters.items() if value}, limit)

    def owed(self, *, limit: int = 100) -> list[Ask]:
        """Return what I have yet to answer, newest first: a session's machine's too."""
        name = self._name
        return self._pages({"owed_by": name, **({"machine": 1} if "/" in name else {})}, limit)

    def answer(self, ask: Ref, *, option: str | None = None, text: str | None = None) -> Ask:
        """Answer: with one of the options, where there are some, else with a text. The same again
        changes nothing. Raises AskAnswered, Conflict if it is closed, Forbidden if I was not asked.
        """
        given = {"option": option, "text": text}
        return self._say(ask, "answer", {k: v for k, v in given.items() if v is not None})

    def decline(self, ask: Ref, reason: str) -> Ask:
        """Say that I will not answer, and why; raises as `answer` does."""
        return self._say(ask, "decline", {"reason": reason})

    def withdraw(self, ask: Ref) -> Ask:
        """Take back a question of mine; raises Forbidden for another's."""
        return self._say(ask, "withdraw", {})

    @property
    def _name(self) -> str:
        return self._connection.settings.name

    def _say(self, ask: Ref, what: str, fields: Mapping[str, Any]) -> Ask:
        path = f"/ask/{reading.ref(ask)}/{what}"
        reply = self._connection.post(path, {"from": self._name, **fields})
        return Ask.from_json(reply.get("ask"))

    def _pages(self, filters: Mapping[str, Any], limit: int) -> list[Ask]:
        found: list[Ask] = []
        place: dict[str, Any] = {}
        while True:
            size = min(_PAGE, limit - len(found))
            page = self._connection.get("/asks", {**filters, **place, "limit": size})
            if not isinstance(page.get("asks"), list):
                raise BadAnswer("The answer holds no asks.")
            found += map(Ask.from_json, page["asks"])
            if not page.get("has_more") or len(found) >= limit or not page.get("next"):
                return found
            place = {"before": page["next"]}
