"""The reading side of a `Bus`: messages, the inbox, and what becomes of a message."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from busclient._connection import Connection
from busclient._errors import BadAnswer
from busclient._http.calls import Calls, Patience
from busclient._messages import polling, reading
from busclient._messages.message import Message
from busclient._messages.reading import Ref
from busclient._messages.stream import follow
from busclient._settings import Settings

if TYPE_CHECKING:
    from busclient._messages.inbox import Inbox

_PAGE = 200
_STREAM_IDLE_S = 40.0  # the hub gives a sign of life every 15


class Reading:
    """What a `Bus` reads. Every call raises BusError."""

    settings: Settings
    _sleep: Callable[[float], None]
    _calls: Calls
    _connection: Connection

    @property
    def name(self) -> str:
        """Who I am on the bus."""
        return self.settings.name

    def unread(self, limit: int | None = None, **filters: Any) -> Iterator[Message]:
        """Yield what I have not acknowledged, oldest first, page by page.

        A read changes nothing. Filters as in `messages`.
        """
        left = limit
        cursor = filters.pop("since", None)
        while left is None or left > 0:
            size = _PAGE if left is None else min(left, _PAGE)
            page, has_more = self._page(
                {**filters, **self._mine("unread_by"), "since": cursor, "limit": size}
            )
            yield from page
            if not has_more or not page:
                return
            cursor, left = page[-1].seq, None if left is None else left - len(page)

    def messages(self, *, limit: int = 50, **filters: Any) -> list[Message]:
        """Messages, oldest first; without `since` the newest. At most 500 at once.

        Filters: `since`, `before` (id or seq), `to` (with broadcasts), `sender`, `tag`, `thread`,
        `unread_by`, `order` (`asc`, `desc`), `expired=True` for expired ones too; with
        `starred=True`, what `reader` (one of your names) has starred.
        """
        upwards = filters.get("order") != "desc"
        newest = upwards and filters.get("since") is None and filters.get("unread_by") is None
        found, has_more = self._page({**filters, "limit": limit})
        while (
            has_more and found and len(found) < limit
        ):  # long ones fill a page before the limit does
            place = {
                "since" if upwards and not newest else "before": found[0 if newest else -1].seq
            }
            page, has_more = self._page({**filters, **place, "limit": limit - len(found)})
            found = [*page, *found] if newest else [*found, *page]
        return found

    def message(self, ref: Ref) -> Message:
        """Return one message by id or seq; raises NotFound."""
        return Message.from_json(self._connection.get(f"/messages/{reading.ref(ref)}"))

    def search(self, words: str, *, limit: int = 50, **filters: Any) -> list[Message]:
        """Return messages that hold all the words, newest first, each with a `snippet`."""
        found: list[Message] = []
        place: dict[str, int] = {}
        while True:
            page = self._connection.get(
                "/search",
                {**reading.params(filters), **place, "q": words, "limit": limit - len(found)},
            )
            found += reading.messages_in(page)
            if not page.get("has_more") or not page.get("messages") or len(found) >= limit:
                return found
            place = {"before": found[-1].seq}

    def wait(self, timeout_s: float, *, limit: int = 50, **filters: Any) -> list[Message]:
        """Unread messages, as soon as there are any; [] when there are none in time. Filters as in
        `messages`.

        It outlives a restart of the hub. Raises when the first call fails, and when the hub is away
        as the time ends.
        """
        params = {**filters, **self._mine("unread_by"), "limit": limit}

        def read(hold_s: float) -> list[Message]:
            return self._page({**params, "wait": round(hold_s, 3)}, hold_s)[0]

        return polling.poll(read, timeout_s, self._sleep)

    def stream(self, **filters: Any) -> Iterator[Message]:
        """Yield messages as they come, for ever, without gap or repeat, also over breaks.

        Starts after `since`; without it at the oldest unread of `unread_by`, else with what comes
        from now on. Filters as in `messages`, and `tags=[…]` for messages with any of these tags.
        Raises only when the first connection fails, or when the hub refuses.
        """
        return follow(
            self._calls,
            lambda: int(self.health()["last_seq"]),
            _STREAM_IDLE_S,
            self._sleep,
            filters,
        )

    def inbox(
        self,
        *,
        budget: int | None = None,
        budget_tokens: int | None = None,
        cursor: str | None = None,
    ) -> Inbox:
        """Return what I should read first, chosen by the hub to fit a budget of characters or
        tokens; the rest as stubs and counts.
        """
        given = {
            **self._mine("reader"),
            "budget": budget,
            "budget_tokens": budget_tokens,
            "cursor": cursor,
        }
        from busclient._messages.inbox import Inbox  # noqa: PLC0415

        return Inbox.from_json(self._connection.get("/inbox", reading.params(given)))

    def inbox_text(self, *, budget: int = 6000, patience: Patience | None = None) -> str:
        """Return the same as text for an agent's context; empty when nothing is unread."""
        params = {**self._mine("reader"), "budget": budget, "format": "text"}
        reply = self._connection.call(
            lambda: self._calls.send("GET", "/inbox", params=params, patience=patience)
        )
        if not reply.header("Content-Type").startswith("text/plain"):
            raise BadAnswer(f"{self.settings.url} answered something that is not an inbox.")
        return reply.content.decode("utf-8", "replace")

    def receipts(self, ref: Ref) -> dict[str, dict[str, str | None]]:
        """Per reader of a message, when it was queued, fetched and acked:
        `{"bob":{"queued":…,"fetched":None,"acked":None}}`.
        """
        return reading.of_readers(self._connection.get, ref, "receipts")

    def health(self) -> dict[str, Any]:
        """Return how the hub is: `{"ok":true,"count":…,"now":…,"last_seq":…,…}`; also answered
        while it takes no posts.
        """
        reply = self._connection.call(lambda: self._calls.send("GET", "/health", also=(503,)))
        return reading.health_in(reply.content, self.settings.url)

    def _mine(self, as_what: str) -> dict[str, Any]:
        """Return the parameters that ask for my mail: a session's machine's too."""
        return {as_what: self.name, **({"machine": 1} if "/" in self.name else {})}

    def retract(self, message: Ref) -> dict[str, Any]:
        """Take back a message of mine: whoever has not acknowledged it no longer gets it.

        Returns the hub's answer; `fetched_by` are the names that had fetched it, and were told.
        Raises Forbidden for another's message.
        """
        fields = {"from": self.name}
        return self._connection.post(f"/messages/{reading.ref(message)}/retract", fields)

    def trace(self, message: Ref) -> dict[str, list[dict[str, str]]]:
        """Return for each reader of a message its steps in order:
        `{"bob":[{"step":"queued","time":…},…]}`.
        """
        return reading.of_readers(self._connection.get, message, "trace")

    def overdue(self, *, limit: int = 100, **filters: Any) -> list[dict[str, Any]]:
        """Return the newest messages that somebody should have acknowledged by now.

        Filters: `sender`, and `reader`, who has not acknowledged them.
        """
        params = reading.params({**filters, "limit": limit})
        found = self._connection.get("/overdue", params).get("overdue")
        if not isinstance(found, list):
            raise BadAnswer("The answer does not say what is overdue.")
        return found

    def _page(self, filters: Mapping[str, Any], wait_s: float = 0) -> tuple[list[Message], bool]:
        page = self._connection.get("/messages", reading.params(filters), wait_s=wait_s)
        return reading.messages_in(page), bool(page.get("has_more"))
