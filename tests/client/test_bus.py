"""The library's verbs, over WSGI."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from busclient import Bus, KeyReused, Message, NotFound, Refused, TooLarge, Unreachable
from tests.client.doors import Door
from tests.conftest import Caller

Make = Callable[..., Bus]


def test_a_post_comes_back_as_it_was_saved(client: Make) -> None:
    posted = client().post(
        "déjà\nvu",
        to=["bob", "carol"],
        tags=["a", "b"],
        priority="urgent",
        data={"n": 1},
        thread="t",
    )
    message = posted.message
    assert message is not None and not posted.queued
    assert (message.sender, message.to, message.body) == ("alice", ("bob", "carol"), "déjà\nvu")
    assert (message.tags, message.priority, message.data, message.thread) == (
        ("a", "b"),
        "urgent",
        {"n": 1},
        "t",
    )
    assert set(posted.delivery) == {"bob", "carol"}
    assert client().message(message.id) == message
    assert client().message(message.seq).raw["body"] == "déjà\nvu"


def test_a_single_tag_may_be_given_as_text(client: Make) -> None:
    message = client().post("x", tags="deploy").message
    assert message is not None and message.tags == ("deploy",)


def test_unread_pages_by_itself_and_changes_nothing(client: Make) -> None:
    client().post_many([{"to": "bob", "body": str(number)} for number in range(450)])
    bob = client("bob")
    assert [message.body for message in bob.unread()] == [str(number) for number in range(450)]
    assert len(list(bob.unread(3))) == 3
    assert len(list(bob.unread())) == 450


def test_acked_messages_are_read_no_more(client: Make) -> None:
    alice, bob = client(), client("bob")
    for body in "abcd":
        alice.post(body, to="bob")
    first, second, third, _ = bob.unread()
    assert bob.ack(first).new == [first.seq]
    assert bob.ack(first).already == [first.seq]
    assert bob.ack(second.id, third.seq).new == [second.seq, third.seq]
    assert [message.body for message in bob.unread()] == ["d"]
    bob.ack_through(alice.post("e", to="bob").message or 0)
    assert list(bob.unread()) == []


def test_drain_acks_what_was_handled_and_leaves_what_failed(client: Make) -> None:
    alice, bob = client(), client("bob")
    for body in ("good", "bad", "good too"):
        alice.post(body, to="bob")

    def handle(message: Message) -> None:
        if message.body == "bad":
            raise ValueError("no")

    drained = bob.drain(handle)
    assert drained.done == 2
    assert [(message.body, str(error)) for message, error in drained.failed] == [("bad", "no")]
    assert [message.body for message in bob.unread()] == ["bad"]


def test_a_drain_that_is_interrupted_leaves_the_message_unread(client: Make) -> None:
    client().post("x", to="bob")

    def handle(_: Message) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client("bob").drain(handle)
    assert len(list(client("bob").unread())) == 1


def test_a_reply_goes_to_the_sender_in_the_thread(client: Make) -> None:
    question = client().post("why?", to="bob").message
    assert question is not None
    answer = client("bob").reply(question.seq, "because").message
    assert answer is not None
    assert (answer.to, answer.in_reply_to, answer.thread) == (("alice",), question.id, question.id)


def test_messages_are_filtered(client: Make) -> None:
    for sender, body, tag in (("alice", "1", "x"), ("carol", "2", "x"), ("alice", "3", "y")):
        client(sender).post(body, tags=[tag])
    bob = client("bob")
    assert [m.body for m in bob.messages(sender="alice")] == ["1", "3"]
    assert [m.body for m in bob.messages(tag="x", sender="carol")] == ["2"]
    assert [m.body for m in bob.messages(limit=1)] == ["3"]
    assert [m.body for m in bob.messages(since=bob.messages()[0])] == ["2", "3"]


def test_search_gives_snippets(client: Make) -> None:
    client().post("the build is green")
    client().post("the build is red")
    (found,) = client("bob").search("green")
    assert found.snippet == "the build is [green]"


def test_receipts_say_who_has_it(client: Make) -> None:
    message = client().post("x", to="bob").message
    assert message is not None
    bob = client("bob")
    bob.ack(*bob.unread())
    assert client().receipts(message)["bob"]["acked"] is not None


def test_wait_gives_mail_at_once_and_nothing_after_the_time(client: Make) -> None:
    assert client("bob").wait(0) == []
    client().post("x", to="bob")
    assert [message.body for message in client("bob").wait(30)] == ["x"]
    assert client("bob").wait(0, sender="carol") == []


def test_a_hub_with_too_many_waiting_is_asked_again_after_a_pause(
    client: Make, door: Door, pauses: list[float]
) -> None:
    client().post("x", to="bob")
    full = (503, {"Retry-After": "9"}, b'{"ok":false,"error":"too_many_waiting","message":"full"}')
    door.troubles.append(full)
    assert [message.body for message in client("bob").wait(30)] == ["x"]
    assert pauses == [9]


def test_a_wait_outlives_a_restart_of_the_hub(client: Make, door: Door, bus: Caller) -> None:
    door.troubles.extend([None, *["away"] * 8])
    bob = client("bob")

    def sleep(_: float) -> None:
        if len(door.troubles) == 1:
            bus.say("after the restart")

    bob._sleep = bob._calls._sleep = sleep  # type: ignore[attr-defined]
    assert [message.body for message in bob.wait(30)] == ["after the restart"]
    assert not door.troubles


def test_a_wait_for_a_hub_that_is_away_fails_at_once_and_at_the_end(
    client: Make, door: Door
) -> None:
    door.troubles.extend(["away"] * 4)
    with pytest.raises(Unreachable):
        client("bob").wait(30)
    assert not door.troubles
    door.troubles.extend([None, *["away"] * 100_000])
    with pytest.raises(Unreachable):
        client("bob").wait(0.3)
    door.troubles.clear()


@pytest.mark.parametrize(
    "ref",
    [
        "",
        ".",
        "..",
        "../post?to=bob&body=x",
        "1/2",
        "1?x",
        "1#",
        " 1",
        "-1",
        "é" * 26,
        "a" * 129,
        -1,
    ],
)
def test_what_is_no_id_never_becomes_a_path(client: Make, door: Door, ref: str | int) -> None:
    bob = client("bob")
    calls = [
        bob.message,
        bob.ack,
        bob.receipts,
        bob.ack_through,
        lambda ref: bob.reply(ref, "x"),
        lambda ref: bob.ack(1, ref),
    ]
    calls += [lambda ref: bob.post("x", in_reply_to=ref), lambda ref: bob.messages(since=ref)]
    for call in calls:
        with pytest.raises(Refused, match="not the id"):
            call(ref)
    assert door.calls == []


@pytest.mark.parametrize("id", ["", ".", "..", "../../post", "a/b"])
def test_what_is_no_id_of_a_call_or_a_question_never_becomes_a_path(
    client: Make, door: Door, id: str
) -> None:
    bob = client("bob")
    for call in (
        bob.net.call,
        bob.net.approval,
        bob.net.end_call,
        lambda id: bob.admin.approve(id, True),
    ):
        with pytest.raises(Refused, match="no id"):
            call(id)
    assert door.calls == []


def test_health_is_told(client: Make) -> None:
    assert client().health()["ok"] is True


def test_an_idempotency_key_makes_two_calls_one_message(client: Make) -> None:
    first, second = client().post("x", to="bob", key="k"), client().post("x", to="bob", key="k")
    assert first.message == second.message
    assert (first.replayed, second.replayed) == (False, True)
    with pytest.raises(KeyReused):
        client().post("y", to="bob", key="k")


@pytest.mark.parametrize(
    ("call", "error", "code"),
    [
        (lambda bus: bus.post(""), Refused, "bad_field"),
        (lambda bus: bus.post("x" * 65537), TooLarge, "too_large"),
        (lambda bus: bus.post("x", to="no name"), Refused, "bad_field"),
        (lambda bus: bus.post("x", in_reply_to=99), Refused, "unknown_reply"),
        (lambda bus: bus.message(99), NotFound, "not_found"),
        (lambda bus: bus.ack(99), NotFound, "not_found"),
        (lambda bus: bus.messages(colour="red"), Refused, "unknown_field"),
    ],
)
def test_what_the_hub_refuses_is_an_error_with_its_code_and_is_not_tried_again(
    client: Make, door: Door, call: Callable[[Bus], Any], error: type[Exception], code: str
) -> None:
    with pytest.raises(error) as caught:
        call(client())
    assert caught.value.code == code  # type: ignore[attr-defined]
    assert caught.value.hint  # type: ignore[attr-defined]
    assert len(door.calls) == 1


def test_an_inbox_has_what_fits(client: Make) -> None:
    for priority in ("fyi", "urgent"):
        client().post(f"a {priority} word", to="bob", priority=priority)
    client().post("L" * 5000, to="bob")
    inbox = client("bob").inbox(budget=2000)
    assert [message.body for message in inbox.messages] == ["a urgent word", "a fyi word"]
    assert [(stub.size, stub.sender) for stub in inbox.stubs] == [(5000, "alice")]
    assert (inbox.unread, inbox.more, inbox.has_more, inbox.cursor) == (3, 0, False, None)
    assert "a urgent word" in client("bob").inbox_text()
    assert client("carol").inbox_text() == ""


def test_no_password_is_shown_anywhere(client: Make) -> None:
    from tests.conftest import PASSWORD

    bus = client()
    bus.health()
    for shown in (repr(bus), repr(bus.settings), str(bus.settings), repr(bus.__dict__)):
        assert PASSWORD not in shown
