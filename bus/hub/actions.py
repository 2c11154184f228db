"""Actions: who has one, how far it is, and who is told.

A change names the record before it, so of several that come at once, by whatever worker, one is
recorded and the others look again.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from typing import NamedTuple, cast

from bus.errors import ActionClaimed, ActionClosed, Busy, NoSuchAction, NotYourAction
from bus.hub.briefs import Briefs, PostedBrief
from bus.hub.drafting import Drafting, is_own
from bus.hub.journal import Journal
from bus.hub.messages import Messages
from bus.hub.standings import Standings
from bus.index import actions as queries
from bus.index import messages as texts
from bus.index import tenures
from bus.index.actions import Row, Wanted
from bus.index.mailboxes import of_reader
from bus.index.privacy import View
from bus.model.action_mark import CLOSED, UNDONE
from bus.model.actions import Action, ActionsQuery, Change, NewAction
from bus.model.brief_mark import AS_MESSAGE
from bus.model.briefs import Brief
from bus.model.caller import SHARED, Caller, Taken, lowest_trust
from bus.model.filter import recipients
from bus.model.groups import is_role
from bus.model.messages import Draft, Message
from bus.model.records import EVERYBODY, Fields, utc

_ATTEMPTS = 200  # each that fails means that somebody else has changed it
_LOOKED_AT, _HISTORY = 1_000, 100
_HIGHEST = 10**18
_UNKNOWN = "`near` has known names like it. Left out, nobody has the action yet."


class _Seen(NamedTuple):
    """An action, and the message that asks for it."""

    row: Row
    message: Message


Made = Callable[[sqlite3.Connection, _Seen], Fields]


class Actions:
    """The verbs of actions."""

    def __init__(
        self,
        journal: Journal,
        messages: Messages,
        drafting: Drafting,
        standings: Standings,
        briefs: Briefs,
    ) -> None:
        self._journal, self._messages, self._drafting = journal, messages, drafting
        self._standings, self._briefs = standings, briefs

    # -- making ----------------------------------------------------------------------------------

    def make(
        self, caller: Caller, given: NewAction, view: View | None, taken: Taken
    ) -> PostedBrief:
        """Post a brief that asks for one action.

        Raises UnknownRecipient, NotFound, and what posting raises.
        """
        if given.assignee is not None:
            self._standings.refuse_unknown([given.assignee], _UNKNOWN)
        to = given.to or ([] if given.assignee is None else [given.assignee])
        if given.assignee is not None and given.assignee not in to:
            to = [given.assignee, *to]
        thread = None
        if given.brief is not None:
            parent: Message = json.loads(self._messages.get(given.brief, view))
            thread = parent.get("thread") or parent["id"]
            others = dict.fromkeys([*recipients(parent), parent["from"]])
            to = to or [name for name in others if name != given.sender]
            to = [EVERYBODY] if EVERYBODY in to else to
        fields: Fields = {
            **{
                "from": given.sender,
                "action": given.title,
                "title": given.title,
                "body": given.body or given.title,
            },
            **({"to": to} if to else {}),
            **({} if thread is None else {"thread": thread}),
        }
        names = ("priority", "due", "client_id")
        fields |= {name: value for name, value in given.as_dict().items() if name in names}
        asked: Fields = {"title": given.title, "priority": given.priority or "normal"}
        asked |= {} if given.assignee is None else {"assignee": given.assignee}
        asked |= {} if given.due is None else {"due": given.due}
        return self._briefs.post(caller, Brief.read(fields), taken, {}, [asked])

    def of_brief(self, seq: int) -> list[Action]:
        """Return the actions of a brief that was just posted."""
        with self._journal.current() as db:
            found = queries.of_message(db, seq)
            message = self._message(db, seq)
            return [self._shown(_Seen(row, message)) for row in found]

    def tell_assignees(self, caller: Caller, seq: int) -> None:
        """Tell those who have an action of a brief that was not for them; each once."""
        with self._journal.current() as db:
            message = self._message(db, seq)
            rows = queries.of_message(db, seq)
        to = recipients(message)
        block = []
        for row in [] if EVERYBODY in to else rows:
            if row.last == seq and row.assignee not in (None, message["from"], *to):
                told = self._told(message["from"], str(row.assignee), row, _is_yours(row))
                told["client_id"] = f"action {row.number}"
                block.append(self._telling(caller, told, _Seen(row, message)))
        if block:
            self._journal.append_soon(block)

    # -- changing --------------------------------------------------------------------------------

    def change(
        self, caller: Caller, number: int, asked: Change, view: View | None
    ) -> tuple[Action, bool]:
        """Change an action; return it as it is then, and whether all of that was so before.

        Raises NoSuchAction, NotYourAction, UnknownRecipient.
        """
        if asked.assignee:
            self._standings.refuse_unknown([asked.assignee], _UNKNOWN)
        wanted = asked.wanted()

        def changes(db: sqlite3.Connection, seen: _Seen) -> Fields:
            self._refuse_others(db, caller, asked.sender, seen)
            made = dict(wanted)
            if made.get("status", seen.row.status) != "waiting" and seen.row.waiting_on:
                made["waiting_on"] = None
            now = seen.row._asdict()
            return {name: value for name, value in made.items() if now[name] != value}

        return self._record(caller, asked.sender, number, view, changes, asked.note)

    def claim(
        self, caller: Caller, number: int, name: str, view: View | None
    ) -> tuple[Action, bool]:
        """Give an action that nobody has to who asks first; return as `change` does.

        A role's action is its holder's to claim, a machine's that of any of its sessions. Raises
        NoSuchAction, ActionClaimed, ActionClosed.
        """

        def changes(db: sqlite3.Connection, seen: _Seen) -> Fields:
            row = seen.row
            if not row.is_open:
                raise ActionClosed(f"The action {number} is {row.status}.", status=row.status)
            if row.assignee == name:
                return {}
            if row.assignee is not None and row.assignee not in _boxes(db, name):
                raise ActionClaimed(
                    f"{row.assignee} has the action {number} since {row.assigned}.",
                    holder=row.assignee,
                    since=row.assigned,
                )
            status = {"status": "wip"} if row.status == "open" else {}
            return {"assignee": name, **status}

        return self._record(caller, name, number, view, changes, None)

    def _record(
        self,
        caller: Caller,
        sender: str,
        number: int,
        view: View | None,
        changes: Made,
        note: str | None,
    ) -> tuple[Action, bool]:
        for _ in range(_ATTEMPTS):
            with self._journal.current() as db:
                seen = self._seen(db, number, view)
                made = changes(db, seen)
                if not made and note is None:
                    return self._shown(seen, queries.history(db, number, _HISTORY)), True
                draft = self._draft(db, caller, sender, seen, made, note)
            appended = self._journal.append([draft])[0]
            if appended.replayed:
                continue
            with self._journal.current() as db:
                now = self._seen(db, number, None)
                said = queries.history(db, number, _HISTORY)
                counts = queries.counts(db, number, appended.record["seq"])
            if counts:
                return self._shown(now, said), False
        raise Busy("Others change this action all the time.")

    def _draft(
        self,
        db: sqlite3.Connection,
        caller: Caller,
        sender: str,
        seen: _Seen,
        made: Fields,
        note: str | None,
    ) -> Fields:
        """Return the record of a change: a message, if somebody is to be told of it."""
        row, message = seen
        mark: Fields = {"message": row.message, "at": row.at, "set": made}
        mark |= {} if note is None else {"note": note}
        names, says = [], []
        assignee, status = made.get("assignee"), made.get("status")
        if assignee is not None and assignee != sender:
            names.append(assignee)
            says.append(_is_yours(row))
        asker = message["from"]
        machine = asker.partition("/")[0]
        if status in CLOSED and asker != sender and tenures.tenure(db, machine) <= row.message:
            names.append(asker)
            says.append(f"Action {row.number} is {status}: {row.title}")
        if not names:
            about = {"from": sender, "auth": caller.name, "prior": row.last}
            return {"kind": "action_changed", **about, **mark}
        says += [] if note is None else [note]
        told = self._told(sender, list(dict.fromkeys(names)), row, "\n".join(says))
        draft = self._telling(caller, told, seen)
        return {**draft, "action": {"number": row.number, **mark}, "prior": row.last}

    def _telling(self, caller: Caller, told: Fields, seen: _Seen) -> Fields:
        """Return the record of a message that tells of an action. It repeats the title, so it may
        be taken for no more than whoever wrote that.
        """
        row, message = seen
        draft = self._drafting.record(caller, Draft.read(told), self._messages.get)
        author = row.titled_by or message["from"]
        if author != told["from"]:
            wrote = SHARED if row.titled_by else message.get("trust")
            draft["trust"] = lowest_trust(draft["trust"], wrote)
        return draft

    def _told(self, sender: str, to: str | list[str], row: Row, body: str) -> Fields:
        about = {"from": sender, "to": to, "body": body, "thread": row.thread, "tags": ["action"]}
        return {**about, "priority": AS_MESSAGE.get(row.priority, row.priority)}

    def _refuse_others(
        self, db: sqlite3.Connection, caller: Caller, sender: str, seen: _Seen
    ) -> None:
        """Raise NotYourAction unless it is an admin, the one who asked, or the one who has it."""
        row, message = seen
        has_asked = is_own(caller, sender, message)
        if caller.is_admin or (has_asked and tenures.tenure(db, caller.name) <= row.message):
            return
        assignee = row.assignee
        if assignee is not None:
            is_its_own = caller.is_verified and caller.is_me(assignee)
            if is_its_own or assignee in _boxes(db, sender):
                return
        raise NotYourAction(
            f"{assignee or 'Nobody'} has the action {row.number}, and {message['from']} asked it.",
            hint=None if assignee else f"Claim it first: POST /actions/{row.number}/claim.",
            holder=assignee,
        )

    # -- looking ---------------------------------------------------------------------------------

    def get(self, number: int, view: View | None) -> Action:
        """Return one action with its history; raises NoSuchAction."""
        with self._journal.current() as db:
            seen = self._seen(db, number, view)
            return self._shown(seen, queries.history(db, number, _HISTORY))

    def all(self, asked: ActionsQuery, view: View | None) -> tuple[list[Action], int]:
        """Return the newest actions, and the number before which there are more (0: none)."""
        now_ms = self._journal.now_ms()

        def question(db: sqlite3.Connection) -> tuple[list[Action], int]:
            found: list[Action] = []
            at = asked.before or _HIGHEST
            for count, row in enumerate(queries.newest(db, _wanted(db, asked, now_ms), at)):
                if len(found) == asked.limit or count == _LOOKED_AT:
                    return found, at
                at = row.number
                message = texts.ends(db, row.message)
                is_wanted = asked.asked_by in (None, message["from"])
                if is_wanted and sees(db, view, row.message, row.assignee, message):
                    found.append(shown(row, message, now_ms))
            return found, 0

        return self._journal.index.ask(question)

    def _seen(self, db: sqlite3.Connection, number: int, view: View | None) -> _Seen:
        row = queries.one(db, number)
        if row is not None:
            message = self._message(db, row.message)
            if sees(db, view, row.message, row.assignee, message):
                return _Seen(row, message)
        raise NoSuchAction(f"There is no action {number}.")

    def _message(self, db: sqlite3.Connection, seq: int) -> Message:
        found: Message = json.loads(str(texts.by_seq(db, seq)))
        return found

    def _shown(self, seen: _Seen, history: list[Fields] | None = None) -> Action:
        return shown(*seen, self._journal.now_ms(), history)


def shown(row: Row, message: Message, now_ms: int, history: list[Fields] | None = None) -> Action:
    """Return an action of a message as callers see it."""
    is_late = row.is_open and row.due_ms is not None and row.due_ms <= now_ms
    return cast(
        Action,
        {
            **{"number": row.number, "title": row.title, "status": row.status},
            **{"priority": row.priority, "assignee": row.assignee},
            **{"asked_by": message["from"], "brief": message["id"], "thread": row.thread},
            **({} if row.due is None else {"due": row.due}),
            **({"overdue": True} if is_late else {}),
            **({} if row.waiting_on is None else {"waiting_on": row.waiting_on}),
            **{"made": row.made, "changed": row.changed},
            **({} if history is None else {"history": history}),
        },
    )


def _wanted(db: sqlite3.Connection, asked: ActionsQuery, now_ms: int) -> Wanted:
    names = None
    if asked.assignee is not None:
        names = (asked.assignee,) if is_role(asked.assignee) else _boxes(db, asked.assignee)
    stale_ms = None if asked.stale_h is None else asked.stale_h * 3_600_000
    return Wanted(
        asked.status or UNDONE,
        names,
        bool(asked.unassigned),
        asked.priority,
        now_ms if asked.overdue else None,
        None if stale_ms is None else utc((now_ms - stale_ms) / 1000),
        asked.thread,
    )


def _boxes(db: sqlite3.Connection, name: str) -> tuple[str, ...]:
    """Return under which names and roles somebody has actions."""
    return of_reader(db, name, "/" in name).names


def sees(
    db: sqlite3.Connection, view: View | None, seq: int, assignee: str | None, message: Message
) -> bool:
    """Return whether somebody may see an action: its brief (its seq, and the message), or that it
    is theirs.
    """
    if view is None or view.sees(db, seq, message):
        return True
    return assignee is not None and has(db, view, assignee)


def has(db: sqlite3.Connection, view: View, name: str) -> bool:
    """Return whether a name is the caller's, or a role that the caller has."""
    return view.holds(db, name) if is_role(name) else view.is_mine(name)


def _is_yours(row: Row) -> str:
    facts = [] if row.priority == "normal" else [row.priority]
    facts += [] if row.due is None else [f"due {row.due}"]
    more = f" ({', '.join(facts)})" if facts else ""
    return f"Action {row.number} is yours: {row.title}{more}"
