"""Names that have only polled: whom a broadcast counts, and whom receipts list."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bus.live.presence import Presence
from tests.conftest import Caller, move, wait_until

NAMES = 1_200
MONTH = 30 * 86_400


@pytest.fixture
def later(bus: Caller) -> Callable[[float], None]:
    return partial(move, bus.hub)


def crowd(bus: Caller) -> None:
    """Many names that have polled once."""
    hub = bus.hub
    for number in range(NAMES):
        hub.presence.note_poll(f"eve/s{number:04}", [], hub.journal.now_ms())


def receipts(bus: Caller, ref: str, **query: Any) -> dict[str, Any]:
    reply = bus.get(f"/messages/{ref}/receipts", query_string=query)
    assert reply.status_code == 200, reply.json
    return reply.json  # type: ignore[no-any-return]


def test_names_that_have_only_polled_leave_after_a_while_and_their_mail_stays(
    bus: Caller, later: Any
) -> None:
    crowd(bus)
    bus.get("/messages?unread_by=bob")
    bus.get("/messages?unread_by=carol")
    bus.ack(bus.say(to="carol"), "carol")
    mine = bus.say("for a session", to="eve/s0000")
    later(MONTH + 60)
    saved = bus.say(to="any", sender="dave")
    for _ in range(NAMES // 200 + 1):  # they go some at a time
        receipts(bus, saved["id"])

    def are_counted(count: int) -> bool:  # a count is kept for a quarter of a second
        return bool(bus.say(to="any", sender="dave")["delivery"] == {"any": {"readers": count}})

    assert wait_until(lambda: are_counted(1)), "carol has acknowledged, so she is a reader still"
    assert list(receipts(bus, saved["id"])["receipts"]) == ["alice", "carol"]
    assert bus.get("/messages?unread_by=eve/s0000").json["messages"][0]["id"] == mine["id"]
    assert wait_until(lambda: are_counted(2)), "it is back"


def test_a_broadcast_counts_no_further_than_a_thousand(bus: Caller) -> None:
    crowd(bus)
    assert bus.say(to="any")["delivery"] == {"any": {"readers": 1_000}}


def test_receipts_of_a_broadcast_come_in_pages(bus: Caller) -> None:
    crowd(bus)
    saved = bus.say(to="any")
    bus.ack(saved, "zed")
    first = receipts(bus, saved["id"])
    assert (len(first["receipts"]), first["has_more"], first["more"]) == (
        500,
        True,
        NAMES + 1 - 500,
    )
    assert (
        f"-- {NAMES + 1 - 500} more: after=eve/s0499"
        in bus.get(f"/messages/{saved['id']}/receipts?format=text").text
    )
    seen, place = list(first["receipts"]), first["next"]
    while place is not None:
        page = receipts(bus, saved["id"], after=place)
        seen += page["receipts"]
        place = page["next"]
    assert seen == [*(f"eve/s{number:04}" for number in range(NAMES)), "zed"]
    assert page["receipts"]["zed"]["acked"] is not None
    assert (page["has_more"], page["more"]) == (False, 0)
    assert list(receipts(bus, saved["id"], limit=1, after="eve/s0003")["receipts"]) == ["eve/s0004"]


def test_receipts_of_a_message_to_names_begin_with_those_and_add_who_else_took_it(
    bus: Caller,
) -> None:
    bus.say(to="any")
    saved = bus.say(to=["bob", "carol"])
    for reader in ("dave", "abe"):
        bus.post("/ack", json={"reader": reader, "through": saved["id"]})
    bus.ack(saved, "erin")
    assert list(receipts(bus, saved["id"])["receipts"]) == ["bob", "carol", "abe", "dave", "erin"]
    first = receipts(bus, saved["id"], limit=2)
    assert (list(first["receipts"]), first["more"], first["next"]) == (
        ["bob", "carol", "abe", "dave"],
        1,
        "dave",
    )
    rest = receipts(bus, saved["id"], limit=2, after="dave")
    assert (list(rest["receipts"]), rest["has_more"]) == (["erin"], False)
    assert rest["receipts"]["erin"]["acked"] is not None


def test_the_file_of_an_older_hub_is_read_on(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "presence.db")
    db.execute("CREATE TABLE seen (reader TEXT PRIMARY KEY, ms INTEGER NOT NULL) WITHOUT ROWID")
    db.executemany(
        "INSERT INTO seen VALUES (?, ?)", [("bob", 5_000), ("fetch bob", 4_000), ("carol", 3_000)]
    )
    db.commit()
    db.close()
    for _ in range(2):
        presence = Presence(tmp_path / "presence.db")
        assert (presence.last_seen("bob"), presence.last_fetch("bob")) == (5_000, 4_000)
        assert (presence.last_seen("carol"), presence.last_fetch("carol")) == (3_000, None)
        assert presence.readers(6_000) == ["bob", "carol"]
        presence.close()


def test_notes_of_what_was_fetched_stay_within_their_bytes_and_the_oldest_go(
    tmp_path: Path,
) -> None:
    presence = Presence(tmp_path / "presence.db", keep_bytes=256 << 10)
    presence.note_poll("bob", [100_000], 1)
    for number in range(60):
        presence.note_poll(f"eve/s{number}", range(500), number)
    presence.close()
    assert (tmp_path / "presence.db").stat().st_size < 512 << 10
    presence = Presence(tmp_path / "presence.db")
    assert presence.fetched(100_000, ["bob"]) == {"bob": 1}
    assert presence.fetches(499, "", 100) != []
    presence.close()
