"""What a question costs, counted in steps of SQLite's machine: by what it gives, not by what others
have sent.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bus.index import acks, activity, approvals, inbox, messages, search
from bus.index.database import Index
from bus.index.mailboxes import Mailboxes
from bus.index.unread import unread_count
from bus.log.memory import MemoryLog
from bus.model import records
from bus.model.filter import MAX_PAGE_BYTES, Selection
from tests.log.folder import draft, drafts

NOW_MS = 1_900_000_000_000
PAST, FUTURE = records.utc(NOW_MS / 1000 - 60), records.utc(NOW_MS / 1000 + 60)
MANY = 3_000

Hub = tuple[MemoryLog, Index]


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    log = MemoryLog(clock=lambda: NOW_MS / 1000)
    index = Index(tmp_path / "index.db", log)
    log.append(drafts([draft(f"m{number}", to="bob") for number in range(20)]))
    yield log, index
    index.close()


def steps(index: Index, question: Callable[[sqlite3.Connection], object]) -> int:
    """How many steps a question takes, in tens."""
    counted = 0

    def count() -> int:
        nonlocal counted
        counted += 1
        return 0

    with index.reading() as db:
        question(db)  # what is prepared once does not count
        db.set_progress_handler(count, 10)
        question(db)
    return counted


def flood(log: MemoryLog, **fields: object) -> list[int]:
    made = log.append(
        drafts([draft("flood", **{"from": "eve", "to": "any", **fields}) for _ in range(MANY)])
    )
    return [appended.record["seq"] for appended in made]


def joined(log: MemoryLog, name: str) -> None:
    log.append(
        drafts(
            [
                {
                    "kind": "credential",
                    "action": "add",
                    "name": name,
                    "role": "member",
                    "by": "x",
                    "auth": "x",
                }
            ]
        )
    )


QUESTIONS: dict[str, Callable[[sqlite3.Connection], object]] = {
    "poll": lambda db: messages.page(db, Selection(unread_by="bob"), NOW_MS),
    "unread count": lambda db: unread_count(db, Mailboxes("bob"), NOW_MS, 1_000),
    "inbox": lambda db: inbox.first(db, Mailboxes("bob"), NOW_MS, None, 20, 10_000),
    "to": lambda db: messages.page(db, Selection(to="bob"), NOW_MS),
    "to, newest": lambda db: messages.page(db, Selection(to="bob", newest=True), NOW_MS),
    "newest": lambda db: messages.page(db, Selection(newest=True, limit=10), NOW_MS),
    "stream": lambda db: messages.page(db, Selection(after=20), NOW_MS),
}


DEAD, ACKED, BY_TURNS = (
    "dead",
    "live and acknowledged",
    "dead by turns with live and acknowledged ones",
)
ABOUT_A_READER = ("poll", "unread count", "inbox")


@pytest.mark.parametrize("way", [DEAD, ACKED, BY_TURNS])
def test_expiring_messages_cost_nothing_when_they_are_dead_or_acknowledged(
    hub: Hub, way: str
) -> None:
    log, index = hub
    before = {name: steps(index, question) for name, question in QUESTIONS.items()}
    if way == DEAD:
        flood(log, expires=PAST)
    elif way == ACKED:
        log.append(drafts([{"kind": "ack", "reader": "bob", "seqs": flood(log, expires=FUTURE)}]))
    else:
        both = [
            draft("m", **{"from": "eve", "to": "any", "expires": (PAST, FUTURE)[number % 2]})
            for number in range(MANY)
        ]
        for live in log.append(drafts(both))[1::2]:
            log.append(drafts([{"kind": "ack", "reader": "bob", "seqs": [live.record["seq"]]}]))
    for name in ABOUT_A_READER if way != DEAD else QUESTIONS:
        assert steps(index, QUESTIONS[name]) < 2 * before[name] + 90, name


def test_a_page_without_a_filter_costs_no_more_than_reading_its_rows(hub: Hub) -> None:
    log, index = hub
    flood(log)
    rows = steps(
        index,
        lambda db: db.execute(
            "SELECT seq, json, expires_ms FROM messages WHERE seq > 20 LIMIT 21"
        ).fetchall(),
    )
    for places in ({"newest": True}, {"after": 20}, {"before": 500, "descending": True}):
        selection = Selection(limit=20, **places)
        assert (
            steps(index, lambda db, chosen=selection: messages.page(db, chosen, NOW_MS))
            < 2 * rows + 10
        ), places


@pytest.mark.parametrize("dead", [1, 8, 9, 200])
def test_dead_messages_are_left_out_of_a_page_without_a_filter(hub: Hub, dead: int) -> None:
    log, index = hub
    log.append([draft("dead", expires=PAST) for _ in range(dead)])
    log.append(drafts([draft(f"n{number}") for number in range(5)]))
    last = log.position().seq
    after = list(range(last - 4, last + 1))
    with index.reading() as db:
        assert messages.page(db, Selection(newest=True, limit=8), NOW_MS)[1:] == (
            [18, 19, 20, *after],
            True,
        )
        assert messages.page(db, Selection(after=17, limit=8), NOW_MS)[1:] == (
            [18, 19, 20, *after],
            False,
        )
        assert messages.page(db, Selection(before=last, descending=True, limit=5), NOW_MS)[1:] == (
            [*after[3::-1], 20],
            True,
        )
        assert messages.page(db, Selection(after=last), NOW_MS)[1:] == ([], False)


def test_live_expiring_messages_cost_a_poll_no_more_than_lasting_ones(hub: Hub) -> None:
    log, index = hub
    log.append(drafts([{"kind": "ack", "reader": "bob", "through": 20}]))
    flood(log)
    lasting = {name: steps(index, question) for name, question in QUESTIONS.items()}
    log.append(drafts([{"kind": "ack", "reader": "bob", "through": log.position().seq}]))
    flood(log, expires=FUTURE)
    for name in ABOUT_A_READER:
        assert steps(index, QUESTIONS[name]) < 3 * lasting[name] + 60, name


def test_an_inbox_costs_no_more_with_a_larger_backlog(hub: Hub) -> None:
    log, index = hub
    flood(log, priority="fyi")
    flood(log)
    before = steps(index, QUESTIONS["inbox"])
    for _ in range(3):
        flood(log, priority="fyi")
        flood(log)
    assert steps(index, QUESTIONS["inbox"]) < 1.2 * before + 60


SELECTIVE = {
    "from nobody": Selection(sender="nosuch"),
    "no such tag": Selection(tag="nosuch"),
    "no such thread": Selection(thread="nosuch"),
    "unread, from nobody": Selection(unread_by="carol", sender="nosuch"),
    "unread, with a rare tag": Selection(unread_by="carol", tag="rare"),
    "of a common sender with a rare tag": Selection(sender="eve", tag="rare"),
    "to a name, of a rare sender": Selection(to="carol", sender="alice", newest=True),
}


def test_a_filter_that_matches_little_is_asked_first(hub: Hub) -> None:
    log, index = hub
    log.append([draft("x", to="any", tags=["rare"])])
    flood(log, tags=["common"])
    for name, selection in SELECTIVE.items():
        assert steps(index, lambda db, chosen=selection: messages.page(db, chosen, NOW_MS)) < 400, (
            name
        )
        assert (
            steps(index, lambda db, chosen=selection: search.search(db, '"flood"', chosen, NOW_MS))
            < 400
        ), name


def test_a_reader_is_done_with_what_lies_dead_between_two_that_it_acknowledged(hub: Hub) -> None:
    log, index = hub
    seqs = []
    for number in range(30):
        (made,) = log.append(
            drafts(
                [draft("m", to="any", expires=PAST if number % 2 else FUTURE, **{"from": "eve"})]
            )
        )
        seqs.append(made.record["seq"])
    for seq in seqs[::2]:
        log.append(drafts([{"kind": "ack", "reader": "bob", "seqs": [seq]}]))
    with index.reading() as db:
        ranges = db.execute(
            "SELECT lo, hi FROM settled WHERE reader = 'bob' AND lasting = 0"
        ).fetchall()
    assert len(ranges) == 1


# -- the feed ------------------------------------------------------------------------------------


def all_events(index: Index, **wanted: object) -> list[int]:
    """The seqs of all pages of the feed, followed by `after`."""
    seen: list[int] = []
    after = 0
    while True:
        with index.reading() as db:
            found, has_more = activity.events(
                db, activity.Filter(since_ms=0, after=after, **wanted)
            )
        assert sum(len(json.dumps(event)) for _, event in found) < MAX_PAGE_BYTES + 20_000
        seen += [event["seq"] for _, event in found]
        if not has_more:
            return seen
        after = seen[-1]


def test_the_feed_costs_by_what_it_gives(hub: Hub) -> None:
    log, index = hub
    flood(log)
    for wanted in (
        activity.Filter(0, sender="nosuch"),
        activity.Filter(0, target="nosuch"),
        activity.Filter(0, limit=5),
    ):
        assert steps(index, lambda db, wanted=wanted: activity.events(db, wanted)) < 400


@pytest.mark.parametrize("sessions", [3, 130])
def test_the_feed_of_a_machine_has_that_of_its_sessions(hub: Hub, sessions: int) -> None:
    log, index = hub
    names = ["web", *(f"web/s{number}" for number in range(sessions)), "web0", "web-1"]
    made = log.append(drafts([draft("m", **{"from": name}) for name in names]))
    assert all_events(index, sender="web", limit=50) == [done.record["seq"] for done in made[:-2]]
    assert all_events(index, sender="web/s1") == [made[2].record["seq"]]


def test_a_page_of_the_feed_is_bounded_by_bytes(hub: Hub) -> None:
    log, index = hub
    log.append([draft("x" * 65_536) for _ in range(20)])
    assert all_events(index) == list(range(1, 41))
    with index.reading() as db:
        newest, has_more = activity.events(db, activity.Filter(since_ms=0))
    assert has_more
    assert newest[-1][1]["seq"] == 40


def test_questions_of_long_ago_cost_nothing(tmp_path: Path) -> None:
    now = NOW_MS / 1000
    log = MemoryLog(clock=lambda: now)
    index = Index(tmp_path / "index.db", log)

    def ask(count: int, auth: str) -> None:
        ids, expires = records.new_ids(now), records.utc(now + 900)
        call = {
            "kind": "approval_asked",
            "auth": auth,
            "from": auth,
            "type": "exec",
            "target": "db1",
            "digest": "d",
            "expires": expires,
        }
        log.append(drafts([{**call, "approval": next(ids)} for _ in range(count)]))

    def cost() -> int:
        day_ago = records.utc(now - 86_400)
        return steps(
            index, lambda db: approvals.pending_count(db, "web", records.utc(now), day_ago)
        ) + steps(index, lambda db: list(approvals.newest(db, "web", day_ago)))

    ask(5, "web")
    before = cost()
    ask(500, "web")
    ask(500, "eve")
    now += 2 * 86_400
    ask(5, "web")
    with index.reading() as db:
        assert approvals.pending_count(db, "web", records.utc(now), records.utc(now - 86_400)) == 5
        assert len(list(approvals.newest(db, None, records.utc(now - 86_400)))) == 5
    assert cost() < before + 30
    index.close()


def test_receipts_cost_nothing_for_names_that_acknowledged_what_is_older(hub: Hub) -> None:
    log, index = hub
    before = steps(index, lambda db: acks.ackers(db, 20, "", 100))
    log.append(
        drafts(
            [{"kind": "ack", "reader": f"eve/s{number}", "through": 5} for number in range(MANY)]
        )
    )
    log.append(
        drafts([{"kind": "ack", "reader": name, "through": 20} for name in ("carol", "bob")])
    )
    with index.reading() as db:
        assert acks.ackers(db, 20, "", 100) == ["bob", "carol"]
        assert acks.ackers(db, 20, "bob", 100) == ["carol"]
    assert steps(index, lambda db: acks.ackers(db, 20, "", 100)) < before + 60


def test_an_inbox_costs_no_more_with_many_names_and_sessions(hub: Hub) -> None:
    """As many as take turns have a walk each; those behind them have none."""
    log, index = hub
    flood(log, priority="urgent")
    as_many = [
        draft("m", to="bob", **{"from": f"n{number:04}/{session}"})
        for number in range(600)
        for session in (1, 2)
    ]
    log.append(drafts(as_many))
    before = steps(index, QUESTIONS["inbox"])
    log.append(
        drafts(
            [
                {**message.fields, "from": f"{message.fields['from']}{more}"}
                for message in as_many
                for more in "abcde"
            ]
        )
    )
    log.append(
        drafts([draft("m", to="bob", **{"from": f"n0001/s{number}"}) for number in range(MANY)])
    )
    assert steps(index, QUESTIONS["inbox"]) < 1.5 * before + 60


def test_broadcasts_from_before_a_machine_joined_cost_it_nothing(hub: Hub) -> None:
    log, index = hub
    before = {name: steps(index, QUESTIONS[name]) for name in ABOUT_A_READER}
    for more in ({}, {"expires": FUTURE}):
        log.append(
            drafts(
                [
                    draft("m", **{"from": "eve", "to": ("any", "bob")[number % 2], **more})
                    for number in range(600)
                ]
            )
        )
    log.append(
        drafts(
            [
                {
                    "kind": "credential",
                    "action": "add",
                    "name": "bob",
                    "role": "member",
                    "by": "x",
                    "auth": "x",
                }
            ]
        )
    )
    log.append(
        drafts(
            [
                {"kind": "ack", "auth": "bob", "reader": "bob", "seqs": [seq]}
                for seq in range(22, 1_221, 2)
            ]
        )
    )
    for name in ABOUT_A_READER:
        assert steps(index, QUESTIONS[name]) < 2 * before[name] + 60, name
