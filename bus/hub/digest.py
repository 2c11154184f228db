"""The digest: what is unread summed up, and what is to be done, within a budget."""

from __future__ import annotations

import sqlite3
from collections import Counter

from bus.hub.actions import Actions
from bus.hub.journal import Journal
from bus.index import digest as queries
from bus.index.digest import Count
from bus.index.mailboxes import of_reader
from bus.index.privacy import View
from bus.model import digest
from bus.model.actions import ActionsQuery
from bus.model.digest import Digest, DigestItem
from bus.model.filter import MAX_LIMIT
from bus.model.messages import Message

_ACTIONS = 50
_SENDERS = 500
_COUNTED = 10_000  # unread messages
_BEGINNING = 2_000  # characters of a message that are read
_FOR_ACTIONS = 3  # a part of the budget: one of so many


class Digests:
    """The verb of digests."""

    def __init__(self, journal: Journal, actions: Actions) -> None:
        self._journal, self._actions = journal, actions

    def make(self, reader: str, budget: int, view: View | None) -> Digest:
        """Return what a reader has not acknowledged, and what it has to do; nothing counts as
        fetched.
        """
        now_ms = self._journal.now_ms()

        def question(db: sqlite3.Connection) -> tuple[list[Message], list[Count], bool]:
            boxes = of_reader(db, reader, "/" in reader)
            first = queries.most_urgent(db, boxes, now_ms, MAX_LIMIT, _BEGINNING)
            seen = [one for one in first if view is None or view.sees(db, one["seq"], one)]
            return seen, *queries.counts(db, boxes, now_ms, _COUNTED)

        unread, counts, is_exact = self._journal.index.ask(question)
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
            "unread": (count := sum(one.messages for one in counts)),
            "is_exact": is_exact,
            "by_sender": _by_sender(counts),
            "by_priority": _by_priority(counts),
            "messages": items,
            "more": max(0, count - len(items)),
            "actions": shown_actions,
        }


def _by_sender(counts: list[Count]) -> dict[str, int]:
    """Return how many are from whom: of those who have sent most."""
    found: Counter[str] = Counter()
    for one in counts:
        found[one.sender] += one.messages
    return dict(found.most_common(_SENDERS))


def _by_priority(counts: list[Count]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for one in counts:
        found[one.priority] += one.messages
    return dict(found)
