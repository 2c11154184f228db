"""Topics: posting to one reaches its subscribers, and its history is kept."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from bus.hub import topics as hub_topics
from bus.model.topics import matches
from tests.conftest import wait_until
from tests.fleet import As
from tests.web.conftest import Members, refusal


def subscribe(caller: As, topic: str, name: str | None = None) -> dict[str, Any]:
    fields = {} if name is None else {"name": name}
    reply = caller.post(f"/topics/{topic}/subscribe", json=fields)
    assert reply.status_code == 200, reply.json
    found: dict[str, Any] = reply.json
    return found


def post(caller: As, to: Any, body: str = "hello", **fields: Any) -> dict[str, Any]:
    reply = caller.post("/post", json={"to": to, "body": body, **fields})
    assert reply.status_code == 201, reply.json
    found: dict[str, Any] = reply.json
    return found


def unread(caller: As, name: str | None = None) -> list[str]:
    return caller.bodies(f"unread_by={name or caller.name}")


@pytest.mark.parametrize("to", ["topic:deploys", "#deploys", ["topic:deploys", "nobody"]])
def test_a_post_to_a_topic_reaches_its_subscribers(members: Members, to: Any) -> None:
    subscribe(members.db1, "deploys")
    subscribe(members.db1, "deploys", "db1/alpha")
    posted = post(members.web1, to)
    assert posted["delivery"]["topic:deploys"] == {"subscribers": 2}
    assert unread(members.db1) == unread(members.db1, "db1/alpha") == ["hello"]
    assert unread(members.admin) == []
    members.db1.ack(posted, "db1")
    assert unread(members.db1) == []
    assert unread(members.db1, "db1/alpha") == ["hello"]


def test_ones_own_post_is_not_unread_to_oneself(members: Members) -> None:
    subscribe(members.web1, "deploys")
    post(members.web1, "topic:deploys")
    assert unread(members.web1) == []


def test_two_ways_to_one_reader_are_one_message(members: Members) -> None:
    subscribe(members.db1, "deploys")
    subscribe(members.db1, ">")
    post(members.web1, ["db1", "topic:deploys", "topic:deploys.web"])
    assert unread(members.db1) == ["hello"]
    assert members.db1.get("/inbox").json["unread"] == 1


def test_a_late_subscriber_replays_the_history(members: Members) -> None:
    post(members.web1, "topic:deploys", "first")
    post(members.web1, "any", "to everybody")
    subscribe(members.db1, "deploys")
    post(members.web1, "topic:deploys", "second")
    assert unread(members.db1) == ["to everybody", "second"]
    assert members.db1.bodies("to=topic:deploys&since=0") == ["first", "second"]
    assert members.db1.bodies("to=%23deploys&since=0") == ["first", "second"]


def test_who_unsubscribes_keeps_what_has_come(members: Members) -> None:
    assert subscribe(members.db1, "deploys")["changed"] is True
    assert subscribe(members.db1, "topic:deploys")["changed"] is False
    post(members.web1, "topic:deploys", "first")
    for changed in (True, False):
        reply = members.db1.post("/topics/deploys/unsubscribe")
        assert reply.json == {"ok": True, "name": "db1", "topic": "deploys", "changed": changed}
    post(members.web1, "topic:deploys", "second")
    assert unread(members.db1) == ["first"]


@pytest.mark.parametrize(
    ("pattern", "topic", "is_match"),
    [
        ("build.*", "build.linux", True),
        ("build.*", "build", False),
        ("build.*", "build.linux.x86", False),
        ("build.>", "build.linux.x86", True),
        ("build.>", "build", False),
        ("*.linux", "build.linux", True),
        (">", "build", True),
        ("*", "build.linux", False),
        ("build.*.>", "build.linux.x86.gcc", True),
        ("build.linux", "build.linux", True),
    ],
)
def test_wildcards_follow_the_rule_of_nats(
    members: Members, pattern: str, topic: str, is_match: bool
) -> None:
    assert matches(pattern, topic) is is_match
    subscribe(members.db1, pattern)
    post(members.web1, f"topic:{topic}")
    assert unread(members.db1) == (["hello"] if is_match else [])


@pytest.mark.parametrize(
    "topic", ["a..b", ".a", "a.", "a.>.b", "a*", "a b", "a/b", "x" * 129, ".".join("x" * 9), "%0a"]
)
def test_what_is_no_topic_is_refused(members: Members, topic: str) -> None:
    reply = members.web1.post(f"/topics/{topic}/subscribe")
    assert reply.status_code in (400, 404)
    refusal(
        members.web1.post("/post", json={"to": f"topic:{topic}", "body": "x"}), 400, "bad_field"
    )


def test_nobody_posts_to_a_wildcard(members: Members) -> None:
    for topic in ("build.*", "build.>"):
        reply = members.web1.post("/post", json={"to": f"topic:{topic}", "body": "x"})
        refusal(reply, 400, "bad_field")


def test_nobody_subscribes_for_another(members: Members) -> None:
    reply = members.web1.post("/topics/deploys/subscribe", json={"name": "db1"})
    refusal(reply, 403, "not_your_name")


def test_topics_are_listed_with_subscribers_and_volume(members: Members) -> None:
    subscribe(members.db1, "build.*")
    subscribe(members.db1, "quiet")
    last = [post(members.web1, "topic:build.linux") for _ in range(3)][-1]
    post(members.web1, "topic:deploys")
    found = members.web1.get("/topics").json
    assert found["topics"] == [
        {"topic": "build.linux", "messages": 3, "last": last["ts"], "subscribers": 1},
        {"topic": "deploys", "messages": 1, "last": found["topics"][1]["last"], "subscribers": 0},
        {"topic": "quiet", "messages": 0, "last": None, "subscribers": 1},
    ]
    mine = members.web1.get("/topics?name=db1").json
    assert [topic["topic"] for topic in mine["topics"]] == ["build.linux", "quiet"]
    assert [one["topic"] for one in mine["subscriptions"]] == ["build.*", "quiet"]
    page = members.web1.get("/topics?limit=1").json
    assert (page["has_more"], page["next"]) == (True, "build.linux")
    assert members.web1.get("/topics?limit=2&after=build.linux").json["has_more"] is False
    text = members.web1.get("/topics?format=text").get_data(as_text=True)
    assert text.splitlines()[2] == "quiet 0 messages, 1 subscribers, last -"


def test_a_topic_without_subscribers_is_told(members: Members) -> None:
    posted = post(members.web1, "topic:deploys", strict=True)
    assert posted["warnings"] == ["topic:deploys has no subscribers. Its messages are kept."]


def test_receipts_and_deadlines_know_whom_a_topic_has_reached(members: Members) -> None:
    subscribe(members.db1, "deploys")
    message = post(members.web1, "topic:deploys", ack_by=60)
    subscribe(members.admin, "deploys")
    receipts = members.web1.get(f"/messages/{message['id']}/receipts").json["receipts"]
    assert list(receipts) == ["db1"]
    members.later(61)
    members.hub.chores.do()
    (report,) = members.web1.get("/messages?unread_by=web1").json["messages"]
    assert report["data"]["overdue"]["unread_by"] == ["db1"]


def test_a_retracted_message_leaves_all_subscribers(members: Members) -> None:
    subscribe(members.db1, "deploys")
    wrong = post(members.web1, "topic:deploys")
    members.db1.post("/topics/deploys/unsubscribe")
    members.web1.post(f"/messages/{wrong['id']}/retract")
    assert unread(members.db1) == []


def test_a_long_poll_of_a_subscriber_wakes(members: Members, restarted: Members) -> None:
    subscribe(members.db1, "deploys")
    found: list[list[str]] = []
    thread = threading.Thread(
        target=lambda: found.append(restarted.db1.bodies("unread_by=db1&wait=20"))
    )
    thread.start()
    wait_until(members.hub.waiting.total)
    post(members.web1, "topic:deploys")
    thread.join(20)
    assert found == [["hello"]]


def test_a_revoked_machine_subscribes_to_nothing(members: Members) -> None:
    subscribe(members.db1, "deploys")
    members.admin.post("/api/credentials/revoke", json={"name": "db1"})
    assert post(members.web1, "topic:deploys")["delivery"]["topic:deploys"] == {"subscribers": 0}


def test_one_credential_has_so_many_subscriptions(
    members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_topics, "MOST_SUBSCRIPTIONS", 2)
    subscribe(members.db1, "a")
    subscribe(members.db1, "b", "db1/alpha")
    reply = members.db1.post("/topics/c/subscribe")
    assert refusal(reply, 429, "over_quota")["quota"] == "subscriptions"
    subscribe(members.web1, "c")


def test_one_credential_has_so_many_wildcards(
    members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_topics, "MOST_WILD", 1)
    subscribe(members.db1, "a.*")
    refusal(members.db1.post("/topics/b.*/subscribe"), 429, "over_quota")
    subscribe(members.db1, "b")


def test_a_message_has_at_most_eight_topics(members: Members) -> None:
    topics = [f"topic:t{number}" for number in range(9)]
    post(members.web1, topics[:8])
    refusal(members.web1.post("/post", json={"to": topics, "body": "x"}), 400, "bad_field")


def test_a_rebuilt_index_knows_topics(members: Members) -> None:
    subscribe(members.db1, "build.*")
    post(members.web1, "topic:build.linux")
    before = members.web1.get("/topics?name=db1").json
    members.hub.index.rebuild()
    assert members.web1.get("/topics?name=db1").json == before
    assert unread(members.db1) == ["hello"]
