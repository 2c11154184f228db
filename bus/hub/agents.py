"""Agents: who works under which name, and who of them is there.

A session's name is a lease. It ends when its holder leaves, when the holder gives no sign of life
for a while, or when the machine's own credential takes it over. Taking a lease is one append with a
unique key that names the record before it, so of several who try at once one wins, whatever worker
they asked. What joins and leaves is in the log; signs of life are not.

Mail belongs to names, never to processes: the next holder of a name finds what was not read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from itertools import islice
from secrets import randbelow
from typing import NamedTuple

from bus.errors import Busy, LeaseLost, NameHeld, NoCallsign, NoSuchAgent, NotAllowed
from bus.hub.credentials import CredentialRecords
from bus.hub.journal import Journal
from bus.hub.rosters import Around, around, is_asked_for, last_of_each
from bus.index import agents as queries
from bus.index import names
from bus.index.agents import Row
from bus.index.mailboxes import of_reader
from bus.index.unread import has_mail, unread_count
from bus.live.heartbeats import Heartbeats
from bus.live.presence import Presence
from bus.model import records
from bus.model.agents import Agent, AgentsQuery, Facts, Registration, state_of
from bus.model.caller import Caller
from bus.model.records import Fields

_COUNTED_UNREAD = 1_000
_NEAR_AMONG, _NEAR_BEGINS, _NEAR_LENGTH = 500, 2, 3
_ROSTER = 20_000  # agents that one question looks at
_ATTEMPTS = 50  # each that fails means that somebody else got a name
_WITHOUT_PROCESS_MS = 12 * 3_600_000


class Leases(NamedTuple):
    """How long a lease holds without a sign of life, and the callsigns in the order in which they
    are handed out.
    """

    seconds: int
    callsigns: Sequence[str]


class Agents:
    """The verbs of agents."""

    def __init__(
        self,
        journal: Journal,
        credentials: CredentialRecords,
        presence: Presence,
        heartbeats: Heartbeats,
        leases: Leases,
    ) -> None:
        self._journal, self._credentials = journal, credentials
        self._presence, self._heartbeats, self._leases = presence, heartbeats, leases
        # The machines that have a credential now; whoever joins the parts says it.
        self.members: Callable[[], Collection[str]] = lambda: ()
        # Nobody could give a sign of life while the hub was away.
        self._started_ms = journal.now_ms()

    @property
    def lease_s(self) -> int:
        """Seconds for which a lease holds without a sign of life."""
        return self._leases.seconds

    # -- leases ----------------------------------------------------------------------------------

    def register(self, caller: Caller, asked: Registration) -> tuple[Agent, bool]:
        """Give a name to the caller, or renew its lease; return the agent and whether it is new to
        the name. Without a session, the name is a callsign.

        Raises NameHeld, NoCallsign, LeaseLost, NotAllowed.
        """
        if asked.takeover and not caller.is_verified:
            raise NotAllowed(
                "A lease is taken over with the machine's own credential.",
                role=caller.role,
                allowed=["member", "admin"],
            )
        for attempt in range(_ATTEMPTS):
            agent = self._try_to_register(caller, asked, attempt)
            if agent is not None:
                return agent
        raise Busy("Others register under this machine's names all the time.")

    def _try_to_register(
        self, caller: Caller, asked: Registration, attempt: int
    ) -> tuple[Agent, bool] | None:
        """Do so, or return None: somebody else was faster."""
        now_ms = self._journal.now_ms()
        with self._journal.current() as db:
            rows = queries.of_machine(db, asked.full_name.partition("/")[0])
            name = self._named(db, rows, asked, attempt)
            row = rows.get(name)
        is_mine = row is not None and row.lease is not None and asked.is_same(row.lease, row.facts)
        if row is not None and not is_mine:
            if asked.lease is not None:
                raise _lost(name, asked.lease)
            if self._holds(row, asked, now_ms):
                raise self._held(row, now_ms)
        if row is None and asked.lease is not None:
            raise _lost(name, asked.lease)
        facts = asked.facts
        if row is not None and row.lease is not None and is_mine:
            lease = row.lease
            if row.facts | facts != row.facts:
                self._change(caller, row, row.facts | facts)
        else:
            lease = self._journal.new_id()
            self._credentials.use_name(caller, name)
            joined = {"kind": "agent_joined", "auth": caller.name, "name": name, "lease": lease}
            joined["trust"] = caller.trust
            prior = 0 if row is None else row.seq
            appended = self._journal.append([{**joined, "prior": prior, "facts": facts}])[0]
            if appended.record["lease"] != lease:
                return None
        self._heartbeats.note(name, now_ms, asked.turn)
        return self.one(name), not is_mine

    def _change(self, caller: Caller, row: Row, facts: Facts) -> None:
        changed = {"kind": "agent_changed", "auth": caller.name, "name": row.name}
        self._journal.append([{**changed, "lease": row.lease, "facts": facts}])

    def heartbeat(self, name: str, lease: str | None, turn: str | None) -> int:
        """Note a sign of life; return how many messages wait. Raises LeaseLost, NoSuchAgent."""
        with self._journal.index.reading() as db:
            row = self._present(db, name, lease)
            now_ms = self._journal.now_ms()
            unread = unread_count(db, of_reader(db, name), now_ms, _COUNTED_UNREAD)
        self._heartbeats.note(row.name, now_ms, turn)
        return unread

    def tell_turn(self, name: str, turn: str, began_ms: int | None) -> None:
        """Note what an agent does now; the index is not brought up for it, since a hook waits."""
        with self._journal.index.as_is() as db, suppress(NoSuchAgent, LeaseLost):
            row = self._present(db, name, None)
            self._heartbeats.note(row.name, self._journal.now_ms(), turn, began_ms)

    def summarise(self, caller: Caller, name: str, summary: str) -> Agent:
        """Say what an agent works on. Raises LeaseLost, NoSuchAgent."""
        with self._journal.current() as db:
            row = self._present(db, name, None)
        if row.facts.get("summary") != summary:
            self._change(caller, row, {**row.facts, "summary": summary})
        self._heartbeats.note(name, self._journal.now_ms())
        return self.one(name)

    def leave(self, caller: Caller, name: str, lease: str | None) -> None:
        """Set a name free, unless it is; its mail stays. Raises LeaseLost, NoSuchAgent."""
        with self._journal.current() as db:
            row = queries.one(db, name)
        if row is None:
            raise _unknown(name)
        if row.lease is None:
            return
        if lease not in (None, row.lease):
            raise _lost(name, str(lease))
        left = {"kind": "agent_left", "auth": caller.name, "name": name, "lease": row.lease}
        self._journal.append([left])
        self._heartbeats.forget(name)

    def holder(self, name: str) -> Row | None:
        """Return who holds a name: its lease and what it said; None if nobody does."""
        with self._journal.index.reading() as db:
            row = queries.one(db, name)
        return None if row is None or row.lease is None else row

    def sessions(self, machine: str) -> dict[str, Row]:
        """Return what the log says of a machine's sessions, by their names."""
        with self._journal.index.reading() as db:
            return queries.of_machine(db, machine)

    def has_mail(self, name: str) -> bool:
        """Return whether a message to this very name waits, whatever waits for everybody."""
        with self._journal.index.reading() as db:
            return has_mail(db, name, self._journal.now_ms())

    def was_here(self, name: str) -> None:
        """A call of this name, or with this machine's credential, was answered."""
        self._heartbeats.note(name, self._journal.now_ms())

    def _present(self, db: sqlite3.Connection, name: str, lease: str | None) -> Row:
        row = queries.one(db, name)
        if row is None:
            raise _unknown(name)
        if row.lease is None or lease not in (None, row.lease):
            raise _lost(name, lease)
        return row

    def _holds(self, row: Row, asked: Registration, now_ms: int) -> bool:
        """Return whether a lease keeps others from the name."""
        if row.lease is None or row.lease in (asked.takeover or ()):
            return False
        return self._is_alive(row, now_ms)

    def _is_alive(self, row: Row, now_ms: int) -> bool:
        """Return whether the holder of a lease has given a sign of life in time."""
        sign = self._heartbeats.last(row.name)
        last = max(row.since_ms, self._started_ms, 0 if sign is None else sign.ms)
        holds_ms = self._leases.seconds * 1000 if "pid" in row.facts else _WITHOUT_PROCESS_MS
        return now_ms - last <= holds_ms

    def _held(self, row: Row, now_ms: int) -> NameHeld:
        sign = self._heartbeats.last(row.name)
        where = f" on {row.facts['host']}" if "host" in row.facts else ""
        holder: Fields = {
            "lease": row.lease,
            "since": records.iso(row.since_ms),
            "last_seen": records.iso(row.since_ms if sign is None else max(sign.ms, row.since_ms)),
            **{
                name: row.facts[name]
                for name in ("host", "cwd", "pid", "started")
                if name in row.facts
            },
        }
        return NameHeld(
            f"{row.name} is held by another session{where} since {holder['since']}.",
            name=row.name,
            holder=holder,
        )

    # -- callsigns -------------------------------------------------------------------------------

    def _named(
        self, db: sqlite3.Connection, rows: Mapping[str, Row], asked: Registration, attempt: int
    ) -> str:
        """Return the name that is asked for; a callsign if no session is given.

        The callsign of the same conversation comes first, then that of the same place, then one
        without mail, then any that is free: one with mail goes to another directory only if no
        other is left.
        """
        if "/" in asked.full_name:
            return asked.full_name
        now_ms, machine = self._journal.now_ms(), asked.name
        if asked.lease is not None:
            for row in rows.values():
                if row.lease == asked.lease:
                    return row.name
        free = [
            row
            for row in rows.values()
            if not self._holds(row, asked, now_ms) or asked.is_same(row.lease, row.facts)
        ]
        free.sort(key=lambda row: row.since_ms, reverse=True)
        for row in free:
            if _is_resumed(row, asked):
                return row.name
        for row in free:
            if asked.is_here(row.facts):
                return row.name
        signs = [f"{machine}/{sign}" for sign in self._leases.callsigns]
        names_free = {row.name for row in free}
        left = [name for name in signs if name not in rows or name in names_free]
        # After a race, each looks elsewhere.
        left = left[randbelow(min(len(left), 4 * attempt) or 1) :]
        for name in left:
            if not has_mail(db, name, now_ms):
                return name
        if left:
            return left[0]
        raise NoCallsign(f"All {len(signs)} callsigns of {machine} are held.", name=machine)

    # -- the roster ------------------------------------------------------------------------------

    def one(self, name: str) -> Agent:
        """Return one agent. Raises NoSuchAgent."""
        row = self._journal.index.ask(lambda db: queries.one(db, name))
        if row is None and name not in self.members():
            raise _unknown(name)
        return self._agent(name, row)

    def roster(self, asked: AgentsQuery) -> tuple[list[Agent], str | None]:
        """Return the agents that are asked for, and the name to go on behind (None: no more)."""
        found = [*islice(self._found(asked), asked.limit + 1)]
        listed = [self._agent(name, row) for name, row in found[: asked.limit]]
        return listed, listed[-1]["name"] if len(found) > asked.limit else None

    def around(self, asked: AgentsQuery, name: str, each: int) -> Around:
        """Return those of them that a name should see first, at most `each` of another credential,
        and how many more there are.
        """
        row = self._journal.index.ask(lambda db: queries.one(db, name))
        repo = None if row is None else row.facts.get("repo")
        return around(self._found(asked), name, repo, asked.limit, each)

    def agents(self, rows: Mapping[str, Row | None]) -> list[Agent]:
        """Return what is known of some of them."""
        return [self._agent(name, row) for name, row in rows.items()]

    def _found(self, asked: AgentsQuery) -> Iterator[tuple[str, Row | None]]:
        """Yield the agents that are asked for, in the order of names."""
        of = None if asked.of is None else self.one(asked.of)
        place = asked.place(of)

        def question(db: sqlite3.Connection) -> dict[str, Row | None]:
            rows = islice(queries.after(db, asked.after or ""), _ROSTER)
            return {row.name: row for row in rows if is_asked_for(row.facts, asked, place)}

        rows = self._journal.index.ask(question)
        for name in self.members():
            if name > (asked.after or "") and is_asked_for({}, asked, place):
                rows.setdefault(name, None)
        last = last_of_each(self._heartbeats.all())
        for name in sorted(rows):
            state = self.state_from(rows[name], last.get(name))
            if state == asked.state if asked.state is not None else state != "gone":
                yield name, rows[name]

    def near(self, name: str) -> list[str]:
        """Return known names that look like an unknown one; of a session, its machine too.

        Looks among machines, and names that begin alike: so it costs the same in a large fleet.
        """
        begins = name[:_NEAR_BEGINS]
        with self._journal.index.as_is() as db:
            acted = names.beginning(db, begins, _NEAR_AMONG)
            registered = queries.beginning(db, begins, _NEAR_AMONG)
        known = {*acted, *registered, *self.members()}
        alike = [other for other in known if abs(len(other) - len(name)) <= _NEAR_LENGTH]
        found = get_close_matches(name, sorted(alike), 2, 0.75)
        machine = name.partition("/")[0]
        return found if machine == name or machine not in known else [*found, machine][:2]

    def last_sign_ms(self, name: str) -> int | None:
        """Return a name's last sign of life, or the last of its sessions (Unix milliseconds)."""
        sign, polled = self._heartbeats.last(name), self._presence.last_seen(name)
        sessions = self._heartbeats.all(f"{name}/", f"{name}0") if "/" not in name else {}
        times = [polled, None if sign is None else sign.ms, *sessions.values()]
        return max((ms for ms in times if ms is not None), default=None)

    def is_there(self, name: str) -> bool:
        """Return whether a name is held by a live session, or, if it has no lease, was here within
        the time of one.
        """
        now_ms = self._journal.now_ms()
        with self._journal.index.as_is() as db:
            row = queries.one(db, name)
        if row is not None and row.lease is not None:
            return self._is_alive(row, now_ms)
        last_ms = self.last_sign_ms(name)
        if row is not None and (last_ms or 0) <= row.since_ms:
            return False  # it has left
        return now_ms - max(last_ms or 0, self._started_ms) <= self._leases.seconds * 1000

    def state(self, name: str, row: Row | None) -> str:
        """Return whether an agent is live, idle, stale or gone."""
        return self.state_from(row, self.last_sign_ms(name))

    def state_from(self, row: Row | None, last_ms: int | None) -> str:
        """Return the same where the last sign of life is known (Unix milliseconds)."""
        if row is not None and row.lease is not None:
            last_ms = max(last_ms or 0, row.since_ms)
        has_left = row is not None and row.lease is None and (last_ms or 0) <= row.since_ms
        return state_of(last_ms, self._journal.now_ms(), self._leases.seconds * 1000, has_left)

    def _agent(self, name: str, row: Row | None) -> Agent:
        sign, now_ms = self._heartbeats.last(name), self._journal.now_ms()
        unread = self._journal.index.ask(
            lambda db: unread_count(db, of_reader(db, name), now_ms, _COUNTED_UNREAD)
        )
        agent: Agent = {
            "name": name,
            "state": self.state(name, row),
            "registered": row is not None,
            "last_seen": records.iso(self.last_sign_ms(name)),
            "last_fetch": records.iso(self._presence.last_fetch(name)),
            "unread": unread,
        }
        if row is not None:
            agent.update(row.facts)  # type: ignore[typeddict-item]
            agent["trust"] = row.trust
            if row.lease is not None:
                agent["lease"], agent["since"] = row.lease, records.utc(row.since_ms / 1000)
                if sign is not None and sign.turn is not None:
                    agent["turn"] = sign.turn
        return agent


def _is_resumed(row: Row, asked: Registration) -> bool:
    return asked.session_id is not None and row.facts.get("session_id") == asked.session_id


def _lost(name: str, lease: str | None) -> LeaseLost:
    what = "nobody's now" if lease is None else f"not held with the lease {lease}"
    return LeaseLost(f"{name} is {what}.", name=name)


def _unknown(name: str) -> NoSuchAgent:
    return NoSuchAgent(f"No agent has registered as {name}.", name=name)
