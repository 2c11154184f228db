"""The hub without HTTP: its verbs, a noun each, over one journal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from bus.errors import Rebuilding
from bus.hub.acks import Acks
from bus.hub.actions import Actions
from bus.hub.activity import Activity
from bus.hub.agents import Agents, Leases
from bus.hub.approvals import Approvals
from bus.hub.asks import Asks
from bus.hub.attachments import Attachments, Limits
from bus.hub.briefs import Briefs
from bus.hub.calls import Calls
from bus.hub.checkup import Checkups
from bus.hub.checkup_posts import CheckupPosts
from bus.hub.chores import Chores
from bus.hub.contexts import Contexts
from bus.hub.credentials import CredentialRecords
from bus.hub.daily_quotas import DailyQuotas
from bus.hub.digest import Digests
from bus.hub.drafting import Drafting
from bus.hub.escalation import Escalation
from bus.hub.expectations import Expectations
from bus.hub.figures import Figures
from bus.hub.file_leases import FileLeases
from bus.hub.inbox import Inbox
from bus.hub.journal import Journal
from bus.hub.machine_mail import MachineMail
from bus.hub.messages import Messages
from bus.hub.owing import Owing
from bus.hub.permissions import Permissions
from bus.hub.privacy import Privacy
from bus.hub.proofs import Proofs
from bus.hub.roles import Roles
from bus.hub.signatures import Signatures
from bus.hub.standings import Standings
from bus.hub.stars import Stars
from bus.hub.topics import Topics
from bus.hub.tracking import Tracking
from bus.hub.uploads import Uploads
from bus.hub.webhooks import Webhooks
from bus.index import place
from bus.live.given import Given
from bus.live.heartbeats import Heartbeats
from bus.live.leader import Leader
from bus.live.presence import Presence
from bus.live.running import Running
from bus.live.shown import ShownMail
from bus.log.contents import Contents
from bus.log.outputs import Results
from bus.model.checkup_plan import NO_PLAN, Plan
from bus.model.escalation import Rung
from bus.model.health import Health
from bus.model.hooks import ReachTrusts


class Live(NamedTuple):
    """What the hub knows that is news and not history."""

    presence: Presence
    heartbeats: Heartbeats
    given: Given
    leader: Leader
    shown: ShownMail
    running: Running


class FileStore(NamedTuple):
    """Where attachments are, what they may take, and who does long and short work on them."""

    contents: Contents
    limits: Limits
    carry: Callable[[Callable[[], object]], None]
    block: Callable[[Callable[[], object]], None]


class Hub:
    """What the web workers, the runner and the commands share; see `bus.create_hub`.

    `beside` keeps what an approval's question has that is not for the log; `context_key` is the
    file of the key of proofs of context.
    """

    def __init__(
        self,
        journal: Journal,
        live: Live,
        leases: Leases,
        files: FileStore,
        daily: DailyQuotas | None = None,
        *,
        beside: Results | None = None,
        approve_own: bool = False,
        strict: bool = False,
        private: bool = False,
        loop_limit: int = 0,
        max_open_asks: int = 100,
        context_key: Path | None = None,
        trusts: ReachTrusts | None = None,
        private_webhooks: bool = False,
        checkup_plan: Plan = NO_PLAN,
        escalate: Sequence[Rung] = (),
    ) -> None:
        self.live, self.leases, presence = live, leases, live.presence
        self.files = files
        self.journal, self.presence, self.daily = journal, presence, daily
        self.chores = Chores(live.leader)
        self.log, self.index, self.waiting = journal.log, journal.index, journal.waiting
        self.credentials = CredentialRecords(journal, daily)
        self.agents = Agents(journal, self.credentials, presence, live.heartbeats, leases)
        standings = Standings(journal.index, presence, journal.time, self.agents)
        self.drafting = Drafting(journal, standings, strict=strict, loop_limit=loop_limit)
        self.privacy = Privacy(journal, private)
        self.proofs = Proofs(context_key, live.shown, journal.now_ms)
        machine_mail = MachineMail(journal, self.agents, live.given)
        self.messages = Messages(
            journal, presence, standings, self.drafting, machine_mail, self.privacy, self.proofs
        )
        self.acks = Acks(journal, self.messages, presence, standings, self.proofs)
        self.asks = Asks(journal, self.messages, self.drafting, self.acks, max_open_asks)
        self.chores.add(self.asks.close_due)
        self.inbox = Inbox(journal, presence, standings, machine_mail, self.proofs)
        self.owing = Owing(journal, self.asks, machine_mail, live.shown)
        self.contexts = Contexts(
            journal,
            self.messages,
            self.inbox,
            machine_mail,
            presence,
            standings,
            live.shown,
            self.proofs,
            self.owing,
            trusts or ReachTrusts(),
        )
        self.signatures = Signatures(journal)
        self.briefs = Briefs(self.messages, self.agents, standings, self.signatures)
        self.actions = Actions(journal, self.messages, self.drafting, standings, self.briefs)
        self.digests = Digests(journal, self.actions)
        self.stars = Stars(journal, self.messages, self.credentials)
        self.topics = Topics(journal, self.credentials)
        self.roles = Roles(journal, self.agents)
        self.chores.add(self.roles.give_on)
        self.file_leases = FileLeases(journal, self.agents)
        self.tracking = Tracking(journal, self.messages, self.acks, presence, live.shown)
        self.chores.add(self.tracking.report_overdue)
        self.checkups = Checkups(journal, self.agents, self.tracking, presence, live.heartbeats)
        posts = CheckupPosts(
            journal,
            self.checkups,
            checkup_plan,
            self.messages,
            self.drafting,
            standings.unknown,
            private,
        )
        self.chores.add(posts.post_due)
        self.attachments = Attachments(journal, self.messages, self.privacy, *files)
        self.chores.add(self.attachments.tend)
        self.uploads = Uploads(journal, self.messages, self.attachments)
        self.escalation = Escalation(journal, self.messages, self.tracking, self.agents, escalate)
        self.chores.add(self.escalation.climb)
        self.expectations = Expectations(journal, self.agents, standings, live.running)
        self.chores.add(self.expectations.look)
        self.webhooks = Webhooks(journal, private=private_webhooks)
        self.permissions = Permissions(journal)
        self.approvals = Approvals(journal, beside=beside, approve_own=approve_own)
        self.calls = Calls(journal, self.permissions, self.approvals)
        self.activity = Activity(journal)
        # Whom a message's tags ask to text, and what becomes of it: set where notices are joined.
        self.texting: Callable[[str, Sequence[str]], dict[str, str]] = lambda sender, tags: {}
        self.figures = Figures(journal, presence, self.agents)

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
