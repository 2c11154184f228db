"""The routes of claude-peers and agentmesh, each a verb or two of the hub."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from bus.errors import (
    BusError,
    Busy,
    Forbidden,
    NoSuchAgent,
    Unauthorized,
    UnknownRecipient,
)
from bus.hub.hub import Hub
from bus.index.messages import Page
from bus.model import peers as forms
from bus.model.agents import Agent, normalised_repo
from bus.model.filter import Selection, recipients
from bus.model.groups import TOPIC_PREFIX
from bus.model.messages import Draft
from bus.model.peers import CLI
from bus.model.records import EVERYBODY
from bus.model.strict_json import load_object
from bus.peers import places
from bus.peers.proof import Visitor
from bus.peers.roll import Peer, Roll
from bus.version import __version__

logger = logging.getLogger("bus.peers")

_AT_ONCE = 100  # messages of one answer
_EMPTY_FOR_S = 5.0  # a mailbox that was empty is looked into again, however quiet the log is
_COUNTED_FOR_S = 2.0
_PATIENCE_S = 10.0  # for another poll of the same peer, which is still being written
_REMEMBERED = 20_000

Settle = Callable[[bool], None]


class Answer(NamedTuple):
    """What is answered. `settle` is told afterwards whether it was written without an error."""

    status: int
    body: Any
    settle: Settle = lambda is_written: None


OK = Answer(200, {"ok": True})


class Desk:
    """Answers calls. For any thread."""

    def __init__(self, hub: Hub, roll: Roll) -> None:
        self._hub, self._roll = hub, roll
        self._empty: dict[str, tuple[int, float]] = {}
        self._owed: dict[str, Mapping[str, list[int]]] = {}
        self._polling: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._counted = (0, -1, 0.0)
        self._routes: dict[str, Callable[[Visitor, dict[str, Any]], Answer]] = {
            "/register": self._register,
            "/heartbeat": self._heartbeat,
            "/set-summary": self._set_summary,
            "/list-peers": self._list_peers,
            "/send-message": self._send_message,
            "/broadcast": self._broadcast,
            "/subscribe": self._subscribe,
            "/unsubscribe": self._unsubscribe,
            "/poll-messages": self._poll_messages,
            "/peek-messages": self._peek_messages,
            "/ack-messages": self._ack_messages,
            "/unregister": self._unregister,
        }

    def is_route(self, path: str) -> bool:
        """Return whether something is posted to this path."""
        return path in self._routes

    def answer(self, visitor: Visitor, path: str, data: bytes) -> Answer:
        """Answer a POST to a route."""
        try:
            return self._routes[path](visitor, load_object(data))
        except (Unauthorized, Forbidden) as error:
            return refusal(error)
        except BusError as error:
            is_told = path in ("/send-message", "/broadcast")
            return refusal(error, 200 if is_told else error.status)

    def health(self) -> dict[str, Any]:
        """Return what GET /health answers: clients start a broker of their own without an answer,
        so there is one even while the index is being made.
        """
        count, known_to, at = self._counted
        seq = self._hub.log.position().seq
        if seq != known_to or time.monotonic() - at >= _COUNTED_FOR_S:
            with suppress(BusError):
                count = sum("transport" in agent for agent in self._roll.everybody())
            self._counted = (count, seq, time.monotonic())
        return {"status": "ok", "version": __version__, "peers": count}

    # -- the roster ------------------------------------------------------------------------------

    def _register(self, visitor: Visitor, given: dict[str, Any]) -> Answer:
        name, token = self._roll.register(visitor, forms.Register.read(given))
        return Answer(200, {"id": name, "token": token})

    def _heartbeat(self, visitor: Visitor, given: dict[str, Any]) -> Answer:
        peer = self._roll.peer(visitor, forms.One.read(given).id)
        self._hub.agents.was_here(peer.name)
        return OK

    def _set_summary(self, visitor: Visitor, given: dict[str, Any]) -> Answer:
        asked = forms.SetSummary.read(given)
        peer = self._roll.peer(visitor, asked.id)
        self._hub.agents.summarise(peer.caller, peer.name, asked.summary)
        return OK

    def _unregister(self, visitor: Visitor, given: dict[str, Any]) -> Answer:
        with suppress(NoSuchAgent):  # it has left already
            self._roll.leave(self._roll.peer(visitor, forms.One.read(given).id))
        return OK

    def _list_peers(self, visitor: Visitor, given: dict[str, Any]) -> Answer:
        asked = forms.ListPeers.read(given)
        self._roll.check_may_look(visitor)
        self._roll.look_at_processes()
        kind = {"agent_type": asked.agent_type} if asked.agent_type else {}
        everybody = list(self._roll.everybody(**kind))
        me = next((agent for agent in everybody if agent["name"] == asked.exclude_id), None)
        is_near = self._nearness(visitor, asked, me)
        wanted = set(asked.capabilities)
        return Answer(
            200,
            [
                forms.as_peer(agent)
                for agent in everybody
                if agent is not me
                and is_near(agent)
                and wanted <= set(agent.get("capabilities", ()))
            ],
        )

    def _nearness(
        self, visitor: Visitor, asked: forms.ListPeers, me: Agent | None
    ) -> Callable[[Agent], bool]:
        """Return what tells whether an agent is in the scope that is asked for."""
        mine: Mapping[str, Any] = me or {}
        here = self._roll.host if visitor.is_loopback else visitor.ip
        host = asked.hostname or mine.get("host") or here
        cwd = asked.cwd or mine.get("cwd", "")
        repo = ""
        if asked.git_root:
            is_local = visitor.is_loopback and host == self._roll.host
            repo = places.repo_of(asked.git_root) if is_local else asked.git_root
        repo = normalised_repo(repo) or mine.get("repo", "")

        def is_near(agent: Agent) -> bool:
            is_on_host = agent.get("host") == host
            if asked.scope == "machine":
                return is_on_host
            if asked.scope == "directory" or (asked.scope == "repo" and not repo):
                return is_on_host and agent.get("cwd") == cwd
            if asked.scope == "repo":
                # A path is the name of a repository on one host only.
                return agent.get("repo") == repo and (is_on_host or not repo.startswith("/"))
            return True

        return is_near

    # -- messages --------------------------------------------------------------------------------

    def _send_message(self, visitor: Visitor, given: dict[str, Any]) -> Answer:
        asked = forms.SendMessage.read(given)
        sender = self._sender(visitor, asked.from_id)
        return self._post(sender, self._recipient(asked.to_id), asked.text)

    def _sender(self, visitor: Visitor, id: str) -> Peer:
        if id == CLI:
            return self._roll.command_line(visitor)
        return self._roll.peer(visitor, id)

    def _recipient(self, id: str) -> str:
        """Return the name that an id stands for: itself, or that of the agent that chose it."""
        if not self._roll.is_free(id):
            return id
        named = [
            agent
            for agent in self._roll.everybody()
            if agent.get("agent_name") == id and agent["name"].endswith(f"/{id}")
        ]
        return max(named, key=lambda agent: agent["last_seen"] or "")["name"] if named else id

    def _post(self, sender: Peer, to: str, text: str) -> Answer:
        draft = Draft.read({"from": sender.name, "to": to, "body": text, "strict": True})
        posted = self._hub.messages.post(sender.caller, draft)
        report = self._hub.messages.delivery(posted.message)
        told = {"warnings": report.warnings} if report.warnings else {}
        return Answer(200, {"ok": True, "id": posted.message["seq"], **told})

    def _poll_messages(self, visitor: Visitor, given: dict[str, Any]) -> Answer:
        peer = self._roll.peer(visitor, forms.One.read(given).id)
        if all(map(self._is_empty, peer.readers)):
            return Answer(200, {"messages": []})
        polling = self._turn(peer)
        try:
            owed = self._settle_owed(peer)
            messages, seqs = self._mail(peer, is_peek=False)
        except BaseException:
            polling.release()
            raise

        def settle(is_written: bool) -> None:
            try:
                if is_written:
                    self._owed[peer.name] = seqs
                    self._settle_owed(peer)
            finally:
                polling.release()

        new = [message for message in messages if message["id"] not in owed]
        return Answer(200, {"messages": new}, settle)

    def _settle_owed(self, peer: Peer) -> set[int]:
        """Acknowledge what a peer was given; return what it was given and cannot be acknowledged
        now, as where the disk is full: it is not given again meanwhile.
        """
        owed = self._owed.get(peer.name, {})
        try:
            self._ack(peer, owed)
        except BusError as error:
            logger.warning("what %s was given is not settled yet: %s", peer.name, error)
            return {seq for seqs in owed.values() for seq in seqs}
        self._owed.pop(peer.name, None)
        return set()

    def _peek_messages(self, visitor: Visitor, given: dict[str, Any]) -> Answer:
        peer = self._roll.peer(visitor, forms.One.read(given).id)
        polling = self._turn(peer)
        try:
            return Answer(200, {"messages": self._mail(peer, is_peek=True)[0]})
        finally:
            polling.release()

    def _turn(self, peer: Peer) -> threading.Lock:
        """Wait until what a peer was given before is settled; return the lock that is held."""
        polling = self._polling[peer.name]
        if not polling.acquire(timeout=_PATIENCE_S):
            raise Busy("The answer to another poll of this peer is still being written.")
        return polling

    def _ack_messages(self, visitor: Visitor, given: dict[str, Any]) -> Answer:
        asked = forms.AckMessages.read(given)
        peer = self._roll.peer(visitor, asked.id)
        seqs: dict[str, list[int]] = defaultdict(list)
        for seq in dict.fromkeys(asked.message_ids):
            names = recipients(json.loads(self._hub.messages.get(seq)))
            for reader in peer.readers:
                if reader == peer.name or reader in names or EVERYBODY in names:
                    seqs[reader].append(seq)
        self._ack(peer, seqs)
        return OK

    def _mail(
        self, peer: Peer, *, is_peek: bool
    ) -> tuple[list[forms.PeerMessage], dict[str, list[int]]]:
        """Return a peer's unread messages in their order, and the seqs by the name they are for."""
        texts: dict[int, str] = {}
        seqs: dict[str, list[int]] = {}
        for reader in peer.readers:
            position = self._hub.log.position().seq
            unread = Selection(unread_by=reader, limit=_AT_ONCE)
            page: Page = self._hub.messages.read(unread, is_peek=is_peek)
            texts.update(zip(page.seqs, page.messages, strict=True))
            seqs[reader] = page.seqs
            if not page.seqs:
                if len(self._empty) > _REMEMBERED:
                    self._empty.clear()
                self._empty[reader] = (position, time.monotonic())
        found = [json.loads(texts[seq]) for seq in sorted(texts)]
        return [forms.as_message(message, peer.name) for message in found], seqs

    def _is_empty(self, reader: str) -> bool:
        """Return whether nothing has been written since a mailbox was found empty."""
        seq, at = self._empty.get(reader, (-1, 0.0))
        is_so = seq == self._hub.log.position().seq and time.monotonic() - at < _EMPTY_FOR_S
        if is_so:
            self._hub.agents.was_here(reader)
        return is_so

    def _ack(self, peer: Peer, seqs: Mapping[str, list[int]]) -> None:
        for reader, some in seqs.items():
            if some:
                self._hub.acks.ack(peer.caller, reader, some)

    # -- topics ----------------------------------------------------------------------------------

    def _broadcast(self, visitor: Visitor, given: dict[str, Any]) -> Answer:
        asked = forms.Broadcast.read(given)
        sender = self._sender(visitor, asked.from_id)
        topic = forms.topic_of(asked.topic)
        answer = self._post(sender, TOPIC_PREFIX + topic, asked.text)
        reached = self._hub.topics.subscribers(topic) - {sender.name}
        return Answer(200, {**answer.body, "delivered_to": len(reached)})

    def _subscribe(self, visitor: Visitor, given: dict[str, Any]) -> Answer:
        asked = forms.Subscribe.read(given)
        peer = self._roll.peer(visitor, asked.id)
        topic = forms.topic_of(asked.topic, may_be_wild=True)
        self._hub.topics.subscribe(peer.caller, peer.name, topic)
        return OK

    def _unsubscribe(self, visitor: Visitor, given: dict[str, Any]) -> Answer:
        asked = forms.Subscribe.read(given)
        peer = self._roll.peer(visitor, asked.id)
        topic = forms.topic_of(asked.topic, may_be_wild=True)
        self._hub.topics.unsubscribe(peer.caller, peer.name, topic)
        return OK


def refusal(error: BusError, status: int | None = None) -> Answer:
    """Return the answer that says what was wrong."""
    hint = f" {error.hint}" if error.hint and not isinstance(error, UnknownRecipient) else ""
    told = {"ok": False, "error": f"{error.message}{hint}", "code": error.code}
    return Answer(error.status if status is None else status, told)
