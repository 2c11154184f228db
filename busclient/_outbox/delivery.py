"""What waits in the outbox, on its way to the hub; and what becomes of what the hub refuses."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from busclient._errors import BusError, HubFailed, Unauthorized
from busclient._http.calls import Calls
from busclient._messages import sending
from busclient._messages.message import Posted
from busclient._outbox.outbox import Entry

logger = logging.getLogger("busclient")

Draft = dict[str, Any]
Refusal = tuple[Entry, dict[str, Any]]
NOTICE = "outbox-refused"
_NOT_THE_MESSAGE = ("no_such_route", "method_not_allowed", "too_slow")
_MOST_NAMED = 10


def deliver(calls: Calls, drafts: Sequence[Draft]) -> list[dict[str, Any] | None]:
    """Send drafts in order, at most 1,000; returns for each None when the hub has it, or why it is
    refused for good.

    Fewer outcomes than drafts: passing trouble, the rest stays. Where the hub refuses a request as
    a whole, its halves are sent, until it is known which of them it does not take. Raises BusError
    when nothing could be sent.
    """
    try:
        results = sending.post_block(calls, drafts)
    except BusError as error:
        if len(drafts) > 1 and (is_final(error) or isinstance(error, HubFailed)):
            return _by_halves(calls, drafts)
        if not is_final(error):
            raise
        results = [error]
    outcomes: list[dict[str, Any] | None] = []
    for result in results:
        if isinstance(result, Posted):
            outcomes.append(None)
        elif is_final(result):
            outcomes.append(result.as_dict())
        else:
            break  # this one and those after it stay, in order
    return outcomes


def is_final(error: BusError) -> bool:
    """Return whether the hub itself said of this very request that it will never take it.

    A wrong password or address is not the message's fault, and neither is a slow network (408). 429
    asks to wait, but only if it says for how long.
    """
    if error.code is None or error.status is None or not 400 <= error.status < 500:
        return False
    if isinstance(error, Unauthorized) or error.code in _NOT_THE_MESSAGE:
        return False
    return error.status != 429 or error.retry_after_s is None


def notices(sender: str, refused: Iterable[Refusal], kept_in: str) -> list[Draft]:
    """Return a message to each sender of what was refused; also said as a warning, for who sits at
    this machine.
    """
    by_author: dict[str, list[Refusal]] = {}
    for entry, why in refused:
        logger.warning(
            "a message that waited is NOT sent: %s. It is kept in %s", _reason(entry, why), kept_in
        )
        if entry.draft is not None and NOTICE not in (entry.draft.get("tags") or ()):
            by_author.setdefault(str(entry.draft.get("from")), []).append((entry, why))
    return [_notice(sender, author, found, kept_in) for author, found in by_author.items()]


def teller(name: str) -> str:
    """Return the name that notices are from: a session of ours, since what a name writes to itself
    is not unread to it.
    """
    return f"{name.partition('/')[0]}/outbox"


def _notice(sender: str, author: str, refused: list[Refusal], kept_in: str) -> Draft:
    lines = [f"- {_reason(entry, why)}" for entry, why in refused[:_MOST_NAMED]]
    if len(refused) > _MOST_NAMED:
        lines.append(f"- and {len(refused) - _MOST_NAMED} more")
    text = (
        f"NOT sent: the hub refused what you posted while it was away. It is kept in {kept_in} (bus"
        " outbox --refused).\n"
    )
    key = f"{NOTICE} {refused[0][0].key}"
    return sending.draft(
        sender, text + "\n".join(lines), author, {"tags": [NOTICE], "client_id": key}
    )


def _reason(entry: Entry, why: dict[str, Any]) -> str:
    """Return which message it was and why it was refused, without a word of its body."""
    to = (entry.draft or {}).get("to")
    names = to if isinstance(to, str) else ",".join(map(str, to or ["?"]))
    return (
        f"to {names[:200]}, posted {entry.queued or '?'}:"
        f" {str(why.get('message') or why.get('error')).rstrip('.')}"
    )


def _by_halves(calls: Calls, drafts: Sequence[Draft]) -> list[dict[str, Any] | None]:
    middle = len(drafts) // 2
    outcomes = deliver(calls, drafts[:middle])
    if len(outcomes) < middle:
        return outcomes
    try:
        return outcomes + deliver(calls, drafts[middle:])
    except BusError:
        return outcomes
