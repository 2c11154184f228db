"""A machine's mail is every session's to see, and one session's to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bus.hub.agents import Agents
from bus.hub.journal import Journal
from bus.live.given import Given
from bus.model.filter import recipients
from bus.model.messages import GivenTo


class MachineMail:
    """Says which session a machine's messages were given to."""

    def __init__(self, journal: Journal, agents: Agents, given: Given) -> None:
        self._journal, self._agents, self._given = journal, agents, given

    def others(self, session: str, messages: Mapping[int, Mapping[str, Any]]) -> dict[int, GivenTo]:
        """Give those of some messages that are to a session's machine to it, if they are free;
        return those that another session has.
        """
        machine, now_ms = session.partition("/")[0], self._journal.now_ms()
        seqs = [seq for seq, message in messages.items() if machine in recipients(message)]
        if not seqs:
            return {}
        found = self._given.give(session, seqs, now_ms, self._agents.is_there)
        return {
            seq: {"name": holder.session, "s": max(0, now_ms - holder.ms) // 1000}
            for seq, holder in found.items()
            if holder.session != session
        }
