"""GET /messages: filters, order, cursors and the long poll. A read changes nothing."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bus.config import Config
from tests.conftest import Caller, wait_until
from tests.web.conftest import last_seq, refusal


def page(bus: Caller, query: str = "") -> dict[str, Any]:
    reply = bus.get(f"/messages?{query}")
    assert reply.status_code == 200, reply.json
    return reply.json  # type: ignore[no-any-return]


@pytest.fixture
def ten(bus: Caller) -> list[dict[str, Any]]:
    """Ten messages to bob, m1 to m10; their seqs are 1 to 10."""
    return [bus.say(f"m{number}") for number in range(1, 11)]


def numbers(given: dict[str, Any]) -> list[int]:
    return [int(message["body"][1:]) for message in given["messages"]]


def test_an_empty_hub_has_an_empty_page(bus: Caller) -> None:
    assert page(bus) == {"messages": [], "count": 0, "has_more": False, "next": 0}


@pytest.mark.parametrize(
    ("query", "found", "has_more", "next"),
    [
        ("", range(1, 11), False, 10),
        ("limit=3", [8, 9, 10], True, 10),
        ("limit=3&order=desc", [10, 9, 8], True, 8),
        ("limit=3&order=desc&before=8", [7, 6, 5], True, 5),
        ("order=desc&before=3", [2, 1], False, 1),
        ("order=desc&before=1", [], False, 1),
        ("limit=3&before=8", [5, 6, 7], True, 7),
        ("since=0&limit=3", [1, 2, 3], True, 3),
        ("since=3&limit=3", [4, 5, 6], True, 6),
        ("since=7", [8, 9, 10], False, 10),
        ("since=10", [], False, 10),
        ("since=99", [], False, 99),
        ("since=3&before=6", [4, 5], False, 5),
        ("since=3&before=9&limit=2&order=desc", [8, 7], True, 7),
        ("since=5&before=5", [], False, 5),
        ("unread_by=bob&limit=2", [1, 2], True, 2),
        ("unread_by=bob&limit=2&since=2", [3, 4], True, 4),
        ("unread_by=bob&limit=2&order=desc", [10, 9], True, 9),
        ("unread_by=bob&before=3", [1, 2], False, 2),
        ("limit=500", range(1, 11), False, 10),
    ],
)
def test_a_page_has_these_messages_and_this_cursor(
    bus: Caller, ten: list[Any], query: str, found: Any, has_more: bool, next: int
) -> None:
    given = page(bus, query)
    assert (numbers(given), given["count"], given["has_more"], given["next"]) == (
        list(found),
        len(found),
        has_more,
        next,
    )


def test_an_id_is_a_cursor_too(bus: Caller, ten: list[dict[str, Any]]) -> None:
    assert numbers(page(bus, f"since={ten[7]['id']}")) == [9, 10]
    assert numbers(page(bus, f"since={ten[7]['id'].lower()}&before={ten[9]['id']}")) == [9]


def test_a_cursor_that_is_no_message_is_not_found(bus: Caller) -> None:
    refusal(bus.get("/messages?since=" + "0" * 26), 404, "not_found")


def test_the_default_page_has_fifty(bus: Caller) -> None:
    for _ in range(51):
        bus.say()
    given = page(bus)
    assert (given["count"], given["has_more"], given["messages"][0]["seq"]) == (50, True, 2)


@pytest.mark.parametrize("filter", ["", "&to=bob", "&unread_by=bob", "&tag=odd", "&from=alice"])
def test_following_next_gives_everything_once_in_order(bus: Caller, filter: str) -> None:
    for number in range(23):
        (
            bus.say(f"m{number}", tags=["odd"] if number % 2 else [], expires_in_s=60 + number)
            if number % 5 == 0
            else bus.say(f"m{number}", tags=["odd"] if number % 2 else [])
        )
    for start, forwards in (("since=0", True), ("order=desc", False)):
        cursor, seen = start, list[int]()
        for _ in range(20):
            given = page(bus, f"{cursor}&limit=4{filter}")
            seen += numbers(given)
            cursor = f"since={given['next']}" if forwards else f"order=desc&before={given['next']}"
            if not given["has_more"]:
                break
        expected = [number for number in range(23) if number % 2 or "odd" not in filter]
        assert seen == (expected if forwards else expected[::-1])


def test_the_cursor_of_an_empty_page_lies_before_what_came_while_it_was_made(
    bus: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = bus.hub
    make = hub.messages.read

    def make_and_post(*args: Any) -> Any:
        made = make(*args)
        bus.say("just after", to="carol")
        return made

    bus.say("to somebody else")
    with monkeypatch.context() as patch:
        patch.setattr(hub.messages, "read", make_and_post)
        cursor = page(bus, "to=carol")["next"]
    assert bus.bodies(f"to=carol&since={cursor}") == ["just after"]


@pytest.fixture
def mixed(bus: Caller) -> dict[str, dict[str, Any]]:
    """Messages of several senders to several recipients."""
    root = bus.say("to bob", tags=["build"], thread="t1")
    return {
        "to bob": root,
        "to all": bus.say("to all", to="any", sender="carol", tags=["build", "ok"]),
        "to both": bus.say("to both", to=["bob", "carol"], tags=["ok"]),
        "to session": bus.say("to session", to="bob/s1"),
        "by bob": bus.say("by bob", sender="bob", to="alice", thread="t1"),
    }


@pytest.mark.parametrize(
    ("query", "bodies"),
    [
        ("to=bob", ["to bob", "to all", "to both"]),
        ("to=carol", ["to all", "to both"]),
        ("to=any", ["to all"]),
        ("to=all", ["to all"]),
        ("to=bob/s1", ["to all", "to session"]),
        ("to=nobody", ["to all"]),
        ("from=carol", ["to all"]),
        ("from=bob&to=alice", ["by bob"]),
        ("tag=build", ["to bob", "to all"]),
        ("tag=ok&to=bob", ["to all", "to both"]),
        ("tag=ok&to=bob&from=alice", ["to both"]),
        ("tag=o", []),
        ("thread=t1", ["to bob", "by bob"]),
        ("thread=t1&from=bob", ["by bob"]),
        ("unread_by=bob", ["to bob", "to all", "to both"]),
        ("unread_by=bob&from=carol", ["to all"]),
        ("unread_by=bob&tag=ok&limit=1", ["to all"]),
        ("unread_by=bob&to=carol", ["to all", "to both"]),
        ("unread_by=bob/s1", ["to all", "to session"]),
        ("unread_by=carol", ["to both"]),
        ("unread_by=alice", ["to all", "by bob"]),
        ("since=1&to=bob", ["to all", "to both"]),
    ],
)
def test_filters_join_and_broadcasts_reach_every_name(
    bus: Caller, mixed: Any, query: str, bodies: list[str]
) -> None:
    assert bus.bodies(query) == bodies


def test_the_root_of_a_thread_is_found_by_its_own_id(bus: Caller) -> None:
    root = bus.say("root")
    bus.say("reply", in_reply_to=root["id"])
    assert bus.bodies(f"thread={root['id']}") == ["root", "reply"]


def test_an_expired_message_is_left_out_unless_asked_for(
    bus: Caller, later: Callable[[float], None]
) -> None:
    gone = bus.say("gone", expires_in_s=60)
    bus.say("stays")
    later(59)
    assert bus.bodies("unread_by=bob") == bus.bodies("") == ["gone", "stays"]
    later(61)
    for query in ("", "to=bob", "unread_by=bob", "since=0", "order=desc"):
        assert bus.bodies(query) == ["stays"]
        assert sorted(bus.bodies(f"{query}&expired=1")) == ["gone", "stays"]
        assert bus.bodies(f"{query}&expired=0") == ["stays"]
    assert bus.get(f"/messages/{gone['id']}").json["body"] == "gone"


@pytest.mark.parametrize("ref", ["99", "0", "0" * 26])
@pytest.mark.parametrize("route", ["/messages/{}", "/messages/{}/receipts"])
def test_what_is_not_there_is_not_found(bus: Caller, route: str, ref: str) -> None:
    refusal(bus.get(route.format(ref)), 404, "not_found")


def test_an_acknowledgement_is_no_message(bus: Caller) -> None:
    bus.ack(bus.say())
    assert last_seq(bus) == 2
    refusal(bus.get("/messages/2"), 404, "not_found")
    assert page(bus)["count"] == bus.get("/health").json["count"] == 1


def test_a_read_writes_no_record_and_changes_no_answer(
    bus: Caller, config: Config, ten: list[dict[str, Any]]
) -> None:
    bus.ack(ten[4])
    log = Path(config.data_dir) / "bus.jsonl"
    before = log.read_bytes()
    reads = ["/", "/health", "/messages", "/messages?unread_by=bob&limit=3",
             "/messages?unread_by=new&wait=0.01",
             "/messages?to=bob", "/messages/1", "/messages/1/receipts", "/search?q=m1",
             "/inbox?reader=bob", "/docs"]  # fmt: skip
    first = [bus.get("/messages?unread_by=bob").get_data()]
    for path, method in itertools.product(reads, ("GET", "HEAD", "OPTIONS")):
        assert bus.call(method, path).status_code == 200
    assert log.read_bytes() == before
    assert bus.get("/messages?unread_by=bob").get_data() == first[0]


def test_a_wait_that_nothing_ends_is_answered_empty_in_time(bus: Caller) -> None:
    bus.say("to bob")
    started = time.monotonic()
    given = page(bus, "unread_by=carol&wait=0.3")
    assert 0.25 < time.monotonic() - started < 5
    assert given == {"messages": [], "count": 0, "has_more": False, "next": 1}


def test_a_wait_is_answered_at_once_when_there_is_something(bus: Caller) -> None:
    bus.say()
    started = time.monotonic()
    assert page(bus, "unread_by=bob&wait=60")["count"] == 1
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    "query",
    [
        "unread_by=bob",
        "to=bob&since=1",
        "tag=now&since=1",
        "from=carol&since=1",
        "thread=t&since=1",
        "since=1",
    ],
)
def test_a_wait_ends_as_soon_as_something_matches(bus: Caller, query: str) -> None:
    bus.say("not this", to="dave", sender="alice")
    hub = bus.hub
    replies: list[dict[str, Any]] = []
    waiter = threading.Thread(
        target=lambda: replies.append(page(Caller(bus.app), f"{query}&wait=30"))
    )
    waiter.start()
    wait_until(lambda: hub.waiting.total() == 1)
    started = time.monotonic()
    bus.say("this", sender="carol", tags=["now"], thread="t")
    waiter.join(20)
    assert [message["body"] for message in replies[0]["messages"]] == ["this"]
    assert time.monotonic() - started < 5
    assert hub.waiting.total() == 0


def test_a_wait_is_not_ended_by_what_does_not_match(bus: Caller) -> None:
    hub = bus.hub
    replies: list[dict[str, Any]] = []
    waiter = threading.Thread(
        target=lambda: replies.append(page(Caller(bus.app), "unread_by=bob&tag=now&wait=30"))
    )
    waiter.start()
    wait_until(lambda: hub.waiting.total() == 1)
    bus.say("to another", to="carol", tags=["now"])
    bus.say("with another tag")
    bus.say("by himself", sender="bob", to="any", tags=["now"])
    bus.say("this", tags=["now"])
    waiter.join(20)
    assert [message["body"] for message in replies[0]["messages"]] == ["this"]


def test_one_more_than_the_cap_gets_a_polite_answer_and_the_others_wait_on(
    bus: Caller, config: Config
) -> None:
    hub = bus.hub
    replies: list[Any] = []
    waiters = [
        threading.Thread(
            target=lambda: replies.append(page(Caller(bus.app), "unread_by=bob&wait=30"))
        )
        for _ in range(config.max_waiting)
    ]
    for waiter in waiters:
        waiter.start()
    wait_until(lambda: hub.waiting.total() == config.max_waiting)
    for path in ("/messages?unread_by=bob&wait=1", "/stream"):
        reply = bus.get(path)
        refusal(reply, 503, "too_many_waiting")
        assert int(reply.headers["Retry-After"]) > 0
    assert bus.get("/messages?unread_by=bob").status_code == 200
    assert bus.get("/health").json["waiting"] == config.max_waiting
    bus.say()
    for waiter in waiters:
        waiter.join(20)
    assert [reply["count"] for reply in replies] == [1] * config.max_waiting
    assert page(bus, "unread_by=nobody&wait=0.01")["count"] == 0
