"""The hub without HTTP: its verbs, a noun each, over one journal."""

from __future__ import annotations

from bus.errors import Rebuilding
from bus.hub.acks import Acks
from bus.hub.activity import Activity
from bus.hub.approvals import Approvals
from bus.hub.calls import Calls
from bus.hub.chores import Chores
from bus.hub.credentials import CredentialRecords
from bus.hub.daily_quotas import DailyQuotas
from bus.hub.inbox import Inbox
from bus.hub.journal import Journal
from bus.hub.messages import Messages
from bus.hub.permissions import Permissions
from bus.hub.standings import Standings
from bus.index import place
from bus.live.presence import Presence
from bus.log.outputs import Results
from bus.model.health import Health


class Hub:
    """What the web workers, the runner and the commands share; see `bus.create_hub`.

    `beside` keeps what an approval's question has that is not for the log.
    """

    def __init__(
        self,
        journal: Journal,
        presence: Presence,
        chores: Chores,
        daily: DailyQuotas | None = None,
        *,
        beside: Results | None = None,
        approve_own: bool = False,
    ) -> None:
        self.journal, self.presence, self.daily = journal, presence, daily
        self.chores = chores
        self.log, self.index, self.waiting = journal.log, journal.index, journal.waiting
        standings = Standings(journal.index, presence, journal.time)
        self.messages = Messages(journal, presence, standings)
        self.inbox = Inbox(journal, presence, standings)
        self.acks = Acks(journal, self.messages, presence, standings)
        self.permissions = Permissions(journal)
        self.approvals = Approvals(journal, beside=beside, approve_own=approve_own)
        self.calls = Calls(journal, self.permissions, self.approvals)
        self.activity = Activity(journal)
        self.credentials = CredentialRecords(journal, daily)

    def health(self) -> Health:
        """Return how the hub is: what `/health` answers."""
        state, count, damaged = "ready", None, 0
        try:
            with self.index.reading() as db:
                count, damaged = place.counts(db)
        except Rebuilding as error:
            state = error.message
        failed = self.log.failed()
        has_room = self.log.has_room()
        storage = "ok" if has_room else "full: no room for another message"
        return {
            "ok": not failed and has_room,
            "count": count,
            "now": self.journal.utc(),
            "last_seq": self.log.position().seq,
            "index": state,
            "index_lag": self.index.lag(),
            "storage": "failed: read-only" if failed else storage,
            "damaged_lines": damaged,
            "waiting": self.waiting.total(),
        }
