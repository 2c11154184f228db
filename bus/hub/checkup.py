"""The check-up: what is stuck, in one look over actions, questions, deadlines and mailboxes."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import zip_longest
from statistics import median
from typing import Any, NamedTuple, cast

from bus.hub.actions import has, sees, shown
from bus.hub.agents import Agents
from bus.hub.journal import Journal
from bus.hub.rosters import last_of_each
from bus.hub.tracking import Tracking
from bus.index import actions, agents, asks, names, roles
from bus.index import checkup as queries
from bus.index import messages as texts
from bus.index.activity import first_since
from bus.index.checkup import OpenAction, Window
from bus.index.privacy import View
from bus.index.ranges import LAST
from bus.live.heartbeats import Heartbeats
from bus.live.presence import Presence
from bus.model import records
from bus.model.actions import Action
from bus.model.checkup import (
    COUNTED_UNREAD,
    COVERAGE,
    COVERAGE_DAYS,
    COVERAGE_LAST,
    COVERAGE_LEAST,
    DAY_H,
    KINDS,
    LOAD_LEAST,
    LOAD_TIMES,
    UNREAD_DAYS,
    Checkup,
    Load,
    OldMail,
    OpenQuestion,
    StoppedReader,
)
from bus.model.groups import ROLE_PREFIX, is_role
from bus.model.inbox_lines import preview
from bus.model.messages import Message
from bus.model.records import HUB, NAME, Fields
from bus.model.tracking import Late, OverdueQuery

# What one check-up looks at, at most
_ACTIONS, _MAILBOXES, _ASKS, _LATE, _SIGNS = 20_000, 2_000, 1_000, 100, 20_000
_STOPPED = 200
_NAMES, _QUESTION = 8, 200
_HOUR_MS = 3_600_000
_URGENCY = {"urgent": 0, "high": 1, "normal": 2, "low": 3}


class _Seen(NamedTuple):
    """What is known of a name: its state (`unknown`: nobody had it), and its last sign of life."""

    state: str
    last_ms: int | None

    @property
    def is_gone(self) -> bool:
        return self.state in ("gone", "unknown")


class _Found(NamedTuple):
    """What the index says."""

    lists: dict[str, list[Any]]
    counts: dict[str, int]
    median: float
    is_exact: bool
    sent: list[tuple[str, int, list[int], _Seen]]  # how many were, and which are not acknowledged


class Checkups:
    """The verb of check-ups."""

    def __init__(
        self,
        journal: Journal,
        agents: Agents,
        tracking: Tracking,
        presence: Presence,
        heartbeats: Heartbeats,
    ) -> None:
        self._journal, self._agents, self._tracking = journal, agents, tracking
        self._presence, self._heartbeats = presence, heartbeats

    def make(self, stale_h: float, limit: int, view: View | None) -> Checkup:
        """Return what is stuck, at most `limit` of each kind, of what the caller may see."""
        now_ms = self._journal.now_ms()
        late = self._tracking.overdue(OverdueQuery(limit=_LATE), view)
        signs = last_of_each(self._heartbeats.all())
        for name, ms in self._presence.last_seen_of_all(_SIGNS).items():
            signs[name] = max(ms, signs.get(name, 0))
        known = {*self._agents.members(), HUB}

        def question(db: sqlite3.Connection) -> _Found:
            who = _Who(db, known, signs, self._agents.state_from)
            return _Look(db, view, now_ms, limit, who).found(stale_h)

        found = self._journal.index.ask(question)
        stopped = self._stopped(found.sent)
        lists = found.lists | {"acks": _worst(late), "stopped": stopped}
        counts = found.counts | {"acks": len(late), "stopped": len(stopped)}
        shown = {name: some[:limit] for name, some in lists.items()}
        listed = {name: len(some) for name, some in shown.items()}
        listed["overloaded"] = sum(one["is_over"] for one in shown["load"])
        more = {kind: left for kind in KINDS if (left := counts[kind] - listed[kind])}
        return cast(
            Checkup,
            {
                "ok": True,
                "time": records.utc(now_ms / 1000),
                "stale_h": stale_h,
                "is_clear": not any(counts.values()),
                "is_exact": found.is_exact and len(late) < _LATE,
                "counts": {kind: counts[kind] for kind in KINDS},
                "more": more,
                **shown,
                "median": found.median,
            },
        )

    def _stopped(self, sent: Iterable[tuple[str, int, list[int], _Seen]]) -> list[StoppedReader]:
        """Return those who have read little of what was sent to them, the least first."""
        found: list[StoppedReader] = []
        most = sorted(sent, key=lambda one: -len(one[2]))[:_STOPPED]
        for name, count, unread, seen in most:
            read = count - len(unread)
            if read < COVERAGE * count:
                read += self._presence.fetched_of(unread, name)
            if read < COVERAGE * count:
                last = records.iso(seen.last_ms)
                found.append({"reader": name, "sent": count, "read": read, "last_seen": last})
        return sorted(found, key=lambda one: (one["read"] / one["sent"], -one["sent"]))


class _Who:
    """Says who is there and who is gone; asks once for each name."""

    def __init__(
        self,
        db: sqlite3.Connection,
        members: set[str],
        signs: Mapping[str, int],
        state: Callable[[agents.Row | None, int | None], str],
    ) -> None:
        self._db, self._members, self._signs, self._state = db, members, signs, state
        self._known: dict[str, _Seen] = {}

    @property
    def members(self) -> set[str]:
        """The names that have a credential."""
        return self._members - {HUB}

    @property
    def readers(self) -> set[str]:
        """The names without a session that have a credential, or have asked lately."""
        return {name for name in (*self._members, *self._signs) if "/" not in name} - {HUB}

    def seen(self, name: str) -> _Seen:
        """Return what is known of a name; of a role, what is known of who has it."""
        if name not in self._known:
            self._known[name] = self._of_role(name) if is_role(name) else self._of(name)
        return self._known[name]

    def _of(self, name: str) -> _Seen:
        row, act = agents.one(self._db, name), names.last_act(self._db, name)
        times = [self._signs.get(name), None if act is None else records.unix_ms(act)]
        last_ms = max((ms for ms in times if ms is not None), default=None)
        if name == HUB:
            return _Seen("live", last_ms)
        if row is None and last_ms is None and name not in self._members:
            return _Seen("unknown", None)
        return _Seen(self._state(row, last_ms), last_ms)

    def _of_role(self, name: str) -> _Seen:
        role = roles.one(self._db, name.removeprefix(ROLE_PREFIX))
        if role is None or role.holder is None:
            return _Seen("gone", None)
        return self.seen(role.holder)

    def awaited(self, text: str | None) -> str | None:
        """Return whom an action waits for, if that is a name which somebody has or had."""
        if text is None:
            return None
        name = text.removeprefix("@")
        if NAME.fullmatch(name) is None or self.seen(name).state == "unknown":
            return None
        return name


class _Look:
    """One look at the index."""

    def __init__(
        self, db: sqlite3.Connection, view: View | None, now_ms: int, limit: int, who: _Who
    ) -> None:
        self._db, self._view, self._now_ms = db, view, now_ms
        self._limit, self._who = limit, who
        self._ends: dict[int, Message] = {}

    def found(self, stale_h: float) -> _Found:
        """Return all of it."""
        open_ones, all_actions = queries.open_actions(self._db, _ACTIONS)
        lists, counts = self._actions(open_ones, stale_h)
        loads, middle, over = self._loads(open_ones)
        asked, ask_count = self._asks()
        mail, sent, all_boxes = self._mailboxes()
        lists |= {"load": loads, "asks": asked, "unread": mail}
        counts |= {"overloaded": over, "asks": ask_count, "unread": len(mail)}
        is_exact = all_actions and ask_count < _ASKS and all_boxes
        return _Found(lists, counts, middle, is_exact, sent)

    # -- actions ---------------------------------------------------------------------------------

    def _actions(
        self, rows: list[OpenAction], stale_h: float
    ) -> tuple[dict[str, list[Any]], dict[str, int]]:
        since = records.utc((self._now_ms - stale_h * _HOUR_MS) / 1000)
        gone: list[tuple[OpenAction, str]] = []
        overdue, stale, free = [], [], []
        for row in rows:
            if (name := self._gone(row)) is not None and self._sees(row):
                gone.append((row, name))
            if row.due_ms is not None and row.due_ms <= self._now_ms and self._sees(row):
                overdue.append(row)
            if row.status != "open" and row.changed <= since and self._sees(row):
                stale.append(row)
            if row.assignee is None and self._sees(row):
                free.append(row)
        gone.sort(key=lambda one: (_URGENCY[one[0].priority], one[0].changed))
        overdue.sort(key=lambda row: (_URGENCY[row.priority], row.due_ms))
        stale.sort(key=lambda row: (_URGENCY[row.priority], row.changed))
        free.sort(key=lambda row: (_URGENCY[row.priority], row.number))
        some = {"overdue": overdue, "stale": stale, "unassigned": free}
        lists: dict[str, list[Any]] = {
            name: [self._action(row) for row in found[: self._limit]]
            for name, found in some.items()
        }
        lists["gone"] = [
            {
                **self._action(row),
                "gone": name,
                "last_seen": records.iso(self._who.seen(name).last_ms),
            }
            for row, name in gone[: self._limit]
        ]
        return lists, {name: len(found) for name, found in (some | {"gone": gone}).items()}

    def _gone(self, row: OpenAction) -> str | None:
        """Return who is gone of those that an action waits for."""
        for name in (row.assignee, self._who.awaited(row.waiting_on)):
            if name is not None and self._who.seen(name).is_gone:
                return name
        return None

    def _sees(self, row: OpenAction) -> bool:
        if self._view is None:
            return True
        if row.message not in self._ends:
            self._ends[row.message] = texts.ends(self._db, row.message)
        ends = self._ends[row.message]
        return sees(self._db, self._view, row.message, row.assignee, ends)

    def _action(self, row: OpenAction) -> Action:
        whole = actions.one(self._db, row.number)
        assert whole is not None
        return shown(whole, self._message(row.message), self._now_ms)

    def _message(self, seq: int) -> Message:
        found: Message = json.loads(str(texts.by_seq(self._db, seq)))
        return found

    def _loads(self, rows: list[OpenAction]) -> tuple[list[Load], float, int]:
        """Return how much those have to do whom the caller may know of, the median of all, and how
        many of the former have too much.
        """
        counts = Counter(row.assignee for row in rows if row.assignee is not None)
        middle = float(median(counts.values())) if counts else 0.0
        least = max(LOAD_TIMES * middle, LOAD_LEAST - 1)
        found: list[Load] = [
            {"name": name, "open": count, "is_over": count > least}
            for name, count in sorted(counts.items(), key=lambda one: (-one[1], one[0]))
            if self._view is None or has(self._db, self._view, name)
        ]
        return found, middle, sum(one["is_over"] for one in found)

    # -- questions -------------------------------------------------------------------------------

    def _asks(self) -> tuple[list[OpenQuestion], int]:
        """Return the questions that are open for long, the oldest first, and how many they are."""
        before = first_since(self._db, "messages", self._now_ms - DAY_H * _HOUR_MS) or LAST
        rows = [
            row
            for row in asks.open_before(self._db, before, self._now_ms, _ASKS)
            if self._view is None
            or self._view.sees(self._db, row.seq, texts.ends(self._db, row.seq))
        ]
        return [self._ask(row) for row in rows[: self._limit]], len(rows)

    def _ask(self, row: asks.Row) -> OpenQuestion:
        message: Fields = asks.question(self._db, row.seq, _QUESTION)
        by = {} if row.by_ms is None else {"by": records.iso(row.by_ms)}
        return cast(
            OpenQuestion,
            {
                **{"id": row.id, "seq": row.seq, "ts": message["ts"], "from": row.sender},
                "question": preview(message["body"], _QUESTION),
                **by,
                "waiting_for": asks.waiting_for(self._db, row.seq, _NAMES),
                "waiting": asks.open_count(self._db, row.seq),
            },
        )

    # -- mailboxes -------------------------------------------------------------------------------

    def _mailboxes(self) -> tuple[list[OldMail], list[tuple[str, int, list[int], _Seen]], bool]:
        """Return the mailboxes with old mail, those in use first; what was sent to each name
        lately; and whether these are all.
        """
        old = Window(self._since(UNREAD_DAYS * 24), self._since(DAY_H) - 1)
        lately = Window(self._since(COVERAGE_DAYS * 24), self._since(1) - 1)
        boxes = self._boxes()
        mail: list[tuple[bool, OldMail]] = []
        sent: list[tuple[str, int, list[int], _Seen]] = []
        for name in boxes[:_MAILBOXES]:
            if self._view is not None and not has(self._db, self._view, name):
                continue
            # Broadcasts wait for a machine, not for each of its sessions.
            is_whole = "/" not in name and not is_role(name)
            count, oldest = queries.waiting(
                self._db, name, old, COUNTED_UNREAD, with_broadcasts=is_whole
            )
            seen = self._who.seen(name)
            if count:
                mail.append((seen.is_gone, self._old_mail(name, count, oldest, seen)))
            if is_role(name) or seen.state == "unknown" or (seen.is_gone and "/" in name):
                continue  # a session that has ended reads no more, and its mail is told of above
            seqs, unread = queries.sent(self._db, name, lately, COVERAGE_LAST)
            if len(seqs) >= COVERAGE_LEAST and unread:
                sent.append((name, len(seqs), unread, seen))
        mail.sort(key=lambda one: (one[0], -one[1]["unread"], one[1]["oldest"]))
        return [one for _, one in mail], sent, len(boxes) <= _MAILBOXES

    def _boxes(self) -> list[str]:
        """Return whose mailboxes there are, those of members first: machines, then their sessions
        by turns, so that names which somebody else has made up, or one's many sessions, hide none.
        """
        members = sorted(self._who.members)
        each = max(1, _MAILBOXES // max(1, 2 * len(members)))
        sessions = [queries.recipients(self._db, each, f"{name}/") for name in members]
        turns = [one for some in zip_longest(*sessions) for one in some if one is not None]
        others = sorted({*queries.recipients(self._db, _MAILBOXES), *self._who.readers})
        held = [ROLE_PREFIX + role for role in roles.wanted(self._db, "", _MAILBOXES // 4)]
        return list(dict.fromkeys([*members, *held, *turns, *others]))

    def _old_mail(self, name: str, count: int, oldest: int, seen: _Seen) -> OldMail:
        ts = self._message(oldest)["ts"]
        return {"reader": name, "unread": count, "oldest": ts, "state": seen.state}

    def _since(self, hours: float) -> int:
        """Return the seq of the first message of the last hours; one behind all if there is
        none.
        """
        since_ms = int(self._now_ms - hours * _HOUR_MS)
        return first_since(self._db, "messages", since_ms) or LAST


def _worst(late: list[Late]) -> list[Late]:
    return sorted(late, key=lambda one: one["ack_by"])
