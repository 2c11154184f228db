"""The Bot API of Telegram, as far as notices need it: one call, and what its refusals mean.

https://core.telegram.org/bots/api, read in version 10.1. Why no library:
docs/decisions/0009-telegram.md
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from bus.notify import calling
from bus.notify.services.base import Refused, Retry

API = "https://api.telegram.org"
_LONGEST_WAIT_S = 3600.0
_SAID = 200
_SECOND_POLLER = "another program reads this bot's updates, or a webhook is set (409)"


class Moved(Exception):
    """The group became a supergroup: it has this id now."""

    def __init__(self, chat: int) -> None:
        super().__init__(f"the chat has the id {chat} now")
        self.chat = chat


class NotParsed(Exception):
    """Telegram did not understand the HTML of a text."""


class SecondPoller(Retry):
    """Another program asks for the updates of the same bot."""


class Bot:
    """A bot by its token. The token is in the address, and in no text of an error."""

    def __init__(self, token: str, base: str, clock: Callable[[], float]) -> None:
        self._url, self._clock = f"{base.rstrip('/')}/bot{token}", clock

    def call(self, method: str, answer_s: float = calling.ANSWER_S, **fields: Any) -> Any:
        """Return the result of a method. Raises Retry, Refused, Moved, NotParsed."""
        reply = calling.call(
            "POST", f"{self._url}/{method}", json=fields, answer_s=answer_s, clock=self._clock
        )
        try:
            answer = json.loads(reply.body)
            is_answer = isinstance(answer, dict) and isinstance(answer.get("ok"), bool)
        except ValueError:
            is_answer = False
        if not is_answer:
            # 200 may be a yes of which only the words are lost; a gateway's 502 too.
            is_unsure = reply.status in (200, 502, 504)
            said = f"status {reply.status}, and not in the form of the Bot API"
            raise Retry(said, after_s=reply.retry_after_s, is_unsure=is_unsure)
        if answer["ok"]:
            return answer.get("result")
        raise _refusal(reply, answer)


def _refusal(reply: calling.Reply, answer: dict[str, Any]) -> Exception:
    """Return what an answer that is a no means."""
    said = f"{reply.status}: {str(answer.get('description', ''))[:_SAID]}"
    parameters = answer.get("parameters")
    parameters = parameters if isinstance(parameters, dict) else {}
    moved, wait_s = parameters.get("migrate_to_chat_id"), parameters.get("retry_after")
    if isinstance(moved, int) and not isinstance(moved, bool):
        return Moved(moved)
    if reply.status == 400:
        return _wrong(said)
    if reply.status == 429:
        after_s = float(wait_s) if isinstance(wait_s, int) else reply.retry_after_s
        after_s = None if after_s is None else min(max(after_s, 1.0), _LONGEST_WAIT_S)
        return Retry(said, after_s=after_s, is_whole=False)
    if reply.status == 409:
        return SecondPoller(_SECOND_POLLER)
    if reply.status in (401, 404):
        return Retry(f"{said}: is the token right?")
    # Of one chat: the bot was blocked, or put out of the group. It may come back.
    return Retry(said, is_whole=reply.status >= 500)


def _wrong(said: str) -> Exception:
    if "can't parse entities" in said:
        return NotParsed(said)
    # The bot is not in the group yet, or nobody has written to it yet: that can be mended.
    return Retry(said, is_whole=False) if "chat not found" in said else Refused(said)
