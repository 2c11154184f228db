"""The digest: what is unread summed up, and what is to be done, within a budget."""

from __future__ import annotations

import json
from collections import Counter

from bus.hub.actions import Actions
from bus.hub.messages import Messages
from bus.index.privacy import View
from bus.model import digest
from bus.model.actions import ActionsQuery
from bus.model.digest import Digest, DigestItem
from bus.model.filter import MAX_LIMIT, Selection
from bus.model.messages import Message

_ACTIONS = 50
_FOR_ACTIONS = 3  # a part of the budget: one of so many


class Digests:
    """The verb of digests."""

    def __init__(self, messages: Messages, actions: Actions) -> None:
        self._messages, self._actions = messages, actions

    def make(self, reader: str, budget: int, view: View | None) -> Digest:
        """Return what a reader has not acknowledged, and what it has to do; nothing counts as
        fetched.
        """
        wanted = Selection(unread_by=reader, limit=MAX_LIMIT, machine="/" in reader)
        page = self._messages.read(wanted.seen_by(view), is_peek=True)
        unread: list[Message] = [json.loads(message) for message in page.messages]
        mine = ActionsQuery.read({"assignee": reader, "limit": str(MAX_LIMIT)})
        actions = digest.by_due(self._actions.all(mine, view)[0])[:_ACTIONS]
        left = budget // _FOR_ACTIONS
        shown_actions = []
        for action in actions:
            left -= len(digest.action_line(action))
            if left < 0:
                break
            shown_actions.append(action)
        left = budget - sum(len(digest.action_line(one)) for one in shown_actions)
        items: list[DigestItem] = []
        for one in map(digest.item, digest.in_order(unread)):
            left -= len(digest.item_lines(one))
            if left < 0 and items:
                break
            items.append(one)
        return {
            "ok": True,
            "reader": reader,
            "unread": len(unread),
            "is_exact": not page.has_more,
            "by_sender": dict(Counter(one["from"] for one in unread).most_common()),
            "by_priority": dict(Counter(one["priority"] for one in unread)),
            "messages": items,
            "more": len(unread) - len(items),
            "actions": shown_actions,
        }
