"""What becomes of a message after it was posted: its sender retracts it, learns that it is overdue,
and sees each step that it took.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence

from bus.errors import NotYourMessage
from bus.hub.acks import Acks
from bus.hub.drafting import is_own
from bus.hub.journal import Journal
from bus.hub.messages import Messages
from bus.hub.notices import notice
from bus.index import acks as acked_by
from bus.index import escalations, tracking
from bus.index import messages as queries
from bus.index.privacy import View
from bus.index.tracking import Deadline
from bus.live.presence import Presence
from bus.live.shown import Shown, ShownMail
from bus.model import records
from bus.model.acks import Receipt, Receipts
from bus.model.caller import Caller
from bus.model.escalation import SENDER
from bus.model.filter import recipients
from bus.model.groups import is_topic
from bus.model.hooks import CHANNEL
from bus.model.messages import Message
from bus.model.records import EVERYBODY, Fields
from bus.model.tracking import Late, OverdueQuery, Step

_TOLD = 64  # names in one report
_AT_ONCE = 10  # deadlines that one call of the chore looks at
_LOOKED_AT = 500  # deadlines that one question looks at


class Tracking:
    """The verbs of messages on their way."""

    def __init__(
        self,
        journal: Journal,
        messages: Messages,
        acks: Acks,
        presence: Presence,
        shown: ShownMail,
    ) -> None:
        self._journal, self._messages, self._acks = journal, messages, acks
        self._presence, self._shown = presence, shown
        # Up to which deadline senders are told now; a ladder of escalation tells the others.
        self.reported_until: Callable[[int], int] = lambda now_ms: now_ms

    # -- retracting ------------------------------------------------------------------------------

    def retract(
        self, caller: Caller, sender: str, ref: str | int
    ) -> tuple[Message, list[str], bool]:
        """Take back a message that `sender` has sent; return it, who had fetched it, and whether it
        was retracted before. Raises NotFound, NotYourMessage.

        Whoever has not acknowledged it no longer gets it; whoever fetched it is told.
        """
        message: Message = json.loads(self._messages.get(ref))
        if not is_own(caller, sender, message):
            raise NotYourMessage(f"{message['id']} is from {message['from']}.")
        fetched = self._presence.fetches(message["seq"], "", _TOLD)
        told = [name for name in fetched if name != message["from"]]
        if "retracted" in message:
            return message, told, True
        seq = message["seq"]
        by = {"auth": caller.name, "from": message["from"]}
        block: list[Fields] = [{"kind": "message_retracted", "message": seq, **by}]
        if told:
            body = f"{message['from']} retracted message {seq}. Do not act on it."
            about = {"tags": ["retracted"], **_answering(message)}
            block.append(notice(f"retracted {seq}", told, body, **about))
        self._journal.append(block)
        return json.loads(self._messages.get(seq)), told, False

    # -- deadlines -------------------------------------------------------------------------------

    def report_overdue(self) -> None:
        """Tell the senders of messages whose deadline has passed, once each: a chore."""
        until_ms = self.reported_until(self._journal.now_ms())
        with self._journal.current() as db:
            due = tracking.due(db, until_ms, _AT_ONCE)
        for deadline in due:
            message = json.loads(self._messages.get(deadline.seq))
            late = self.unread_by(message)
            passed = {"kind": "deadline_passed", "message": deadline.seq, "unread_by": late}
            block: list[Fields] = [passed]
            if late:
                block.append(report(message, late))
            self._journal.append(block)

    def overdue(self, asked: OverdueQuery, view: View | None) -> list[Late]:
        """Return the newest messages that should have been acknowledged and are not."""
        now_ms = self._journal.now_ms()

        def question(db: sqlite3.Connection) -> list[tuple[Deadline, str]]:
            found = []
            for deadline in tracking.passed(db, now_ms, asked.sender):
                text = queries.by_seq(db, deadline.seq)
                if text is not None and (
                    view is None or view.sees(db, deadline.seq, json.loads(text))
                ):
                    found.append((deadline, text))
                if len(found) == _LOOKED_AT:
                    break
            return found

        found: list[Late] = []
        for deadline, text in self._journal.index.ask(question):
            message: Message = json.loads(text)
            late = self.unread_by(message)
            if late and "retracted" not in message and asked.reader in (None, *late):
                found.append(_late(message, late, deadline))
            if len(found) == asked.limit:
                break
        return found

    def unread_by(self, message: Message) -> list[str]:
        """Return those of a message's readers who have not acknowledged it; at most 64."""
        names = recipients(message)
        if EVERYBODY not in names and not any(map(is_topic, names)):
            acked = self._journal.index.ask(
                lambda db: acked_by.acked(db, message["seq"], list(names))
            )
            return [name for name in names if name not in acked and name != message["from"]]
        receipts = self._acks.receipts(message["seq"])["receipts"]
        return [name for name, times in receipts.items() if times["acked"] is None][:_TOLD]

    # -- tracing ---------------------------------------------------------------------------------

    def trace(
        self, ref: str | int, after: str, limit: int
    ) -> tuple[Receipts, dict[str, list[Step]]]:
        """Return the receipts of a message, and for each name in them the steps in order."""
        receipts = self._acks.receipts(ref, after, limit)
        message: Message = json.loads(self._messages.get(receipts["seq"]))
        reported, climbed = self._journal.index.ask(
            lambda db: (
                tracking.reported(db, receipts["seq"]),
                escalations.of_message(db, receipts["seq"]),
            )
        )
        newer = message.get("superseded_by")
        newer_ts: str = "" if newer is None else json.loads(self._messages.get(newer))["ts"]
        steps, shown = {}, self._shown.of_message(receipts["seq"])
        proven = self._shown.in_context(receipts["seq"])
        for name, receipt in receipts["receipts"].items():
            found = _steps(message, receipt, self._journal.utc(), reported)
            if newer is not None:
                found.append({"step": "superseded", "time": newer_ts, "by": newer})
            found += [
                {"step": "escalated", "time": one.time, "by": _told(one)}
                for one in climbed
                if name in one.names and one.step != SENDER
            ]
            found += [
                {"step": _sent(one) or step, "time": records.utc(one.ms / 1000), "by": one.way}
                for step, ones in (("shown", shown), ("in_context", proven))
                for one in ones
                if one.name == name
            ]
            steps[name] = sorted(found, key=lambda step: step["time"])
        return receipts, steps


def _told(one: escalations.Told) -> str:
    """Return what was done at a step of the ladder."""
    return f"{one.step}: {', '.join(one.told) or f'nobody ({one.skipped})'}"


def _sent(one: Shown) -> str | None:
    """Return the step of what went out by a way that does not tell whether it arrived."""
    return "sent" if one.way == CHANNEL else None


def _steps(message: Message, receipt: Receipt, now: str, reported: str | None) -> list[Step]:
    """Return what happened to a message on its way to one reader."""
    found: list[Step] = [{"step": "queued", "time": receipt["queued"]}]
    if receipt["fetched"] is not None:
        found.append({"step": "fetched", "time": receipt["fetched"]})
    acked, deadline = receipt["acked"], message.get("ack_by")
    if acked is not None:
        found.append({"step": "acked", "time": acked})
    if deadline is not None and deadline <= now and (acked is None or acked > deadline):
        found.append({"step": "overdue", "time": deadline})
        if reported is not None and (acked is None or acked > reported):
            found.append({"step": "reported", "time": reported})
    if "retracted" in message:
        found.append({"step": "retracted", "time": message["retracted"]})
    return found


def report(message: Message, late: Sequence[str]) -> Fields:
    """Return the report of an overdue message to its sender."""
    names = ", ".join(late)
    body = (
        f"Not acknowledged by {message['ack_by']}: your message {message['seq']} to {names}."
        f" `bus trace {message['seq']}` shows how far it has come."
    )
    data = {"overdue": {"id": message["id"], "seq": message["seq"], "unread_by": list(late)}}
    about = {"tags": ["overdue"], **_answering(message), "data": data}
    return notice(f"overdue {message['seq']}", [message["from"]], body, **about)


def _answering(message: Message) -> Fields:
    return {"in_reply_to": message["id"], "thread": message.get("thread") or message["id"]}


def _late(message: Message, late: list[str], deadline: Deadline) -> Late:
    return {
        "id": message["id"],
        "seq": message["seq"],
        "ts": message["ts"],
        "from": message["from"],
        "to": message["to"],
        "ack_by": records.utc(deadline.ack_by_ms / 1000),
        "unread_by": late,
        "reported": deadline.reported,
    }
