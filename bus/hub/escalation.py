"""The escalation ladder: who is told, step by step, while a message is not acknowledged, a question
not answered, an action not done.

The process that leads takes the steps. Each is a record with a unique key, so there is one of each,
whoever leads; the next one is counted from it, so that after an outage the steps keep their
distances. Before each step it is looked at anew who is late: an ack ends it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from typing import NamedTuple

from bus.hub.agents import Agents
from bus.hub.journal import Journal
from bus.hub.messages import Messages
from bus.hub.notices import notice
from bus.hub.tracking import Tracking, report
from bus.index import acks, actions, asks, roles
from bus.index import escalations as queries
from bus.index.escalations import DAY_MS, Case
from bus.model import records
from bus.model.asked import ANSWER, DECLINE, EXPIRE
from bus.model.caller import lowest_trust
from bus.model.escalation import (
    CANDIDATES,
    END,
    HUMAN,
    LIMIT,
    NOBODY,
    SENDER,
    UNPROVEN,
    WAKE,
    Rung,
)
from bus.model.filter import recipients
from bus.model.groups import ROLE_PREFIX, is_group, is_role, is_topic
from bus.model.messages import Message
from bus.model.records import EVERYBODY, Fields

_AT_ONCE = 10  # cases that one call of the chore looks at, of each sort
_NEW_MS = 7 * DAY_MS  # what was late for longer when it is first seen does not climb
HOUR_MS = 3_600_000
MOST_TOLD = 30  # names that are woken or told as candidates, of one credential's mail in an hour
MOST_TO_ONE = 30  # times that one name is told in an hour, of people as people and of others
MOST_OF_ONE_TO_ONE = 10  # and because of one credential, so that it takes no room from others
MOST_TO_PEOPLE = 10  # times that people are told because of one credential in a day


class _Late(NamedTuple):
    """What is late: by whom, what is said of it, and who has caused it."""

    names: list[str]
    what: str  # "message 412 from web1"
    since: str
    asker: str
    auth: str
    is_proven: bool
    trust: str
    priority: str


class Escalation:
    """Takes the steps of the ladder. `people` are the humans at its top."""

    def __init__(
        self,
        journal: Journal,
        messages: Messages,
        tracking: Tracking,
        agents: Agents,
        rungs: Sequence[Rung] = (),
    ) -> None:
        self._journal, self._messages = journal, messages
        self._tracking, self._agents = tracking, agents
        self._rungs = tuple(rungs)
        self._text = " ".join(f"{rung.step}:{rung.after_s}" for rung in rungs)
        # Whoever joins the parts says who they are.
        self.people: Callable[[], Sequence[str]] = lambda: ()
        if any(rung.step == SENDER for rung in rungs):
            tracking.reported_until = self._reported_until

    def climb(self) -> None:
        """Take the steps that are due, some at a time: a chore."""
        with self._journal.current() as db:
            setting = queries.setting(db)
        if setting.text != self._text:
            made = {"kind": "escalation_set", "ladder": self._text, "prior": setting.seq}
            self._journal.append([{**made, "at": self._journal.utc()}])
        elif self._rungs:
            for case, rung in self._due(setting.since_ms):
                self._step(case, rung.step)

    def _reported_until(self, now_ms: int) -> int:
        """Return up to which deadline senders are told at once: those that do not climb."""
        with self._journal.current() as db:
            setting = queries.setting(db)
        return min(now_ms, max(setting.since_ms, now_ms - _NEW_MS))

    def _due(self, since_ms: int) -> list[tuple[Case, Rung]]:
        now_ms, first, most = self._journal.now_ms(), self._rungs[0], _AT_ONCE
        after_ms, found = max(since_ms, now_ms - _NEW_MS), list[tuple[Case, Rung]]()
        until_ms = now_ms - first.after_s * 1000
        with self._journal.current() as db:
            for before, rung in zip(self._rungs, self._rungs[1:], strict=False):
                gap_ms = (rung.after_s - before.after_s) * 1000
                cases = queries.at_step(db, before.step, since_ms, now_ms - gap_ms, most)
                found += [(case, rung) for case in cases]
            new = queries.new_messages(db, after_ms, until_ms, most)
            new += queries.new_actions(db, after_ms, until_ms, most)
            found += [(case, first) for case in new]
            for rung in self._rungs:
                if rung.step == HUMAN:
                    until = records.utc((now_ms - rung.after_s * 1000) / 1000)
                    cases = queries.new_asks(db, records.utc(after_ms / 1000), until, most)
                    found += [(case, rung) for case in cases]
        return found

    def _step(self, case: Case, step: str) -> None:
        """Take a step with what is late, unless it is not any more."""
        message: Message = json.loads(self._messages.get(case.message))
        late = self._late(case, message)
        about: Fields = {"kind": "escalated", "case": case.name, "subject": case.subject}
        about |= {"message": case.message, "number": case.number, "at": self._journal.utc()}
        names = [] if late is None else late.names
        is_message = case.subject == "message"
        if late is None or (is_message and not _climbs(message)):
            block: list[Fields] = [{**about, "step": END, "names": names, "told": [], "of": ""}]
            self._journal.append([*block, *(_settled(message, names) if is_message else ())])
            return
        told, skipped = self._told(step, late)
        made = {**about, "step": step, "names": names, "told": told, "of": late.auth}
        block = [{**made, **({"skipped": skipped} if skipped else {})}]
        if step == SENDER and is_message:
            block += _settled(message, names)
        elif told:
            block.append(self._notice(case, step, late, told))
        self._journal.append(block)

    # -- what is late ----------------------------------------------------------------------------

    def _late(self, case: Case, message: Message) -> _Late | None:
        """Return what of a case is late; None: nothing any more."""
        asker, auth = message["from"], message.get("auth", "")
        trust = lowest_trust("agent", message.get("trust"))
        proof = (asker, auth, bool(message.get("verified")), trust)
        if case.subject == "message":
            names = [] if "retracted" in message else self._tracking.unread_by(message)
            what = f"message {message['seq']} from {asker}"
            return _late(names, what, message["ack_by"], *proof, message["priority"])
        with self._journal.current() as db:
            if case.subject == "ask":
                names = _unanswered(db, message)
                what, since = f"question {message['seq']} from {asker}", message["ask"]["by"]
                return _late(names, what, since, *proof, message["priority"])
            row = actions.one(db, case.number)
        due = "" if row is None else f"action {row.number} {row.due_ms}"
        if row is None or not row.is_open or due != case.name or row.due_ms is None:
            return None
        if records.unix_ms(row.changed) > row.due_ms:
            return None
        what, since = f"action {row.number} from {asker}", records.utc(row.due_ms / 1000)
        names = [row.assignee or asker]
        return _late(names, what, since, *proof, "normal")

    # -- who is told -----------------------------------------------------------------------------

    def _told(self, step: str, late: _Late) -> tuple[list[str], str | None]:
        """Return who is told at a step, and why nobody is."""
        if step == SENDER:
            return [late.asker], None
        if step == HUMAN and not late.is_proven:
            return [], UNPROVEN
        names = list(dict.fromkeys(self._names(step, late)))
        if not names:
            return [], NOBODY
        steps = (HUMAN,) if step == HUMAN else (WAKE, CANDIDATES)
        most, within_ms = (MOST_TO_PEOPLE, DAY_MS) if step == HUMAN else (MOST_TOLD, HOUR_MS)
        now_ms = self._journal.now_ms()
        with self._journal.current() as db:
            used = queries.told(db, steps, now_ms - within_ms, auth=late.auth)
            names = [name for name in names if self._may_be_told(db, name, steps, late.auth)]
        told = names[: max(0, most - used)]
        return told, None if told else LIMIT

    def _may_be_told(
        self, db: sqlite3.Connection, name: str, steps: tuple[str, ...], auth: str
    ) -> bool:
        since_ms = self._journal.now_ms() - HOUR_MS
        return (
            queries.told(db, steps, since_ms, name=name) < MOST_TO_ONE
            and queries.told(db, steps, since_ms, name=name, auth=auth or None) < MOST_OF_ONE_TO_ONE
        )

    def _names(self, step: str, late: _Late) -> list[str]:
        if step == HUMAN:
            return list(self.people())
        if step == CANDIDATES:
            with self._journal.current() as db:
                return _candidates(db, late.names)
        # A session that is not there: its machine may have another one that reads.
        gone = [name for name in late.names if "/" in name and not self._is_there(name)]
        return [*late.names, *(name.partition("/")[0] for name in gone)]

    def _is_there(self, name: str) -> bool:
        return is_group(name) or self._agents.is_there(name)

    def _notice(self, case: Case, step: str, late: _Late, told: list[str]) -> Fields:
        """Return what is said at a step: names and times, and nothing of what is in the mail."""
        names = ", ".join(late.names[:8]) + (" and others" if len(late.names) > 8 else "")
        body = {
            WAKE: f"Still waiting for you since {late.since}: {late.what}.",
            CANDIDATES: (
                f"{names} has been late with {late.what} since {late.since}. You are a candidate"
                " for that role; its mail is its holder's."
            ),
            SENDER: f"Overdue since {late.since}: {late.what}, which {names} has.",
            HUMAN: f"Nobody has dealt with {late.what} since {late.since}. Late: {names}.",
        }[step]
        facts: Fields = {"subject": case.subject, "seq": case.message, "step": step}
        facts |= {"from": late.asker, "late": late.names[:8], "since": late.since}
        facts |= {"number": case.number} if case.number else {}
        is_loud = step in (WAKE, HUMAN)
        more = {"tags": ["escalation", step], "data": {"escalation": facts}, "trust": late.trust}
        more["priority"] = "urgent" if is_loud else "normal"
        return notice(f"escalate {case.name} {step}", told, body, **more)


def _late(
    names: list[str],
    what: str,
    since: str,
    asker: str,
    auth: str,
    is_proven: bool,
    trust: str,
    priority: str,
) -> _Late | None:
    if not names or (priority == "fyi" and what.startswith("question")):
        return None
    return _Late(names, what, since, asker, auth, is_proven, trust, priority)


def _climbs(message: Message) -> bool:
    """Return whether a message goes beyond its sender's report: not one that is for many, and not
    one that is of little weight.
    """
    names = recipients(message)
    return message["priority"] != "fyi" and EVERYBODY not in names and not any(map(is_topic, names))


def _settled(message: Message, late: list[str]) -> list[Fields]:
    """Return the report to the sender of a message, as without a ladder."""
    passed: Fields = {"kind": "deadline_passed", "message": message["seq"], "unread_by": late}
    return [passed, report(message, late)] if late else [passed]


def _candidates(db: sqlite3.Connection, names: list[str]) -> list[str]:
    """Return who else has claimed the roles among some names."""
    found: list[str] = []
    for name in filter(is_role, names):
        role = name.removeprefix(ROLE_PREFIX)
        known = roles.one(db, role)
        holder = None if known is None else known.holder
        found += [one for one in roles.candidates(db, role) if one != holder]
    return found


def _unanswered(db: sqlite3.Connection, message: Message) -> list[str]:
    """Return who has said nothing to a question that has expired; nobody, once its asker has
    acknowledged the report of that.
    """
    seq = message["seq"]
    rows = db.execute("SELECT seq FROM said WHERE ask = ? AND what = ?", (seq, EXPIRE)).fetchall()
    if any(acks.acked(db, notice, [message["from"]]) for (notice,) in rows):
        return []
    said = [*asks.said_to(db, seq, ANSWER, 64), *asks.said_to(db, seq, DECLINE, 64)]
    done = {name for one in said for name in one.get("for", ())}
    return [name for name in recipients(message) if name not in done]
