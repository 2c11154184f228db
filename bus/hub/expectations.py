"""Expectations, a dead-man's switch: who is told when a name falls silent, and when it is back.

A name is heard whenever it gives a sign of life, as the roster has it, or does something that is in
the log. A silence is told by the process that leads, as a record with a unique key, so there is one
for each, whoever leads. Time in which the hub did not run is no silence (`bus.live.running`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from itertools import islice

from bus.errors import NoSuchExpectation, OverQuota
from bus.hub.agents import Agents
from bus.hub.journal import Journal
from bus.hub.notices import notice
from bus.hub.standings import Standings
from bus.index import expectations as queries
from bus.index.expectations import HOUR_MS, Row
from bus.live.running import Running
from bus.model import records
from bus.model.caller import Caller, lowest_trust
from bus.model.delivery import unknown
from bus.model.expectations import Expectation, ExpectationsQuery, NewExpectation
from bus.model.records import Fields
from bus.model.spans import in_words

MOST_EXPECTATIONS = 64  # of one credential
MOST_TOLD = 60  # names and roles of others that one credential has told within an hour
_AT_ONCE = 200  # expectations that one call of the chore looks at
_REMEMBERED = 20_000

IsMine = Callable[[str], bool]


class Expectations:
    """The verbs of expectations."""

    def __init__(
        self, journal: Journal, agents: Agents, standings: Standings, running: Running
    ) -> None:
        self._journal, self._agents, self._standings = journal, agents, standings
        self._running = running
        self._looked_at = ""  # the last expectation that the chore has looked at
        # When a silence is possible at the earliest, by the id and the record that set it.
        self._not_before: dict[tuple[str, int], int] = {}

    # -- for callers -----------------------------------------------------------------------------

    def set(self, caller: Caller, asked: NewExpectation) -> tuple[Expectation, bool, list[str]]:
        """Expect a name, or change how; return the expectation, whether it is new, and warnings.

        Raises OverQuota, and UnknownRecipient where nobody has a name that is to be told.
        """
        told = asked.tell or [asked.sender]
        others = [name for name in told if name != asked.sender and not caller.is_me(name)]
        self._standings.refuse_unknown(others)
        with self._journal.current() as db:
            row = queries.of_owner(db, caller.name, asked.sender, asked.name)
            count = queries.count_of(db, caller.name)
        if row is None and count >= MOST_EXPECTATIONS:
            raise OverQuota(
                f"{caller.name} has {count} expectations.",
                hint="End some of them: DELETE /expect/<id>.",
                quota="expectations",
                limit=MOST_EXPECTATIONS,
                name=caller.name,
            )
        if row is None or (row.every_s, row.tell) != (asked.every_s, told):
            about = {"kind": "expectation_set", "auth": caller.name, "owner": asked.sender}
            about["expectation"] = self._journal.new_id() if row is None else row.id
            terms = {"name": asked.name, "every_s": asked.every_s, "tell": told}
            more = {"trust": caller.trust, "at": self._journal.utc()}
            self._journal.append([{**about, **terms, **more}])
        with self._journal.current() as db:
            made = queries.of_owner(db, caller.name, asked.sender, asked.name)
            if made is None:  # it was ended at once
                raise _unknown(asked.name)
            shown = self._shown(db, made)
        near = self._standings.unknown([asked.name])
        return shown, row is None, [unknown(name, alike) for name, alike in near.items()]

    def end(self, caller: Caller, ref: str, owner: str, is_mine: IsMine) -> Expectation:
        """End an expectation, by its id or by the name that `owner` expects; return it.

        Who is only told of it takes itself off: the others are told as before. Raises
        NoSuchExpectation.
        """
        with self._journal.current() as db:
            row = queries.one(db, ref.upper()) or queries.of_owner(db, caller.name, owner, ref)
            if row is None:
                raise _unknown(ref)
            shown = self._shown(db, row)
        about: Fields = {"auth": caller.name, "expectation": row.id}
        if caller.is_admin or (caller.name == row.auth and is_mine(row.owner)):
            self._journal.append([{"kind": "expectation_ended", **about}])
            return shown
        names = [name for name in row.tell if is_mine(name)]
        if not names:
            raise _unknown(ref)
        self._journal.append([{"kind": "expectation_declined", **about, "names": names}])
        return shown

    def all(
        self, caller: Caller, asked: ExpectationsQuery, is_mine: IsMine
    ) -> tuple[list[Expectation], str | None]:
        """Return those that concern a caller, all for an admin, and the id to go on behind."""

        def concerns(row: Row) -> bool:
            if asked.name not in (None, row.name):
                return False
            return caller.is_admin or any(map(is_mine, (row.owner, row.name, *row.tell)))

        def question(db: sqlite3.Connection) -> list[Expectation]:
            rows = filter(concerns, queries.after(db, asked.after or ""))
            return [self._shown(db, row) for row in islice(rows, asked.limit + 1)]

        found = self._journal.index.ask(question)
        listed = found[: asked.limit]
        return listed, listed[-1]["id"] if len(found) > asked.limit else None

    def _shown(self, db: sqlite3.Connection, row: Row) -> Expectation:
        return {
            "id": row.id,
            "from": row.owner,
            "name": row.name,
            "every_s": row.every_s,
            "tell": row.tell,
            "created": row.created,
            "state": "silent" if row.silent else "heard",
            "since": row.since,
            "heard": records.iso(self._heard_ms(db, row.name) or None),
        }

    def _heard_ms(self, db: sqlite3.Connection, name: str) -> int:
        """Return when a name was heard last (Unix milliseconds; 0: never)."""
        return max(queries.acted_ms(db, name), self._agents.last_sign_ms(name) or 0)

    # -- telling ---------------------------------------------------------------------------------

    def look(self) -> None:
        """Tell of silences that are too long, and of those that are over, some at a time: a
        chore.
        """
        now_ms = self._journal.now_ms()
        self._running.note(now_ms)
        if len(self._not_before) > _REMEMBERED:
            self._not_before.clear()
        with self._journal.current() as db:
            rows = list(islice(queries.after(db, self._looked_at), _AT_ONCE))
            due = [row for row in rows if row.silent or self._may_be_silent(row, now_ms)]
            heard = [self._heard_ms(db, row.name) for row in due]
        self._looked_at = rows[-1].id if len(rows) == _AT_ONCE else ""
        for row, heard_ms in zip(due, heard, strict=True):
            if row.silent:
                if heard_ms > row.heard_ms:
                    self._tell_return(row, heard_ms)
            else:
                self._tell_silence(row, min(heard_ms, now_ms), now_ms)

    def _may_be_silent(self, row: Row, now_ms: int) -> bool:
        return now_ms >= self._not_before.get((row.id, row.set_seq), 0)

    def _tell_silence(self, row: Row, heard_ms: int, now_ms: int) -> None:
        """Tell of a silence, if it is long enough by now."""
        since_ms, every_ms = max(heard_ms, records.unix_ms(row.since)), row.every_s * 1000
        silent_ms = 0
        if now_ms - since_ms >= every_ms:
            silent_ms = self._running.ran_ms(since_ms, now_ms)
        else:
            now_ms = since_ms
        if silent_ms < every_ms:
            self._not_before[row.id, row.set_seq] = now_ms + every_ms - silent_ms
            return
        last = f"; it was heard last at {records.iso(heard_ms)}" if heard_ms else ""
        silent = f"{row.name} is silent for {in_words(silent_ms / 1000)}"
        body = f"{silent}{last}. Expected: every {in_words(row.every_s)}"
        facts = {"silent_s": silent_ms // 1000}
        self._record(row, "silence_begun", heard_ms, body, "silent", facts)

    def _tell_return(self, row: Row, heard_ms: int) -> None:
        """Tell that a silence is over."""
        body = (
            f"{row.name} is back: heard at {records.iso(heard_ms)}. Its silence was told at"
            f" {row.since}. Expected: every {in_words(row.every_s)}"
        )
        self._record(row, "silence_over", heard_ms, body, "back", {})

    def _record(
        self, row: Row, kind: str, heard_ms: int, body: str, tag: str, facts: Fields
    ) -> None:
        told, others, untold = self._told(row)
        body += f", by {row.owner}."
        if untold:
            body += f" Not told, since {row.auth} has too many told: {', '.join(untold)}."
        about: Fields = {"expectation": row.id, "prior": row.last, "heard": heard_ms}
        about |= {"told": told, "others": others, "of": row.auth, "at": self._journal.utc()}
        data = {
            **{"id": row.id, "name": row.name, "every_s": row.every_s, "from": row.owner},
            **{"state": tag, "heard": records.iso(heard_ms or None), **facts},
        }
        more = {"tags": ["expect", tag], "data": {"expect": data}}
        # What somebody has the hub say is believed no more than what it says itself.
        more["trust"] = lowest_trust("agent", row.trust)
        key = f"{kind} {row.id} {row.last}"
        self._journal.append([{"kind": kind, **about, **facts}, notice(key, told, body, **more)])

    def _told(self, row: Row) -> tuple[list[str], int, list[str]]:
        """Return who is told, how many of them are others than the owner, and who is not told
        because the owner has had too many told within the hour.
        """
        others = [name for name in row.tell if not _is_own(row, name)]
        since_ms = self._journal.now_ms() - HOUR_MS
        with self._journal.current() as db:
            left = MOST_TOLD - queries.told_of(db, row.auth, since_ms)
        if len(others) <= left:
            return row.tell, len(others), []
        own = [name for name in row.tell if name not in others]
        return own or [row.owner], 0, others


def _is_own(row: Row, name: str) -> bool:
    return name in (row.owner, row.auth) or name.startswith(f"{row.auth}/")


def _unknown(ref: str) -> NoSuchExpectation:
    return NoSuchExpectation(f"There is no expectation {ref[:140]!r}, or it is not yours.")
