"""Whose turn it is: so that one who sends many hides nobody. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from bus.model.inbox_budget import Candidate


def in_turns(messages: Iterable[Candidate]) -> list[Candidate]:
    """Return messages by turns of the credentials that have sent them, those of each in the order
    given.
    """
    turns: Counter[str] = Counter()
    ranked: list[tuple[int, int, Candidate]] = []
    for message in messages:
        who = message.get("auth", message["from"])
        ranked.append((turns[who], len(ranked), message))
        turns[who] += 1
    return [message for _, _, message in sorted(ranked, key=lambda one: one[:2])]
