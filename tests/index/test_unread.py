"""What is unread, found by walking gaps between settled ranges, against the plain
definition of it.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus.index import expiring, messages
from bus.index.database import Index
from bus.index.mailboxes import Mailboxes
from bus.index.unread import unread_count
from bus.log.memory import MemoryLog
from bus.model import records
from bus.model.filter import Selection
from tests.log.folder import drafts

NAMES = ("a", "b", "c", "a/s")
NOW_MS = 1_900_000_000_000
PAST, FUTURE = records.utc(NOW_MS / 1000 - 60), records.utc(NOW_MS / 1000 + 60)

name = st.sampled_from(NAMES)
recipients = st.one_of(st.just("any"), name, st.lists(name, min_size=2, max_size=3, unique=True))
posts = st.tuples(
    st.just("post"), name, recipients, st.sampled_from([None, None, None, PAST, FUTURE])
)
by_itself = st.booleans()  # whether the machine acknowledges, or the shared user under its name
acks = st.tuples(
    st.just("ack"), name, st.lists(st.integers(1, 40), min_size=1, max_size=4), by_itself
)
acks_through = st.tuples(st.just("through"), name, st.integers(1, 40), by_itself)
changes = st.tuples(
    st.just("change"),
    st.sampled_from(NAMES[:2]),
    st.sampled_from(["add", "invite", "join", "revoke", "invite"]),
)
histories = st.lists(
    st.one_of(posts, posts, posts, acks, acks_through, changes, st.tuples(st.just("look"))),
    max_size=60,
)


@dataclass
class Naive:
    """Every message and acknowledgement as they are, and unread as it is defined."""

    sent: dict[int, tuple[str, list[str], str | None]] = field(default_factory=dict)
    acked: dict[tuple[str, int], int] = field(
        default_factory=dict
    )  # by which record: 0, by one that stays
    acted: dict[str, int] = field(default_factory=dict)
    invited: dict[str, int] = field(default_factory=dict)
    joined: dict[str, tuple[int, set[str]]] = field(
        default_factory=dict
    )  # the first time: since when, and who was there
    machines: set[str] = field(default_factory=set)

    def unread(self, reader: str) -> list[int]:
        return [
            seq
            for seq, (sender, to, expires) in self.sent.items()
            if sender != reader
            and (reader in to or ("any" in to and seq >= self.floor(reader)))
            and (reader, seq) not in self.acked
            and expires != PAST
        ]

    def floor(self, reader: str) -> int:
        since, old = self.joined.get(reader.partition("/")[0], (0, set()))
        return 0 if reader in old else since

    def change(self, name: str, action: str, seq: int) -> None:
        if action == "invite":
            self.invited.setdefault(name, seq)
        elif action == "revoke":
            self.invited.pop(name, None)
            self.machines.add(name)
        else:
            since = self.invited.pop(name, seq)
            self.acked = {
                key: made
                for key, made in self.acked.items()
                if key[0].partition("/")[0] != name or made < since
            }
            self.joined.setdefault(
                name, (since, {who for who, first in self.acted.items() if first < since})
            )
            self.machines.add(name)


def play(history: list[Any], log: MemoryLog, index: Index) -> Naive:
    """Do all that a history says, in the log and in the naive model; a look lets the index catch up
    so far.
    """
    naive = Naive()
    for step in history:
        if step[0] == "look":
            index.catch_up()
        elif step[0] == "change":
            _, who, action = step
            if action != "join" or who in naive.invited:
                record = {
                    "kind": "credential",
                    "action": action,
                    "name": who,
                    "role": "member",
                    "by": "x",
                    "auth": "x",
                }
                naive.change(who, action, log.append(drafts([record]))[0].record["seq"])
        elif step[0] == "post":
            _, sender, to, expires = step
            fields = {"kind": "message", "auth": "x", "from": sender, "to": to, "body": "b"}
            (made,) = log.append(
                drafts([fields if expires is None else {**fields, "expires": expires}])
            )
            naive.sent[made.record["seq"]] = (sender, to if isinstance(to, list) else [to], expires)
            naive.acted.setdefault(sender, made.record["seq"])
        else:
            acknowledge(step, log, naive)
    return naive


def acknowledge(step: Any, log: MemoryLog, naive: Naive) -> None:
    """An acknowledgement of messages that are there, as the hub lets only such through."""
    kind, reader, what, is_own = step
    machine = reader.partition("/")[0]
    through, ids = kind == "through", [what] if kind == "through" else list(dict.fromkeys(what))
    seqs = [seq for seq in ids if seq in naive.sent]
    if not seqs:
        return
    fields = {"through": seqs[0]} if through else {"seqs": seqs}
    made = log.append(
        drafts([{"kind": "ack", "reader": reader, "auth": machine if is_own else "x", **fields}])
    )[0].record["seq"]
    if is_own or machine not in naive.machines:
        naive.acted.setdefault(reader, made)
        for seq in [seq for seq in naive.sent if seq <= what] if through else seqs:
            naive.acked.setdefault((reader, seq), 0 if is_own else made)


@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
@given(histories, st.integers(0, 40), st.integers(1, 60), st.integers(1, 8))
def test_unread_is_what_its_definition_says(
    history: list[Any], after: int, before: int, limit: int
) -> None:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(expiring, "_BITS", 1)  # so that a few messages make a tree of several levels
        patch.setattr(expiring, "_LAST_OF", 1)
        log = MemoryLog(clock=lambda: NOW_MS / 1000)
        index = Index(Path(folder) / "index.db", log)
        try:
            naive = play(history, log, index)
            for reader in NAMES:
                compare(index, reader, naive.unread(reader), after, before, limit)
            compare_mailboxes(index, naive)
        finally:
            index.close()


def compare(
    index: Index, reader: str, unread: list[int], after: int, before: int, limit: int
) -> None:
    """Ask for all of it, for a window of it, for its beginning and for its end."""
    with index.reading() as db:

        def seqs(**filters: Any) -> list[int]:
            return messages.page(db, Selection(unread_by=reader, **filters), NOW_MS).seqs

        window = [seq for seq in unread if after < seq < before]
        assert seqs(limit=500) == unread
        assert seqs(limit=500, descending=True) == unread[::-1]
        assert seqs(limit=500, after=after, before=before) == window
        assert seqs(limit=limit, after=after) == [seq for seq in unread if seq > after][:limit]
        assert seqs(limit=limit, newest=True) == unread[-limit:]
        assert seqs(limit=500, sender="a") == [seq for seq in unread if seq in seqs_of(db, "a")]
        assert unread_count(db, Mailboxes(reader), NOW_MS, 1_000) == len(unread)
        assert seqs(limit=500, to="b") == [seq for seq in unread if seq in seqs_to(db, "b")]


def compare_mailboxes(index: Index, naive: Naive) -> None:
    """What is to a name, and all there is, upwards and downwards: the dead are left out."""
    with index.reading() as db:
        live = [seq for seq, (_, _, expires) in naive.sent.items() if expires != PAST]
        for name in (None, *NAMES):
            to_name = [
                seq for seq in live if name is None or {name, "any"} & set(naive.sent[seq][1])
            ]
            for down in (False, True):
                found = messages.page(
                    db, Selection(to=name, limit=500, descending=down), NOW_MS
                ).seqs
                assert found == (to_name[::-1] if down else to_name)
            assert messages.page(db, Selection(to=name, limit=500, expired=True), NOW_MS).seqs == [
                seq for seq in naive.sent if name is None or {name, "any"} & set(naive.sent[seq][1])
            ]


def seqs_of(db: Any, sender: str) -> set[int]:
    return {seq for (seq,) in db.execute("SELECT seq FROM messages WHERE sender = ?", (sender,))}


def seqs_to(db: Any, name: str) -> set[int]:
    return {
        seq for (seq,) in db.execute("SELECT seq FROM inbox WHERE recipient IN (?, 'any')", (name,))
    }


@settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
@given(histories)
def test_it_makes_no_difference_in_which_steps_an_index_was_brought_up(history: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = MemoryLog(clock=lambda: NOW_MS / 1000)
        by_steps = Index(Path(folder) / "steps.db", log)
        play(history, log, by_steps)
        at_once = Index(Path(folder) / "once.db", log)
        try:
            for index in (by_steps, at_once):
                index.catch_up()
            assert content(by_steps) == content(at_once)
        finally:
            by_steps.close()
            at_once.close()


def content(index: Index) -> dict[str, list[Any]]:
    """All rows of all tables that say something about messages."""
    with index.as_is() as db:
        tables = [
            "place",
            "ranked",
            "ackers",
            "messages",
            "inbox",
            "expiring",
            "settled",
            "acks",
            "acks_through",
            "actors",
        ]
        tables += ["floors", "invited", "provisional", "settled_before", "machines"]
        return {
            table: sorted(db.execute(f"SELECT * FROM {table}").fetchall(), key=repr)
            for table in tables
        }
