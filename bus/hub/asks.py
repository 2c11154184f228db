"""Asks: a question is put to some, answered once, and never forgotten.

A question is a message, and so is each word to it. A word names the word before it, so of several
that come at once, by whatever worker, one is recorded and the others look again.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any, NamedTuple, cast

from bus.errors import AskAnswered, AskClosed, BadField, Busy, NoSuchAsk, NotAsked, NotYourMessage
from bus.hub.acks import Acks
from bus.hub.ask_quota import refuse_too_many
from bus.hub.drafting import Drafting, is_own
from bus.hub.journal import Journal
from bus.hub.messages import Messages, Posted
from bus.hub.notices import notice
from bus.index import asks as queries
from bus.index import messages as texts
from bus.index import roles, tenures
from bus.index.asks import Row
from bus.index.mailboxes import of_reader
from bus.index.privacy import View
from bus.live.waiting import remaining
from bus.model import records
from bus.model.asked import ANSWER, DECLINE, DEFAULT, EXPIRE, WITHDRAW
from bus.model.asks import Answering, Ask, AsksQuery, Question
from bus.model.caller import Caller
from bus.model.checks import MAX_SEQ, shown
from bus.model.groups import ROLE_PREFIX, is_role
from bus.model.messages import Draft, Message
from bus.model.records import HUB, Fields, Record

_ATTEMPTS = 200  # each that fails means that somebody else has said something
_NAMES = 64  # in one answer
_AT_ONCE = 10  # asks that one call of the chore looks at
_OWED = 200  # asks that a count looks at
_LOOKED_AT = 1_000  # asks that one page looks at
_TERMS = ("options", "need", "by", "default")
_FACTS = ("name", "option", "text", "reason", "time", "id")


class SaidTo(NamedTuple):
    """What somebody waits for who has asked; see `bus.live.waiting`."""

    id: str
    seq: int
    kind: str = "message"
    mailbox: None = None
    also: tuple[str, ...] = ("message_retracted",)

    def matches(self, record: Record) -> bool:
        """Return whether this record says something to the ask, or takes it back."""
        if record["kind"] == "message_retracted":
            return bool(record["message"] == self.seq)
        return bool(record.get("answer", {}).get("ask") == self.id)


class Asks:
    """The verbs of asks."""

    def __init__(
        self,
        journal: Journal,
        messages: Messages,
        drafting: Drafting,
        acks: Acks,
        max_open: int = 100,
    ) -> None:
        self._journal, self._messages = journal, messages
        self._drafting, self._acks, self._max_open = drafting, acks, max_open

    # -- asking ----------------------------------------------------------------------------------

    def ask(self, caller: Caller, question: Question) -> Posted:
        """Post a question; raises OverQuota where too many of the caller's are open, and as
        `Messages.post` does.
        """
        refuse_too_many(self._journal, caller, question, self._max_open)
        return self._messages.post(caller, question.draft(), question.terms())

    def withdraw(self, caller: Caller, sender: str, ref: str | int) -> Ask:
        """Take a question back that `sender` has asked; whoever was asked is told.

        Raises NotFound, NoSuchAsk, NotYourMessage, AskAnswered, AskClosed.
        """
        message = self._message(ref, None)
        if not is_own(caller, sender, message):
            raise NotYourMessage(f"{message['id']} is from {message['from']}.")

        def word(db: sqlite3.Connection, ask: Row) -> Fields | None:
            if _is_anothers(db, caller, ask):
                raise NotYourMessage(f"{message['id']} is from who had your name before.")
            if ask.state == "withdrawn":
                return None
            self._refuse_closed(db, ask, message)
            body = f"The question {ask.seq} is withdrawn: nobody has to answer it."
            said = {"from": sender, "to": message["to"], "body": body}
            return {**said, "priority": "fyi", "tags": ["ask"], "answer": {"what": WITHDRAW}}

        self._say(caller, message, word)
        return self.get(message["seq"])

    # -- answering -------------------------------------------------------------------------------

    def answer(self, caller: Caller, given: Answering, ref: str | int) -> tuple[Ask, bool]:
        """Record an answer; return the ask as it is then, and whether that was said before.

        Raises NotFound, NoSuchAsk, NotAsked, BadField, AskAnswered, AskClosed.
        """
        message = self._message(ref, None)
        options = message["ask"].get("options")
        said = {name: value for name, value in given.as_dict().items() if name != "from"}
        if options is not None and given.option not in options:
            raise BadField(
                f"`option` is {shown(given.option)}.",
                hint=f"One of {', '.join(options)}.",
                field="option",
                options=options,
            )
        if options is None and given.option is not None:
            raise BadField("There are no options.", hint="Give `text`.", field="option")
        body = "\n".join(said[name] for name in ("option", "text") if name in said)
        return self._word(caller, given.sender, ref, message, {"what": ANSWER, **said}, body)

    def decline(self, caller: Caller, name: str, reason: str, ref: str | int) -> tuple[Ask, bool]:
        """Record that a name will not answer; otherwise as `answer`."""
        said = {"what": DECLINE, "reason": reason}
        return self._word(caller, name, ref, self._message(ref, None), said, f"Declined: {reason}")

    def _word(
        self, caller: Caller, name: str, ref: str | int, message: Message, said: Fields, body: str
    ) -> tuple[Ask, bool]:
        def word(db: sqlite3.Connection, ask: Row) -> Fields | None:
            asked = self._asked(db, caller, name, ask)
            is_new = all(asked.values())
            mine = None if is_new else queries.said_for(db, ask.seq, asked)
            if mine is not None:
                if mine["name"] == name and said.items() <= mine.items():
                    return None
                raise AskAnswered(
                    f"{mine['name']} has said something to {ask.seq} already.",
                    first=_fact(mine),
                    state=self._state(ask),
                )
            self._refuse_closed(db, ask, message)
            answer = {**said, "for": list(asked)}
            return {"from": name, "to": ask.sender, "body": body, "answer": answer}

        is_new = self._say(caller, message, word)
        if is_new:  # whoever has said its word is done with the question
            self._acks.ack(caller, name, [ref], with_machine="/" in name)
        return self.get(message["seq"]), not is_new

    def _asked(
        self, db: sqlite3.Connection, caller: Caller, name: str, ask: Row
    ) -> dict[str, bool]:
        """Return the recipients of an ask that a name answers for, and whether each has yet to
        answer; raises NotAsked.
        """
        found = queries.asked_of(db, ask.seq, of_reader(db, name, "/" in name).names)
        if _is_anothers(db, caller, ask):
            found = {recipient: found[recipient] for recipient in found if is_role(recipient)}
        if not found:
            raise NotAsked(f"{ask.seq} does not ask {name}.")
        return found

    def _refuse_closed(self, db: sqlite3.Connection, ask: Row, message: Message) -> None:
        state = self._state(ask)
        if state == "answered":
            answers = self._answers(db, ask, message)
            raise AskAnswered(
                f"{ask.seq} is answered already, by {answers[0]['name']}.",
                first=answers[0],
                answers=answers,
                state=state,
            )
        if state != "open":
            raise AskClosed(f"{ask.seq} is {state}.", state=state)

    def _say(
        self,
        caller: Caller,
        message: Message,
        word: Callable[[sqlite3.Connection, Row], Fields | None],
    ) -> bool:
        """Record a word to an ask: what `word` makes of the ask as it is now. Return False if it
        makes None.
        """
        for _ in range(_ATTEMPTS):
            with self._journal.current() as db:
                ask = queries.one(db, message["seq"])
                made = None if ask is None else word(db, ask)
            if ask is None or made is None:
                return False
            answer = {"ask": ask.id, **made.pop("answer")}
            about = {"in_reply_to": ask.id, "priority": message["priority"], "tags": ["answer"]}
            draft = self._drafting.record(caller, Draft.read({**about, **made}), self._messages.get)
            appended = self._journal.append([{**draft, "answer": answer, "prior": ask.last}])[0]
            if not appended.replayed:
                self._refuse_crossed(appended.record, ask)
                return True
        raise Busy("Others say something to this ask all the time.")

    def _refuse_crossed(self, record: Record, ask: Row) -> None:
        """Raise AskClosed if a word was recorded after all that closed the ask another way."""
        with self._journal.current() as db:
            now = queries.one(db, ask.seq)
        if now is not None and now.last != record["seq"] and now.last < record["seq"]:
            raise AskClosed(f"{ask.seq} was {now.state} just before.", state=now.state)

    # -- when its time is over -------------------------------------------------------------------

    def close_due(self) -> None:
        """Close the asks whose time is over, some at a time: a chore.

        The default is the answer then. Without one, the asker is told, and of a role that was asked
        its other candidates, unless the question is fyi.
        """
        with self._journal.current() as db:
            due = queries.due(db, self._journal.now_ms(), _AT_ONCE)
            told = {ask.seq: self._candidates(db, ask.seq) for ask in due}
        for ask in due:
            message: Message = json.loads(self._messages.get(ask.seq))
            is_fyi = message["priority"] == "fyi"
            by, default = message["ask"].get("by"), message["ask"].get("default")
            body = f"Not answered by {by}: the question {ask.seq} of {ask.sender}."
            names = [ask.sender, *([] if is_fyi else told[ask.seq])]
            answer: Fields = {"ask": ask.id, "what": EXPIRE}
            if default is not None:
                body = f"Your question {ask.seq} is not answered. Its default counts: {default}"
                names, said = [ask.sender], _default(message)
                answer = {"ask": ask.id, "what": DEFAULT, **said}
            more: Fields = {"in_reply_to": ask.id, "thread": message.get("thread") or ask.id}
            more |= {"tags": ["ask"], "answer": answer, "prior": ask.last}
            if is_fyi:  # what the hub says must not weigh more than what it speaks of
                more["priority"] = "fyi"
            self._journal.append([notice(f"ask {ask.seq}", names, body, **more)])

    def _candidates(self, db: sqlite3.Connection, seq: int) -> list[str]:
        """Return who else has claimed the roles that an ask was put to and that have not said
        anything to it.
        """
        names = [name for name in queries.waiting_for(db, seq, _NAMES) if is_role(name)]
        found: list[str] = []
        for name in names:
            role = roles.one(db, name.removeprefix(ROLE_PREFIX))
            others = roles.candidates(db, name.removeprefix(ROLE_PREFIX))
            found += [one for one in others if role is None or one != role.holder]
        return found

    # -- looking ---------------------------------------------------------------------------------

    def get(self, ref: str | int, view: View | None = None) -> Ask:
        """Return one ask; raises NotFound and NoSuchAsk."""
        message = self._message(ref, view)
        with self._journal.current() as db:
            ask = queries.one(db, message["seq"])
            assert ask is not None
            return self._shown(db, ask, message)

    def wait(
        self,
        ref: str | int,
        view: View | None,
        wait_s: float,
        check: Callable[[], None] = lambda: None,
    ) -> Ask:
        """Return one ask once it is closed, or as it is when the time is over.

        `check` runs before each look after the first; what it raises ends the wait.
        """
        found = self.get(ref, view)
        if wait_s <= 0 or found["state"] != "open":
            return found
        deadline = time.monotonic() + wait_s
        with self._journal.waiting.enter(SaidTo(found["id"], found["seq"])) as waiter:
            found = self.get(ref, view)
            while found["state"] == "open":
                left_s = remaining(deadline)
                open_s = left_s
                if "by" in found:
                    open_s = records.unix_ms(found["by"]) / 1000 - self._journal.time()
                is_woken = waiter.wait(max(0.001, min(left_s, open_s)))
                if not is_woken and (waiter.is_over() or left_s <= 0):
                    break
                check()
                found = self.get(ref, view)
        return found

    def all(self, asked: AsksQuery, before: int | None, view: View | None) -> tuple[list[Ask], int]:
        """Return the newest asks, and the seq before which there are more (0: there are none)."""
        found: list[Ask] = []
        with self._journal.current() as db:
            at = before or MAX_SEQ
            for count, ask in enumerate(self._rows(db, asked, at)):
                if len(found) == asked.limit or count == _LOOKED_AT:
                    return found, at
                at = ask.seq
                if asked.asked_by not in (None, ask.sender):
                    continue
                if asked.state not in (None, self._state(ask)):
                    continue
                message: Message = json.loads(str(texts.by_seq(db, ask.seq)))
                if view is None or view.sees(db, ask.seq, message):
                    found.append(self._shown(db, ask, message))
        return found, 0

    def _rows(self, db: sqlite3.Connection, asked: AsksQuery, before: int) -> Iterable[Row]:
        if asked.owed_by is None:
            return queries.newest(db, before, asked.asked_by)
        return self._owed(db, asked.owed_by, before, asked.machine == 1)

    def _owed(
        self, db: sqlite3.Connection, name: str, before: int, with_machine: bool = False
    ) -> Iterable[Row]:
        """Yield the asks that a name has yet to answer, newest first; none of who had it before."""
        boxes = of_reader(db, name, with_machine).names
        since = tenures.tenure(db, name.partition("/")[0])
        by_role = [box for box in boxes if is_role(box)]
        for ask in queries.owed_by(db, boxes, before, self._journal.now_ms()):
            if ask.seq > since or queries.asked_of(db, ask.seq, by_role):
                yield ask

    def owed_count(self, name: str, with_machine: bool) -> int:
        """Return how many those are, counted up to a limit."""
        with self._journal.index.reading() as db:
            rows = islice(self._owed(db, name, MAX_SEQ, with_machine), _OWED)
            return sum(1 for _ in rows)

    def _message(self, ref: str | int, view: View | None) -> Message:
        message: Message = json.loads(self._messages.get(ref, view))
        if "ask" not in message:
            raise NoSuchAsk(f"The message {message['seq']} asks nothing.")
        return message

    def _is_due(self, ask: Row) -> bool:
        """Return whether the time of an ask is over, and the chore has not said so yet."""
        has_end = ask.state == "open" and ask.by_ms is not None
        return has_end and int(ask.by_ms or 0) <= self._journal.now_ms()

    def _state(self, ask: Row) -> str:
        if not self._is_due(ask):
            return ask.state
        return "answered" if ask.has_default else "expired"

    def _answers(self, db: sqlite3.Connection, ask: Row, message: Message) -> list[Fields]:
        """Return the answers to an ask, the default behind them if it counts."""
        answers = [_fact(said) for said in queries.said_to(db, ask.seq, ANSWER, _NAMES)]
        defaults = [_fact(said) for said in queries.said_to(db, ask.seq, DEFAULT, 1)]
        if self._is_due(ask) and ask.has_default:
            defaults = [{"name": HUB, **_default(message), "time": message["ask"]["by"]}]
        return answers + [{**said, "default": True} for said in defaults]

    def _shown(self, db: sqlite3.Connection, ask: Row, message: Message) -> Ask:
        terms: Mapping[str, Any] = message["ask"]
        declined = [_fact(said) for said in queries.said_to(db, ask.seq, DECLINE, _NAMES)]
        names = ("id", "seq", "ts", "from", "to", "thread", "trust")
        about = {name: value for name, value in message.items() if name in names}
        closed = {} if ask.closed is None else {"closed": ask.closed}
        is_open = self._state(ask) == "open"
        return cast(
            Ask,
            {
                **about,
                "question": message["body"],
                "state": self._state(ask),
                **{name: terms[name] for name in _TERMS if name in terms},
                "answers": self._answers(db, ask, message),
                "declined": declined,
                "waiting_for": queries.waiting_for(db, ask.seq, _NAMES) if is_open else [],
                "waiting": queries.open_count(db, ask.seq) if is_open else 0,
                **closed,
            },
        )


def _is_anothers(db: sqlite3.Connection, caller: Caller, ask: Row) -> bool:
    """Return whether somebody else had the caller's name when an ask was recorded."""
    return tenures.tenure(db, caller.name) > ask.seq


def _default(message: Message) -> Fields:
    """Return the default of an ask, as an answer has it."""
    default = message["ask"]["default"]
    return {"option" if default in message["ask"].get("options", ()) else "text": default}


def _fact(said: Mapping[str, Any]) -> Fields:
    return {name: said[name] for name in _FACTS if name in said}
