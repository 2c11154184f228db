"""From a checked post to the record that is to be: what it refers to is looked up, times are
worked out, and a loop of replies is stopped.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bus.errors import LoopGuard, NotFound, NotYourMessage, UnknownReply
from bus.hub import idempotency
from bus.hub.journal import Journal
from bus.hub.notices import notice
from bus.hub.standings import Standings
from bus.index import messages as queries
from bus.model import records
from bus.model.attached import Attachment
from bus.model.attachments import said_of
from bus.model.caller import Caller, lowest_trust
from bus.model.filter import recipients
from bus.model.messages import Draft, Message, digest
from bus.model.records import Fields

_LOOP_MS = 10 * 60_000

Get = Callable[[str | int], str]


class Drafting:
    """Makes records of posts. `strict` refuses unknown recipients where a post does not say;
    `loop_limit` is the most replies to each other within ten minutes (0: no limit).
    """

    def __init__(
        self, journal: Journal, standings: Standings, *, strict: bool, loop_limit: int
    ) -> None:
        self._journal, self._standings = journal, standings
        self._strict, self._loop_limit = strict, loop_limit
        # Who is told of a loop; whoever joins the parts says it.
        self.admins: Callable[[], Sequence[str]] = lambda: ()

    def record(
        self,
        caller: Caller,
        message: Draft,
        get: Get,
        ask: Mapping[str, Any] | None = None,
        brief: Mapping[str, Any] | None = None,
        files: Sequence[Attachment] = (),
    ) -> Fields:
        """Return the record to be. `get` returns a message by its id or seq; `ask` are the terms of
        a message that asks, `brief` what one says that is a brief, `files` come with it.

        Raises KeyReused, UnknownReply, UnknownRecipient, NotFound (of a message to be passed on),
        NotYourMessage, LoopGuard.
        """
        if message.strict or (message.strict is None and self._strict):
            self._standings.refuse_unknown(recipients({"to": message.to}))
        said = message.content() if ask is None else {**message.content(), "ask": dict(ask)}
        proved = {"auth": caller.name, "verified": caller.is_verified, "trust": caller.trust}
        draft = {"kind": "message", **proved, **said}
        if message.client_id is not None:
            # What is to be done is read from the brief itself, and from who is known by then.
            front: Fields = {} if brief is None else {"brief": {**brief, "actions": []}}
            front |= {"attachments": said_of(files)} if files else {}
            draft |= idempotency.stamp(caller, message.client_id, digest({**said, **front}))
        if brief is not None:
            draft["brief"] = dict(brief)
        if files:
            draft["attachments"] = list(files)
        if message.in_reply_to is not None:
            parent = _referred(get, message.in_reply_to, "in_reply_to")
            draft["in_reply_to"] = parent["id"]
            draft.setdefault("thread", parent.get("thread") or parent["id"])
            draft["hops"] = parent.get("hops", 0) + 1
            if self._loop_limit and draft["hops"] > self._loop_limit:
                self._stop_loop(draft, parent)
        if message.supersedes is not None:
            older = _referred(get, message.supersedes, "supersedes")
            if not is_own(caller, message.sender, older):
                raise NotYourMessage(f"{older['id']} is from {older['from']}.", field="supersedes")
            draft["supersedes"] = older["id"]
        if message.forward is not None:
            original: Message = json.loads(get(message.forward))
            facts = {name: original.get(name) for name in ("id", "seq", "from", "trust")}
            draft["forwarded"] = {name: fact for name, fact in facts.items() if fact is not None}
            draft["trust"] = lowest_trust(caller.trust, original.get("trust"))
            del draft["forward"]
        if message.ack_by is not None:
            draft["ack_by"] = self._deadline(message.ack_by)
        if ask is not None:
            by = {"by": self._deadline(ask["by"])} if "by" in ask else {}
            draft["ask"] = {"state": "open", **ask, **by}
        if message.expires_in_s is not None:
            draft["expires"] = self._journal.utc(draft.pop("expires_in_s"))
        return draft

    def _deadline(self, ack_by: float | str) -> str:
        return ack_by if isinstance(ack_by, str) else self._journal.utc(ack_by)

    def _stop_loop(self, draft: Fields, parent: Message) -> None:
        """Raise LoopGuard if the last replies above this one came fast, and only from agents that
        answer each other; admins are told, once for each thread.
        """
        chain = [parent]
        with self._journal.index.as_is() as db:
            while len(chain) < self._loop_limit and "in_reply_to" in chain[-1]:
                seq = queries.seq_of_id(db, chain[-1]["in_reply_to"])
                text = None if seq is None else queries.by_seq(db, seq)
                if text is None:
                    return
                chain.append(json.loads(text))
        senders = Counter(message["from"] for message in chain)
        is_fast = self._journal.now_ms() - records.unix_ms(chain[-1]["ts"]) < _LOOP_MS
        # Who has said nothing in it yet is in no loop: a long chain of others stops nobody.
        is_new = draft["from"] not in senders
        if not is_fast or is_new or min(senders.values()) < 2 or _has_human(chain):
            return
        who = ", ".join(sorted(senders))
        if admins := self.admins():
            body = (
                f"{who} have sent each other {self._loop_limit} replies within ten minutes, in the"
                f" thread {draft['thread']}. Further ones are refused for now."
            )
            key = f"loop {draft['thread']}"
            self._journal.append_soon(
                [notice(key, admins, body, thread=draft["thread"], tags=["loop"])]
            )
        raise LoopGuard(
            f"{who} have answered each other {self._loop_limit} times within ten minutes.",
            thread=draft["thread"],
            agents=sorted(senders),
        )


def is_own(caller: Caller, sender: str, older: Message) -> bool:
    """Return whether a message is the caller's to take back: its credential sent it, and, where
    that proves no name, under the same name. What was sent by whoever had the name before is not.

    Raises Rebuilding while it is not known who had it.
    """
    since = caller.stamp().get("tenure", 0)
    is_by_it = older.get("auth") == caller.name and older["seq"] >= since
    return is_by_it and (caller.is_verified or older["from"] == sender)


def _has_human(chain: Sequence[Message]) -> bool:
    return any(message.get("trust") == "human" for message in chain)


def _referred(get: Get, ref: str | int, field: str) -> Message:
    try:
        found: Message = json.loads(get(ref))
    except NotFound as error:
        raise UnknownReply(f"`{field}` is {ref}: there is no such message.", field=field) from error
    return found
