"""A short look at the roster: whom one should see first, so that no credential with many sessions
hides the others. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from bus.index.agents import Row
from bus.model.agents import AgentsQuery, Facts


class Around(NamedTuple):
    """Names in the order in which they are to be seen, with what the log says of each; and how many
    more there are of each credential.
    """

    shown: dict[str, Row | None]
    more: dict[str, int]


def around(
    found: Iterable[tuple[str, Row | None]], name: str, repo: str | None, limit: int, each: int
) -> Around:
    """Return at most `limit` of some agents in the order of names: of the machine of `name` first,
    then those who work on its repository, then the others by turns; of each other credential at
    most `each`.
    """
    machine, rows = name.partition("/")[0], dict(found)
    ranked: list[tuple[int, str]] = []
    for other, row in rows.items():
        is_own = other.partition("/")[0] == machine
        is_near = repo is not None and row is not None and row.facts.get("repo") == repo
        ranked.append((0 if is_own else 1 if is_near else 2, other))
    own = [other for rank, other in sorted(ranked) if rank == 0][: max(each, limit // 2)]
    others: list[tuple[int, int, str]] = []
    turns: Counter[str] = Counter()
    for rank, other in sorted(ranked):
        if rank:
            who = _credential(other, rows[other])
            turns[who] += 1
            others.append((rank, turns[who], other))
    others = sorted(one for one in others if one[1] <= each)
    chosen = [*own, *(other for _, _, other in others)][:limit]
    left = Counter(_credential(other, row) for other, row in rows.items())
    left.subtract(_credential(other, rows[other]) for other in chosen)
    return Around({other: rows[other] for other in chosen}, dict(sorted((+left).items())))


def _credential(name: str, row: Row | None) -> str:
    return name.partition("/")[0] if row is None else row.auth


def last_of_each(signs: Mapping[str, int]) -> dict[str, int]:
    """Return the last sign of each name; that of a machine is the last of its sessions, too."""
    found: dict[str, int] = {}
    for name, ms in signs.items():
        for known in {name, name.partition("/")[0]}:
            found[known] = max(ms, found.get(known, 0))
    return found


def is_asked_for(facts: Facts, asked: AgentsQuery, place: Mapping[str, str]) -> bool:
    """Return whether an agent that says so of itself is asked for."""
    if any(facts.get(fact) != value for fact, value in place.items()):
        return False
    if asked.capability is not None and asked.capability not in facts.get("capabilities", ()):
        return False
    return asked.agent_type in (None, facts.get("agent_type"))
