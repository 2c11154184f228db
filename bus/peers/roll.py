"""Which peers there are: they register in the hub's roster, and are found there again.

A peer's id is its name in the roster, so it outlives the listener, and mail to the name is mail to
the peer. One without a credential works under a machine that is called after its host, such as
`peers-laptop/alpha`, where no machine's own name can be met.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple

from bus.credentials import Credentials
from bus.errors import (
    BadRequest,
    BusError,
    LeaseLost,
    NameHeld,
    NoCallsign,
    NoSuchAgent,
    Unauthorized,
)
from bus.hub.hub import Hub
from bus.index.agents import Row
from bus.model import checks
from bus.model.agents import Agent, AgentsQuery
from bus.model.caller import ADMIN, MACHINES, MEMBER, PEER, SHARED, Caller, Taken, speaks_as
from bus.model.filter import Selection
from bus.model.peers import CLI, PeerRegistration, Register, is_name, machine_of
from bus.peers import places
from bus.peers.proof import Networks, Tokens, Visitor

# Whom the log names as the credential of peers that have none; no credential is called so.
WITHOUT = "bus/"
LOCAL = f"{WITHOUT}peers"  # of this machine; of others, the address
_REMEMBERED = 5_000
_NUMBERS = range(2, 10)  # behind a name that another one has: reviewer-2


class Doors(NamedTuple):
    """Whom the settings let in: those without a token from this machine, and those without a
    credential from some networks.
    """

    tokenless: bool
    allowed: Networks


class Peer(NamedTuple):
    """A peer that has proven, as far as it must, who it is.

    `alias` is the name that it chose, where nobody else has it: mail to that is the peer's too.
    """

    name: str
    lease: str
    caller: Caller
    alias: str | None

    @property
    def readers(self) -> list[str]:
        """The names whose mail is the peer's."""
        return [self.name] if self.alias is None else [self.name, self.alias]


class Roll:
    """Registers peers, and knows them again. For any thread."""

    def __init__(
        self,
        hub: Hub,
        credentials: Credentials,
        taken: Taken,
        tokens: Tokens,
        doors: Doors,
        host: str,
    ) -> None:
        self._hub, self._credentials, self._taken = hub, credentials, taken
        self._tokens, self._doors, self.host = tokens, doors, host
        self._known: dict[str, tuple[int, Row]] = {}

    # -- coming and going ------------------------------------------------------------------------

    def register(self, visitor: Visitor, asked: Register) -> tuple[str, str]:
        """Give a name to a peer; return it with its token. Raises Unauthorized, BadField, Busy."""
        host = asked.hostname or (self.host if visitor.is_loopback else visitor.ip)
        caller, machine = self._who(visitor, host)
        is_local = visitor.is_loopback and host == self.host
        born = places.born_of(asked.pid) if is_local and asked.pid is not None else None
        rows = self._hub.agents.sessions(machine)
        chosen = asked.session
        for row in rows.values():
            is_own = asked.pid is not None and _process(row) == (host, asked.pid, born)
            if is_own and chosen is None:
                chosen = row.name.partition("/")[2]
            elif is_own:
                self._leave(row)
            else:
                self._look_at(row)
        facts = self._facts(asked, host, is_local, born)
        agent = self._registered(caller, machine, chosen, facts)
        name = agent["name"]
        for reader in (name, self._alias(name, asked.agent_name, caller)):
            if reader is not None and reader not in rows:
                self._skip_old_broadcasts(caller, reader)
        return name, self._tokens.of(name, agent["lease"])

    def leave(self, peer: Peer) -> None:
        """Set a peer's name free; its mail stays."""
        with suppress(LeaseLost, NoSuchAgent):
            self._hub.agents.leave(peer.caller, peer.name, peer.lease)

    def _who(self, visitor: Visitor, host: str) -> tuple[Caller, str]:
        """Return with whose credential a new peer registers, and below which machine's name."""
        if visitor.has_credential:
            caller = self._credentials.caller_of(visitor.authorization, visitor.address)
            if caller.role == SHARED:
                return caller, machine_of(host)
            if caller.role not in (MEMBER, ADMIN):
                raise Unauthorized(f"A credential of the role {caller.role} does not register.")
            return caller, caller.name
        if visitor.is_loopback:
            return Caller(LOCAL, PEER), machine_of(host)
        if not visitor.is_in(self._doors.allowed):
            raise Unauthorized(
                f"{visitor.ip} may not register without a credential.",
                hint="Send a credential of the hub as basic auth, or see BUS_PEERS_ALLOW.",
            )
        is_ours = machine_of(host) == machine_of(self.host)
        named = visitor.ip.replace(".", "-").replace(":", "-") if is_ours else host
        return Caller(f"{WITHOUT}{visitor.ip}", PEER), machine_of(named)

    def _facts(
        self, asked: Register, host: str, is_local: bool, born: str | None
    ) -> dict[str, object]:
        root = asked.git_root
        said = {
            "host": host,
            "pid": asked.pid,
            "started": born,
            "repo": places.repo_of(root) if is_local and root else root,
            "wake": "poll",
        }
        named = ("cwd", "git_root", "tty", "summary", "agent_type", "agent_name", "capabilities")
        said |= {name: getattr(asked, name) for name in (*named, "transport")}
        return {name: value for name, value in said.items() if value not in (None, "", [])}

    def _registered(
        self, caller: Caller, machine: str, chosen: str | None, facts: Mapping[str, object]
    ) -> Agent:
        for session in _candidates(chosen):
            name = machine if session is None else f"{machine}/{session}"
            with suppress(NameHeld, NoCallsign):
                asked = PeerRegistration.read({**facts, "name": name})
                return self._hub.agents.register(caller, asked)[0]
        raise NoCallsign(f"All names of {machine} are held.", name=machine)

    def _skip_old_broadcasts(self, caller: Caller, reader: str) -> None:
        """Let a name that is new begin with what is posted from now on, unless mail waits for
        it.
        """
        if self._hub.presence.last_seen(reader) is not None or self._hub.agents.has_mail(reader):
            return
        newest = self._hub.messages.read(Selection(newest=True, limit=1), is_peek=True)
        if newest.last is not None:
            self._hub.acks.ack_through(caller, reader, newest.last)

    # -- who is who ------------------------------------------------------------------------------

    def peer(self, visitor: Visitor, id: str) -> Peer:
        """Return the peer with an id, if the caller is that one. Raises NoSuchAgent,
        Unauthorized.
        """
        row = self._row(id)
        lease = None if row is None else row.lease
        if row is None or lease is None or "transport" not in row.facts:
            what = f"Peer {id[:100]} is not registered."
            raise NoSuchAgent(what, hint="POST /register, for a new id.", name=id[:100])
        token = visitor.token
        if token is not None:
            if not self._tokens.proves(token, row.name, lease):
                raise Unauthorized(f"The token is not that of {row.name}.")
        elif not (self._doors.tokenless and visitor.is_loopback and row.auth == LOCAL):
            raise Unauthorized(
                f"{row.name} must send its token.", hint="Authorization: Bearer, then the token."
            )
        caller = self._caller(row)
        return Peer(row.name, lease, caller, self._alias_of(row, caller))

    def check_may_look(self, visitor: Visitor) -> None:
        """Raise Unauthorized unless the caller may see the roster."""
        token = visitor.token
        if token is not None:
            self.peer(visitor, self._tokens.name_in(token))
        elif visitor.has_credential:
            self._credentials.caller_of(visitor.authorization, visitor.address)
        elif not (visitor.is_loopback or visitor.is_in(self._doors.allowed)):
            raise Unauthorized("Send the token of a peer.")

    def command_line(self, visitor: Visitor) -> Peer:
        """Return whom their command line speaks as; it does not register. Raises Unauthorized."""
        if not visitor.is_loopback or not self._doors.tokenless:
            raise Unauthorized(f"`from_id` is {CLI}: only from the hub's own machine.")
        return Peer(f"{machine_of(self.host)}/{CLI}", "", Caller(LOCAL, PEER), None)

    def is_free(self, name: str) -> bool:
        """Return whether a peer may choose a name: it is neither a machine's nor everybody's."""
        try:
            checks.agent(name, "name")
        except BadRequest:
            return False
        is_shared = name == self._credentials.shared_user
        return (
            "/" not in name and not is_shared and speaks_as(Caller(LOCAL, PEER), name, self._taken)
        )

    def _row(self, id: str) -> Row | None:
        """Return who holds a name. What was found is good until the log grows."""
        if not is_name(id):
            return None
        seq = self._hub.log.position().seq
        known = self._known.get(id)
        if known is not None and known[0] == seq:
            return known[1]
        row = self._hub.agents.holder(id)
        if row is not None:
            if len(self._known) > _REMEMBERED:
                self._known.clear()
            self._known[id] = (seq, row)
        return row

    def _caller(self, row: Row) -> Caller:
        """Return the credential that a peer has registered with, as it is now."""
        if row.auth.startswith(WITHOUT):
            return Caller(row.auth, PEER)
        role = self._credentials.users().get(row.auth)
        if role is None:
            raise Unauthorized(f"There is no credential {row.auth} any more.")
        return Caller(row.auth, role, tenure=self._hub.credentials.tenure_of(row.auth))

    def _alias_of(self, row: Row, caller: Caller) -> str | None:
        return self._alias(row.name, row.facts.get("agent_name", ""), caller)

    def _alias(self, name: str, agent_name: str, caller: Caller) -> str | None:
        """Return the name that a peer chose for itself, if it got it and may have its mail."""
        alias = Register(agent_name=agent_name).session
        if alias is None or name.partition("/")[2] != alias or caller.role in MACHINES:
            return None
        return alias if self.is_free(alias) else None

    # -- the roster ------------------------------------------------------------------------------

    def everybody(self, **asked: str) -> Iterator[Agent]:
        """Yield the agents of the roster that are there: peers while they live, others until they
        are gone.
        """
        after: str | None = None
        while True:
            query = {**asked, "limit": "1000", **({} if after is None else {"after": after})}
            found, after = self._hub.agents.roster(AgentsQuery.read(query))
            for agent in found:
                is_peer = "transport" in agent
                if agent["state"] in (("live",) if is_peer else ("live", "idle")):
                    yield agent
            if after is None:
                return

    def look_at_processes(self) -> None:
        """End the leases of this machine's peers whose processes are gone, and keep those of the
        others: one that is stopped for a while, and polls again later, is to find its name.
        """
        for row in self._hub.agents.sessions(machine_of(self.host)).values():
            self._look_at(row)

    def _look_at(self, row: Row) -> None:
        host, pid, born = _process(row)
        if row.lease is None or "transport" not in row.facts or host != self.host:
            return
        if pid is None or born is None:  # it was never seen here
            return
        if places.born_of(pid) == born:
            self._hub.agents.was_here(row.name)
        else:
            self._leave(row)

    def _leave(self, row: Row) -> None:
        with suppress(BusError):
            self._hub.agents.leave(self._caller(row), row.name, row.lease)


def _process(row: Row) -> tuple[str | None, int | None, str | None]:
    return row.facts.get("host"), row.facts.get("pid"), row.facts.get("started")


def _candidates(chosen: str | None) -> Iterator[str | None]:
    """Yield the names to try: the chosen one, the same with a number, a callsign (None), any."""
    if chosen is not None:
        yield chosen
        yield from (f"{chosen[:60]}-{number}" for number in _NUMBERS)
    yield None
    for _ in range(3):
        yield f"peer-{secrets.token_hex(4)}"
