"""The same key and content from the same sender is the same message; with other content it is
refused.
"""

from __future__ import annotations

from typing import Any

import pytest

from bus.credentials import Credentials
from tests.conftest import Caller
from tests.web.conftest import last_seq, refusal


def post(bus: Caller, key: str | None = "key-1", **fields: Any) -> Any:
    headers = {} if key is None else {"Idempotency-Key": key}
    return bus.post(
        "/post", json={"from": "alice", "to": "bob", "body": "hello", **fields}, headers=headers
    )


def test_a_repeated_post_is_answered_with_the_first_message(bus: Caller) -> None:
    first, again = post(bus), post(bus)
    assert (first.status_code, again.status_code) == (201, 201)
    assert "replayed" not in first.json
    assert again.json["replayed"] is True
    assert {key: again.json[key] for key in ("id", "seq", "ts", "body")} == {
        key: first.json[key] for key in ("id", "seq", "ts", "body")
    }
    assert bus.bodies("unread_by=bob") == ["hello"]


@pytest.mark.parametrize(
    ("key", "fields"),
    [('"key-1"', {}), (None, {"client_id": "key-1"}), ("key-1", {"client_id": "key-1"})],
)
def test_header_quoted_header_and_field_are_one_key(
    bus: Caller, key: str | None, fields: dict[str, Any]
) -> None:
    first = post(bus).json
    again = post(bus, key, **fields).json
    assert (again["id"], again["replayed"], again["client_id"]) == (first["id"], True, "key-1")


@pytest.mark.parametrize(
    "other",
    [
        {"body": "hello "},
        {"to": "carol"},
        {"to": ["bob", "carol"]},
        {"tags": ["x"]},
        {"priority": "urgent"},
        {"data": {"a": 1}},
        {"thread": "t"},
        {"expires_in_s": 60},
    ],
)
def test_the_same_key_with_other_content_is_refused(bus: Caller, other: dict[str, Any]) -> None:
    first = post(bus).json
    body = refusal(post(bus, **other), 422, "key_reused")
    assert body["first"] == first["id"]
    assert last_seq(bus) == 1


def test_content_that_says_the_same_is_the_same(bus: Caller) -> None:
    post(bus, data={"a": 1, "b": 2})
    assert (
        post(bus, data={"b": 2, "a": 1}, priority="normal", tags=[], to=["bob"]).json["replayed"]
        is True
    )


def test_another_sender_may_use_the_same_key(bus: Caller) -> None:
    assert post(bus).json["id"] != post(bus, **{"from": "carol"}).json["id"]


def test_another_credential_may_use_the_same_key_and_name(bus: Caller) -> None:
    """A name that was anybody's until its machine got a credential of its own."""
    post(bus)
    Credentials(bus.hub.log.folder / "credentials").add("alice", "secret")
    reply = bus.client.post(
        "/post",
        json={"from": "alice", "to": "bob", "body": "hello"},
        headers={"Idempotency-Key": "key-1"},
        auth=("alice", "secret"),
    )
    assert reply.json["auth"] == "alice"
    assert "replayed" not in reply.json


def test_keys_survive_a_restart(bus: Caller, reopened: Caller) -> None:
    first = post(bus).json
    assert post(reopened).json["id"] == first["id"]
    refusal(post(reopened, body="other"), 422, "key_reused")
    assert last_seq(reopened) == 1


def test_keys_survive_the_loss_of_the_index(bus: Caller, reopened: Caller) -> None:
    first = post(bus).json
    reopened.hub.index.rebuild()
    assert post(reopened).json["id"] == first["id"]


def test_a_reply_can_be_repeated(bus: Caller) -> None:
    root = bus.say("root")
    first = post(bus, in_reply_to=root["id"], expires_in_s=60).json
    assert post(bus, in_reply_to=root["id"], expires_in_s=60).json["id"] == first["id"]


def test_without_a_key_equal_messages_are_different_messages(bus: Caller) -> None:
    assert post(bus, None).json["id"] != post(bus, None).json["id"]


def test_a_repeated_post_is_told_to_nobody_again(bus: Caller) -> None:
    bus.ack(post(bus).json)
    post(bus)
    assert bus.bodies("unread_by=bob") == []
