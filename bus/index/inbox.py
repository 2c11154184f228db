"""What a reader with little room should see first: unread messages in order of rank, at a bounded
cost, fair to each sender.

The rank of a message: urgent before normal before fyi; then the first of each sender before the
second of any; then by name before broadcast; then the sooner deadline (`expires`) first, none last;
then the older first. A machine and its sessions are one sender, and so are all names of one
credential that proves none: the shared user has one place in a round, and its names take turns in
it. So whoever posts a thousand urgent ones has one place in the first round, like everybody else.

For backlogs that no reader would work through this way: of each priority the oldest `_WINDOW` are
put into rounds, with the first of each of `_SENDERS` others behind them, machines before names that
are not proved; what is left follows in the order of seq.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from itertools import groupby, islice
from operator import itemgetter
from typing import NamedTuple

from bus.index import walks
from bus.index.expiring import NEVER
from bus.index.mailboxes import Mailboxes
from bus.index.names import machines
from bus.index.ranges import LAST
from bus.index.unread import unread
from bus.index.walks import Either, Every, Rows, Walk
from bus.model.inbox import FIRST, Cursor, Rank
from bus.model.inbox_budget import Candidate
from bus.model.records import EVERYBODY

PRIORITIES = ("urgent", "normal", "fyi")
_WINDOW, _SENDERS, _SESSIONS = 100, 500, 50
_TAIL = 10**6  # the round of what is in none
_BEGINNING = 1_100  # characters of a body that is too long to be shown whole
_OLDEST_CURSOR_MS = 3_600_000


class Sender(NamedTuple):
    """Who takes turns: a name without its session, and the credential that speaks under names it
    does not prove, or empty.
    """

    shared: str
    name: str


class Seen(NamedTuple):
    """The first messages behind a cursor, each with its rank; and the cursor as it holds, before
    any of them is shown.
    """

    messages: list[tuple[Rank, Candidate]]
    start: Cursor


def first(
    db: sqlite3.Connection,
    boxes: Mailboxes,
    now_ms: int,
    cursor: Cursor | None,
    limit: int,
    longest: int,
    starred_by: str | None = None,
) -> Seen:
    """Return the first `limit` unread messages of some mailboxes behind a cursor; `starred_by`
    takes only those that this reader has starred.

    One with a JSON of more than `longest` characters has the beginning of its body only, and the
    length of it in `size`.
    """
    acked = db.execute(
        "SELECT coalesce(max(seq), 0) FROM json_each(?) CROSS JOIN ackers ON reader = value",
        (json.dumps(boxes.names),),
    ).fetchone()[0]
    if (
        cursor is None
        or cursor.acked != acked
        or not now_ms - _OLDEST_CURSOR_MS <= cursor.as_of_ms <= now_ms
    ):
        cursor = Cursor(FIRST, acked, now_ms, 0)
    found, room = [], 4 * longest + 1024 * 1024
    for rank in islice(_ranks(db, boxes, cursor, now_ms, starred_by), limit):
        text, size = db.execute(
            "SELECT CASE WHEN length(json) <= ?1 THEN json ELSE json_set(json_remove(json,"
            " '$.data'), '$.body', substr(json_extract(json, '$.body'), 1, ?2), '$.size',"
            " length(json_extract(json, '$.body'))) END, length(json) FROM messages WHERE seq = ?3",
            (longest if room > 0 else 0, _BEGINNING, rank.seq),
        ).fetchone()
        room -= min(size, longest)
        found.append((rank, json.loads(text)))
    return Seen(found, cursor)


class _Finder:
    """Finds the unread messages of some mailboxes, as they were at a time."""

    def __init__(
        self,
        db: sqlite3.Connection,
        boxes: Mailboxes,
        as_of_ms: int,
        now_ms: int,
        starred_by: str | None,
    ) -> None:
        self._db, self._boxes, self._as_of_ms, self._now_ms = db, boxes, as_of_ms, now_ms
        self._starred_by = starred_by
        self._names = json.dumps(boxes.names)

    def walk(self, priority: int, sender: str | None = None) -> Walk:
        """Return the unread ones of a priority, perhaps of one sender."""
        everything = unread(self._db, self._boxes, self._as_of_ms, False, self._starred_by)
        if sender is not None:
            rows = Rows(
                self._db, "SELECT seq FROM messages WHERE sender = ?", (sender,), "seq", down=False
            )
            everything = Every([rows, everything])
        sql = "SELECT seq FROM ranked WHERE recipient = ? AND priority = ?"
        names = (*self._boxes.names, EVERYBODY)
        of_priority = Either(
            [Rows(self._db, sql, (name, PRIORITIES[priority]), "seq", down=False) for name in names]
        )
        return Every([of_priority, everything])

    def ranks(self, priority: int, seqs: Iterator[int]) -> Iterator[tuple[Sender, Rank]]:
        """Yield the senders and ranks of messages of a priority."""
        for seq in seqs:
            sender, auth, verified, expires_ms, is_to_name = self._db.execute(
                "SELECT sender, json_extract(json, '$.auth'), json_extract(json, '$.verified'),"
                " expires_ms, EXISTS (SELECT 1 FROM json_each(?) CROSS JOIN inbox ON recipient ="
                " value AND lasting IN (0, 1) AND inbox.seq = messages.seq) FROM messages WHERE"
                " seq = ?",
                (self._names, seq),
            ).fetchone()
            name = sender.partition("/")[0]
            who = Sender("" if verified else auth or "", name)
            yield who, Rank(priority, 0, 1 - is_to_name, expires_ms or NEVER, seq)

    def is_dead(self, seq: int) -> bool:
        """Return whether it has expired since."""
        row = self._db.execute(
            "SELECT 1 FROM messages WHERE seq = ? AND expires_ms <= ?", (seq, self._now_ms)
        ).fetchone()
        return row is not None

    def first_of_others(
        self, priority: int, known: set[str], after: int
    ) -> Iterator[tuple[Sender, Rank]]:
        """Yield the first message behind `after` of each sender that is not known: of machines,
        then of other names.
        """
        others = islice((name for name in self._senders() if name not in known), _SENDERS)
        pairs = (
            (name, session)
            for name in others
            for session in islice(self._sessions(name), _SESSIONS)
        )
        for _, of_name in groupby(islice(pairs, 2 * _SENDERS), itemgetter(0)):
            walked = (
                walks.through(self.walk(priority, session), after, LAST, down=False)
                for _, session in of_name
            )
            if (seq := min(next(seqs, LAST) for seqs in walked)) < LAST:
                yield from self.ranks(priority, iter([seq]))

    def _senders(self) -> Iterator[str]:
        """Yield who has sent something, without sessions: machines before those that are not
        proved.
        """
        proved = set(machines(self._db))
        yield from sorted(proved)
        base = ""
        # Behind all of a name's sessions.
        while found := self._next_sender(base + "/\U0010ffff" if base else ""):
            base = found.partition("/")[0]
            if base not in proved:
                yield base

    def _sessions(self, name: str) -> Iterator[str]:
        """Yield a sender's name and those of its sessions that have sent something."""
        yield name
        found = self._next_sender(name + "/")
        while found and found.startswith(name + "/"):
            yield found
            found = self._next_sender(found)

    def _next_sender(self, name: str) -> str | None:
        found: str | None = self._db.execute(
            "SELECT min(sender) FROM messages WHERE sender > ?", (name,)
        ).fetchone()[0]
        return found


def _ranks(
    db: sqlite3.Connection, boxes: Mailboxes, cursor: Cursor, now_ms: int, starred_by: str | None
) -> Iterator[Rank]:
    finder = _Finder(db, boxes, cursor.as_of_ms, now_ms, starred_by)
    for priority in range(cursor.rank.priority, len(PRIORITIES)):
        for rank in _of_priority(finder, priority, cursor.rank):
            if rank > cursor.rank and not finder.is_dead(rank.seq):
                yield rank


def _of_priority(finder: _Finder, priority: int, after: Rank) -> Iterator[Rank]:
    seqs = walks.through(finder.walk(priority), 0, LAST, down=False)
    window = list(islice(finder.ranks(priority, seqs), _WINDOW))
    if len(window) < _WINDOW:
        yield from _in_rounds(window)
        return
    end = window[-1][1].seq
    others = list(finder.first_of_others(priority, {sender.name for sender, _ in window}, end))
    if after < Rank(priority, _TAIL, 0, 0, 0):
        yield from _in_rounds(window + others)
    shown = {rank.seq for _, rank in others}
    behind = walks.through(
        finder.walk(priority), max(end, after.seq if after.round == _TAIL else 0), LAST, down=False
    )
    for _, rank in finder.ranks(priority, behind):
        if rank.seq not in shown:
            yield Rank(priority, _TAIL, 0, 0, rank.seq)


def _in_rounds(found: list[tuple[Sender, Rank]]) -> list[Rank]:
    """Return the ranks in order, each in the round that is its place among its sender's."""
    by_name: dict[Sender, list[Rank]] = defaultdict(list)
    for who, rank in found:
        by_name[who].append(rank)
    by_credential: dict[str, list[Rank]] = defaultdict(list)
    for who, ranks in by_name.items():
        # Of a machine this is all there is; the names of one credential take turns first.
        by_credential[f"{who.shared}/" if who.shared else who.name] += _numbered(sorted(ranks))
    return sorted(rank for ranks in by_credential.values() for rank in _numbered(sorted(ranks)))


def _numbered(ranks: list[Rank]) -> list[Rank]:
    return [rank._replace(round=number) for number, rank in enumerate(ranks)]
