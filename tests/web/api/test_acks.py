"""Acknowledging, what is unread, and receipts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Caller
from tests.web.conftest import last_seq, refusal


def ack(bus: Caller, **fields: Any) -> dict[str, Any]:
    reply = bus.post("/ack", json=fields)
    assert reply.status_code == 200, reply.json
    return reply.json  # type: ignore[no-any-return]


def test_a_message_is_unread_until_its_reader_says_otherwise(bus: Caller) -> None:
    saved = bus.say()
    for _ in range(3):
        assert bus.bodies("unread_by=bob") == ["hello"]
    assert bus.ack(saved) == {
        "ok": True,
        "id": saved["id"],
        "reader": "bob",
        "acked": [1],
        "already": [],
    }
    assert bus.bodies("unread_by=bob") == []
    assert bus.bodies("to=bob") == ["hello"]


def test_acknowledging_again_changes_nothing(bus: Caller) -> None:
    saved = bus.say()
    bus.ack(saved)
    before = last_seq(bus)
    assert bus.ack(saved)["already"] == [1]
    assert set(ack(bus, reader="bob", ids=[1, saved["id"], "1"])["already"]) == {1}
    assert ack(bus, reader="bob", through=1) == {
        "ok": True,
        "reader": "bob",
        "acked": [],
        "already": [1],
    }
    assert last_seq(bus) == before


def test_a_session_is_a_reader_of_its_own(bus: Caller) -> None:
    bus.say("to all", to="any")
    bus.say("to bob", to="bob")
    bus.say("to session", to="bob/s1")
    assert bus.bodies("unread_by=bob") == ["to all", "to bob"]
    assert bus.bodies("unread_by=bob/s1") == ["to all", "to session"]
    ack(bus, reader="bob", through=3)
    assert bus.bodies("unread_by=bob") == []
    assert bus.bodies("unread_by=bob/s1") == ["to all", "to session"]


def test_own_messages_are_never_unread(bus: Caller) -> None:
    bus.say("to all", to="any", sender="bob")
    bus.say("to himself", to="bob", sender="bob")
    bus.say("to himself and another", to=["bob", "carol"], sender="bob")
    bus.say("expiring", to="any", sender="bob", expires_in_s=60)
    assert bus.bodies("unread_by=bob") == bus.bodies("unread_by=bob&expired=1") == []
    assert bus.bodies("to=bob") == ["to all", "to himself", "to himself and another", "expiring"]


def test_each_reader_acknowledges_a_broadcast_alone(bus: Caller) -> None:
    saved = bus.say(to="any")
    bus.ack(saved, "bob")
    assert (bus.bodies("unread_by=bob"), bus.bodies("unread_by=carol")) == ([], ["hello"])


def test_several_are_acknowledged_at_once_in_any_notation(bus: Caller) -> None:
    saved = [bus.say(f"m{number}") for number in range(5)]
    bus.ack(saved[2])
    given = ack(bus, reader="bob", ids=[saved[4]["id"], 1, "3", saved[0]["id"].lower()])
    assert (sorted(given["acked"]), given["already"]) == ([1, 5], [3])
    assert bus.bodies("unread_by=bob") == ["m1", "m3"]
    assert last_seq(bus) == 5 + 2


@pytest.mark.parametrize("through", [3, "3", "id"])
def test_through_acknowledges_everything_up_to_it(bus: Caller, through: Any) -> None:
    saved = [bus.say(f"m{number}", to="any" if number % 2 else "bob") for number in range(5)]
    given = ack(bus, reader="bob", through=saved[2]["id"] if through == "id" else through)
    assert given["acked"] == [3]
    assert bus.bodies("unread_by=bob") == ["m3", "m4"]
    assert bus.bodies("unread_by=carol") == ["m1", "m3"]


def test_what_comes_later_is_unread_after_through(bus: Caller) -> None:
    ack(bus, reader="bob", through=bus.say("first")["id"])
    bus.say("second")
    assert bus.bodies("unread_by=bob") == ["second"]


def test_shown_acknowledges_what_the_reader_was_given(
    bus: Caller,
) -> None:
    first = bus.say("one")
    assert bus.post("/ack", json={"reader": "bob", "shown": 1}).json["acked"] == []
    bus.get("/messages?unread_by=bob&limit=1")
    bus.say("two")
    reply = bus.post("/ack", json={"reader": "bob", "shown": 1})
    assert reply.json["acked"] == [first["seq"]]
    assert bus.bodies("unread_by=bob") == ["two"]
    for wrong in ({"shown": 1, "through": 1}, {"shown": 0}, {"shown": True}, {"shown": "all"}):
        reply = bus.post("/ack", json={"reader": "bob", **wrong})
        assert (reply.status_code, reply.json["field"] in ("ids", "shown")) == (400, True)


def test_through_takes_in_what_expires(bus: Caller, later: Callable[[float], None]) -> None:
    bus.say("short", expires_in_s=60)
    last = bus.say("last", expires_in_s=600)
    ack(bus, reader="bob", through=last["seq"])
    assert bus.bodies("unread_by=bob") == []
    later(61)
    assert bus.bodies("unread_by=bob&expired=1") == []


def test_an_expiring_message_can_be_acknowledged(bus: Caller) -> None:
    saved = bus.say(expires_in_s=60)
    assert bus.ack(saved)["acked"] == [1]
    assert bus.bodies("unread_by=bob") == []
    assert bus.ack(saved)["already"] == [1]


@pytest.mark.parametrize("ref", ["7", "0" * 26])
@pytest.mark.usefixtures("nothing_stored")
def test_an_unknown_message_cannot_be_acknowledged(bus: Caller, ref: str) -> None:
    refusal(bus.post(f"/ack/{ref}", json={"reader": "bob"}), 404, "not_found")
    refusal(bus.post("/ack", json={"reader": "bob", "through": ref}), 404, "not_found")


def test_one_unknown_id_stops_the_whole_acknowledgement(bus: Caller) -> None:
    saved = bus.say()
    refusal(bus.post("/ack", json={"reader": "bob", "ids": [saved["id"], 99]}), 404, "not_found")
    assert bus.bodies("unread_by=bob") == ["hello"]


@pytest.mark.parametrize(
    "request_",
    [
        ("/ack/1", {"json": {"reader": "bob"}}),
        ("/ack/1", {"data": {"reader": "bob"}}),
        (
            "/ack/1",
            {"data": b'{"reader":"bob"}', "content_type": "application/x-www-form-urlencoded"},
        ),
        ("/ack/1", {"data": {"reader": "bob"}, "content_type": "multipart/form-data"}),
        ("/ack/1?reader=bob", {}),
        ("/ack?reader=bob&ids=1,2", {}),
        ("/ack?reader=bob&through=1", {}),
        ("/ack", {"data": {"reader": "bob", "through": "1"}}),
        ("/ack?reader=bob", {"json": {"ids": ["1"]}}),
    ],
    ids=repr,
)
def test_an_acknowledgement_comes_as_json_as_a_form_or_in_the_query(
    bus: Caller, request_: tuple[str, dict[str, Any]]
) -> None:
    bus.say("one")
    bus.say("other", to="carol")
    path, form = request_
    assert bus.post(path, **form).json["acked"][0] == 1
    assert bus.bodies("unread_by=bob") == []


def test_receipts_tell_queued_fetched_and_acked_for_each_recipient(bus: Caller) -> None:
    saved = bus.say(to=["bob", "carol", "dave"])
    bus.get("/messages?unread_by=bob")
    bus.get("/messages?unread_by=carol")
    bus.ack(saved, "carol")
    given = bus.get(f"/messages/{saved['id']}/receipts").json
    assert (given["id"], given["seq"]) == (saved["id"], saved["seq"])
    assert list(given["receipts"]) == ["bob", "carol", "dave"]
    assert all(times["queued"] == saved["ts"] for times in given["receipts"].values())
    known = {
        name: (times["fetched"] is not None, times["acked"] is not None)
        for name, times in given["receipts"].items()
    }
    assert known == {"bob": (True, False), "carol": (True, True), "dave": (False, False)}


def test_a_fetch_is_no_acknowledgement_and_the_first_one_counts(
    bus: Caller, later: Callable[[float], None]
) -> None:
    saved = bus.say()
    bus.get("/messages?unread_by=bob")
    first = bus.get("/messages/1/receipts").json["receipts"]["bob"]
    later(60)
    bus.get("/messages?unread_by=bob")
    assert bus.get("/messages/1/receipts").json["receipts"]["bob"] == first
    assert first["acked"] is None
    assert first["fetched"] >= saved["ts"]


@pytest.mark.parametrize(
    "read",
    [
        *("/messages", "/messages?to=bob", "/messages/1", "/search?q=hello"),
        *("/messages?unread_by=bob&peek=1", "/briefs?unread_by=bob&peek=1"),
    ],
)
def test_a_look_is_nobodys_fetch(bus: Caller, read: str) -> None:
    bus.say()
    assert bus.get(read).status_code == 200
    assert bus.get("/messages/1/receipts").json["receipts"]["bob"]["fetched"] is None


def test_receipts_of_a_broadcast_name_everybody_known_but_its_sender(bus: Caller) -> None:
    saved = bus.say(to="any")
    bus.get("/messages?unread_by=bob")
    bus.say("by carol", sender="carol", to="alice")
    ack(bus, reader="dave", through=1)
    receipts = bus.get(f"/messages/{saved['id']}/receipts").json["receipts"]
    assert list(receipts) == ["bob", "carol", "dave"]
    assert receipts["bob"]["fetched"] is not None
    assert receipts["dave"]["acked"] is not None


def test_receipts_survive_a_restart_as_far_as_they_are_history(
    bus: Caller, reopened: Caller
) -> None:
    saved = bus.say()
    bus.ack(saved)
    before = bus.get("/messages/1/receipts").json
    assert reopened.get("/messages/1/receipts").json == before
    assert before["receipts"]["bob"]["acked"] is not None


def test_shown_leaves_what_the_reader_was_not_given_whatever_came_after_it(bus: Caller) -> None:
    for number in range(3):
        bus.say(f"important {number}")
    urgent = bus.say("look here", priority="urgent")
    bus.get(f"/messages?unread_by=bob&since={urgent['seq'] - 1}")
    reply = bus.post("/ack", json={"reader": "bob", "shown": 1})
    assert reply.json["acked"] == [urgent["seq"]]
    assert bus.bodies("unread_by=bob") == [f"important {number}" for number in range(3)]
