"""What the answer to a post says of its recipients: the sender learns at once if nobody reads."""

from __future__ import annotations

import json
from typing import Any

import pytest
from filelock import FileLock

from bus import create_app
from bus.config import Config
from tests.conftest import opened
from tests.fleet import SECRET, As
from tests.web.conftest import Members, refusal


def post(caller: As, to: Any, **fields: Any) -> dict[str, Any]:
    reply = caller.post("/post", json={"to": to, "body": "hello", **fields})
    assert reply.status_code == 201, reply.json
    found: dict[str, Any] = reply.json
    return found


def only(answer: dict[str, Any]) -> dict[str, Any]:
    (recipient,) = answer["recipients"]
    found: dict[str, Any] = recipient
    return found


def test_a_misspelt_name_is_not_known_and_the_near_one_is_told(members: Members) -> None:
    answer = post(members.web1, "db12")
    assert only(answer) == {
        "name": "db12",
        "known": False,
        "state": "gone",
        "last_seen": None,
        "last_fetch": None,
        "unread": 1,
        "oldest_unread_s": 0,
        "wake": None,
    }
    assert answer["warnings"] == ["db12 is not known; did you mean db1?"]


def test_an_unknown_name_like_none_has_its_mail_wait(members: Members) -> None:
    answer = post(members.web1, "printer")
    assert answer["warnings"] == ["printer is not known. Its mail waits for it."]


def test_a_machine_that_was_never_there_is_known_and_gone(members: Members) -> None:
    answer = post(members.web1, "db1")
    assert (only(answer)["known"], only(answer)["state"]) == (True, "gone")
    assert answer["warnings"] == ["db1 was never seen."]


def test_a_live_session_says_how_it_is_woken(members: Members) -> None:
    members.db1.post("/agents", json={"session": "alpha", "pid": 7, "wake": "socket"})
    answer = post(members.web1, "db1/alpha")
    assert (only(answer)["state"], only(answer)["wake"]) == ("live", "socket")
    assert only(answer)["last_seen"] is not None
    assert answer["warnings"] == []


def test_a_name_with_a_webhook_is_not_warned_of(members: Members, restarted: Members) -> None:
    assert post(members.web1, "db1")["warnings"] == ["db1 was never seen."]
    added = members.admin.post("/webhooks", json={"name": "db1", "url": "https://example.org/x"})
    assert added.status_code == 201, added.json
    answer = post(restarted.web1, ["db1", "db1/alpha"])
    assert answer["recipients"][0]["wake"] == "webhook"
    assert answer["warnings"] == ["db1/alpha is not known; did you mean db1?"]


@pytest.mark.parametrize(
    ("seconds", "warned"),
    [
        (3600, []),
        (50 * 3600, ["db1 was last seen {seen}.", "db1 has not read a message for 2 days."]),
    ],
)
def test_a_backlog_is_told(
    members: Members, restarted: Members, seconds: float, warned: list[str]
) -> None:
    members.db1.get("/messages?unread_by=db1")
    post(members.web1, "db1")
    restarted.later(seconds)
    answer = post(restarted.web1, "db1")
    assert only(answer)["unread"] == 2
    assert only(answer)["oldest_unread_s"] == pytest.approx(seconds, abs=5)
    seen = only(answer)["last_seen"]
    assert answer["warnings"] == [text.format(seen=seen) for text in warned]


def test_a_broadcast_has_readers_instead(members: Members) -> None:
    members.db1.get("/messages?unread_by=db1")
    answer = post(members.web1, "any")
    assert (answer["recipients"], answer["warnings"]) == ([], [])
    assert answer["delivery"] == {"any": {"readers": 1}}


def test_only_the_first_unknown_names_of_a_post_are_compared(members: Members) -> None:
    answer = post(members.web1, ["db12", "db13", "db14"])
    assert [text.partition("; ")[2] for text in answer["warnings"]] == ["did you mean db1?"] * 2 + [
        ""
    ]


def test_a_strict_post_to_an_unknown_name_is_refused_and_stores_nothing(members: Members) -> None:
    before = members.hub.log.position()
    reply = members.web1.post(
        "/post", json={"to": ["db1", "db12", "zzz"], "body": "x", "strict": True}
    )
    assert refusal(reply, 404, "unknown_recipient")["near"] == {"db12": ["db1"], "zzz": []}
    assert members.hub.log.position() == before
    assert only(post(members.web1, "db1", strict=True))["known"]


def test_strict_is_no_part_of_the_message(members: Members) -> None:
    first = post(members.web1, "db1", strict=True, client_id="k")
    again = post(members.web1, "db1", client_id="k")
    assert (again["replayed"], again["id"]) == (True, first["id"])
    assert "strict" not in members.records("message")[0]


@pytest.mark.parametrize(("text", "status"), [("1", 404), ("true", 404), ("0", 201)])
def test_strict_in_a_form_and_a_query(members: Members, text: str, status: int) -> None:
    form = {"to": "zzz", "body": "x", "strict": text}
    assert members.web1.post("/post", data=form).status_code == status
    reply = members.web1.post(f"/post?to=zzz&strict={text}", data=b"x")
    assert reply.status_code == status


def test_a_post_is_answered_while_the_index_is_made(members: Members, config: Config) -> None:
    with FileLock(config.data_dir / "index.lock"):  # another process makes it
        (config.data_dir / "index.db").unlink()
        answer = post(members.web1, "zzz")
        assert (only(answer)["unread"], answer["warnings"]) == (None, [])
        reply = members.web1.post("/post", json={"to": "zzz", "body": "x", "strict": True})
        refusal(reply, 503, "index_rebuilding")
    assert only(post(members.web1, "db12"))["known"] is False


def test_a_bad_strict_is_refused(members: Members) -> None:
    refusal(members.web1.post("/post?to=db1&strict=perhaps", data=b"x"), 400, "bad_field")


def test_a_batch_refuses_its_strict_lines_only(members: Members) -> None:
    lines = '{"to":"zzz","body":"x","strict":true}\n{"to":"db1","body":"x","strict":true}\n'
    reply = members.web1.post("/post", data=lines, content_type="application/x-ndjson")
    assert [line.get("error") for line in map(json.loads, reply.data.splitlines())] == [
        "unknown_recipient",
        None,
    ]


def test_a_strict_fleet_refuses_unless_a_post_says_otherwise(config: Config) -> None:
    strict = Config(data_dir=config.data_dir, fsync="never", strict=True)
    app = create_app(strict)
    for _ in opened(app):
        app.extensions["credentials"].add("web1", SECRET, "member")
        web1 = As(app, "web1")
        refusal(web1.post("/post", json={"to": "zzz", "body": "x"}), 404, "unknown_recipient")
        assert only(post(web1, "zzz", strict=False))["known"] is False
