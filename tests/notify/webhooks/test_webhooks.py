"""Mail goes to webhooks in order, is tried again, and nobody waits for a receiver that hangs."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable, Iterator
from email.utils import formatdate
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from bus.config import Config
from bus.log.base import Draft
from bus.model.webhooks import OPENS_AT
from bus.notify.webhooks.sender import MOST_TESTS
from tests.notify.webhooks.conftest import Hooks, Receiver, say
from tests.web.conftest import refusal

DAY = 86_400


def test_mail_is_sent_signed_and_stays_unread(hooks: Hooks, receiver: Receiver) -> None:
    hooks.say("before")
    hook = hooks.add(receiver.url)
    message = hooks.say("hello ☃")
    hooks.until(lambda: receiver.got)
    (got,) = receiver.got
    assert got.headers["webhook-id"] == message["id"]
    signed = f"{message['id']}.{got.headers['webhook-timestamp']}.".encode() + got.body
    key = base64.b64decode(hook["secret"].removeprefix("whsec_"))
    expected = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    assert got.headers["webhook-signature"] == f"v1,{expected}"
    assert json.loads(got.body)["body"] == "hello ☃"
    assert json.loads(got.body)["seq"] == message["seq"]
    hooks.settle()
    assert hooks.only()["answers"][0]["status"] == 200
    unread = hooks.members.web1.get("/messages?unread_by=web1").json["messages"]
    assert [one["body"] for one in unread] == ["before", "hello ☃"]


def test_the_package_of_standard_webhooks_verifies_it(hooks: Hooks, receiver: Receiver) -> None:
    hook = hooks.add(receiver.url)
    hooks.say("hello")
    hooks.until(lambda: receiver.got)
    (got,) = receiver.got
    assert Webhook(hook["secret"]).verify(got.body, got.headers)["body"] == "hello"
    other = hooks.add("http://127.0.0.1:9/")["secret"]
    for secret, body in ((other, got.body), (hook["secret"], got.body + b" ")):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body, got.headers)


def test_broadcasts_and_topics_are_sent_and_own_messages_are_not(
    hooks: Hooks, receivers: Callable[[], Receiver]
) -> None:
    named, topic = receivers(), receivers()
    hooks.add(named.url)
    hooks.add(topic.url, "topic:deploys", hooks.members.admin)
    hooks.members.web1.post("/post", json={"to": ["web1", "any"], "body": "my own"})
    hooks.say("to all", "any")
    hooks.say("to others", "web2")
    hooks.say("1.3 is live", "topic:deploys")
    hooks.say("to me")
    hooks.until(lambda: len(named.got) == 2 and len(topic.got) == 1)
    hooks.settle()
    assert hooks.bodies(named) == ["to all", "to me"]
    assert hooks.bodies(topic) == ["1.3 is live"]


def test_order_is_kept_and_the_log_grows_by_few_records(hooks: Hooks, receiver: Receiver) -> None:
    hooks.add(receiver.url)
    for number in range(50):
        hooks.say(str(number))
    hooks.until(lambda: len(receiver.got) == 50)
    hooks.settle()
    assert hooks.bodies(receiver) == [str(number) for number in range(50)]
    assert len(hooks.members.records("webhook_progress")) < 10


def test_what_fails_is_tried_again_later_and_in_order(hooks: Hooks, receiver: Receiver) -> None:
    hooks.add(receiver.url)
    receiver.answer = say(500)
    hooks.say("one")
    hooks.say("two")
    hooks.settle()
    hooks.settle()
    found = hooks.only()
    assert (found["state"], found["failures"], hooks.bodies(receiver)) == ("retrying", 1, ["one"])
    receiver.answer = say(204)
    hooks.later(2)
    assert len(receiver.got) == 1, "it was not left alone for two and a half seconds"
    hooks.later(3)
    assert hooks.bodies(receiver) == ["one", "one", "two"]
    assert {got.headers["webhook-id"] for got in receiver.got[:2]} == {
        found["answers"][0]["message"]
    }
    assert (hooks.only()["state"], hooks.only()["failures"]) == ("active", 0)


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_obeyed(hooks: Hooks, receiver: Receiver, form: str) -> None:
    hooks.add(receiver.url)
    hooks.later(0)
    after = "600" if form == "seconds" else formatdate(hooks.hub.journal.time() + 600)
    receiver.answer = say(503, Retry_After=after)
    hooks.say("x")
    hooks.settle()
    hooks.later(590)
    assert len(receiver.got) == 1
    hooks.later(11)
    assert len(receiver.got) == 2


def test_a_receiver_that_is_gone_gets_nothing_more(hooks: Hooks, receiver: Receiver) -> None:
    hooks.add(receiver.url)
    receiver.answer = say(410)
    hooks.say("one")
    hooks.settle()
    hooks.later(2 * DAY)
    hooks.say("two")
    hooks.settle()
    assert hooks.bodies(receiver) == ["one"]
    assert hooks.only()["state"] == "gone"
    (told,) = hooks.mail("web1")
    assert "410" in told["body"]


def test_the_owner_of_a_dead_target_is_told_once(hooks: Hooks, receiver: Receiver) -> None:
    hooks.add(receiver.url, caller=hooks.members.admin, name="web1")
    receiver.answer = say(500)
    hooks.say("x")
    for _ in range(OPENS_AT - 1):
        hooks.later(3600)
        assert hooks.mail("admin") == []
    hooks.later(3600)
    hooks.later(3600)
    assert hooks.only()["state"] == "open"
    (told,) = hooks.mail("admin")
    assert (told["from"], told["verified"]) == ("bus", True)
    receiver.answer = say(200)
    hooks.later(3600)
    assert hooks.only()["state"] == "active"
    assert len(hooks.mail("admin")) == 1


def test_after_a_day_a_message_is_given_up_and_can_be_replayed(
    hooks: Hooks, receiver: Receiver
) -> None:
    hook = hooks.add(receiver.url)
    receiver.answer = say(500)
    for body in ("one", "two"):
        hooks.say(body)
    hooks.settle()
    hooks.later(DAY + 60)
    assert hooks.only()["dead_letters"] == 2
    hooks.say("three")
    receiver.answer = say(200)
    hooks.later(3600)
    assert hooks.bodies(receiver)[2:] == ["three"]
    reply = hooks.members.web1.post(f"/webhooks/{hook['id']}/replay")
    assert reply.json == {"ok": True, "id": hook["id"], "replayed": 2}
    hooks.settle()
    assert hooks.bodies(receiver)[3:] == ["one", "two"]
    hooks.until(lambda: hooks.only()["dead_letters"] == 0)


def test_one_message_that_is_refused_holds_the_others_up_for_a_day_only(
    hooks: Hooks, receiver: Receiver
) -> None:
    def answer(request: Any) -> None:
        say(400 if b"poison" in receiver.got[-1].body else 200)(request)

    hooks.add(receiver.url)
    receiver.answer = answer
    for body in ("poison", "one", "two"):
        hooks.say(body)
    hooks.settle()
    hooks.later(DAY + 60)
    hooks.settle()
    hooks.settle()
    assert hooks.bodies(receiver) == ["poison", "poison", "one", "two"]
    assert hooks.only()["dead_letters"] == 1


def test_a_target_that_hangs_holds_up_nobody_and_no_stop(
    hooks: Hooks, receivers: Callable[[], Receiver]
) -> None:
    slow, quick = receivers(), receivers()
    slow.answer = slow.hang
    hooks.add(slow.url)
    hooks.add(quick.url)
    hooks.say("x")
    hooks.until(lambda: slow.got and quick.got)
    hooks.say("y")
    hooks.until(lambda: len(quick.got) == 2)
    hooks.hub.chores.leave()
    assert not hooks.sender._running
    hanging = hooks.members.admin.get("/webhooks").json["webhooks"][0]
    assert (hanging["failures"], hanging["state"]) == (0, "active"), "a stop is no failure"


def test_another_leader_goes_on_where_it_was(
    hooks: Hooks, again: Callable[[], Iterator[Hooks]], receiver: Receiver
) -> None:
    hooks.add(receiver.url)
    hooks.say("one")
    hooks.until(lambda: receiver.got)
    hooks.settle()
    receiver.answer = say(500)
    hooks.say("two")
    hooks.settle()
    failed = hooks.only()
    hooks.hub.chores.leave()
    for after in again():
        found = after.only()
        assert {name: found[name] for name in failed} == failed
        receiver.answer = say(200)
        after.later(6)
        assert hooks.bodies(receiver) == ["one", "two", "two"]


def test_what_the_log_could_not_take_is_not_sent_again(
    hooks: Hooks, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks.add(receiver.url)
    hooks.say("one")
    append, tries = hooks.hub.log.append, []

    def full(block: list[Draft]) -> Any:
        if block[0].fields["kind"] == "webhook_progress" and len(tries) < 5:
            tries.append(1)
            raise OSError(28, "No space left on device")
        return append(block)

    monkeypatch.setattr(hooks.hub.log, "append", full)
    hooks.until(lambda: len(tries) == 5)
    hooks.until(lambda: hooks.only()["answers"])
    assert len(receiver.got) == 1


def test_retracted_messages_are_not_sent(hooks: Hooks, receiver: Receiver) -> None:
    hooks.add(receiver.url)
    taken_back = hooks.say("no")
    hooks.members.db1.post(f"/messages/{taken_back['id']}/retract")
    hooks.say("yes")
    hooks.until(lambda: receiver.got)
    hooks.settle()
    assert hooks.bodies(receiver) == ["yes"]


def test_a_test_says_what_the_receiver_said(hooks: Hooks, receiver: Receiver) -> None:
    hook = hooks.add(receiver.url)
    reply = hooks.members.web1.post(f"/webhooks/{hook['id']}/test").json
    assert (reply["delivered"], reply["answer"]["status"]) == (True, 200)
    message = json.loads(receiver.got[0].body)
    assert (message["tags"], message["from"], message["trust"]) == (["webhook-test"], "bus", "hub")
    receiver.answer = say(500)
    reply = hooks.members.web1.post(f"/webhooks/{hook['id']}/test").json
    assert (reply["ok"], reply["delivered"], reply["answer"]["error"]) == (
        True,
        False,
        "status 500",
    )
    assert hooks.only()["failures"] == 0


def test_mail_of_a_role_goes_to_who_has_it(hooks: Hooks, receiver: Receiver) -> None:
    reply = hooks.members.web1.post("/roles/deployer/claim", json={})
    assert reply.status_code == 200, reply.json
    hooks.add(receiver.url)
    hooks.say("deploy", "role:deployer")
    hooks.until(lambda: receiver.got)
    hooks.settle()
    assert hooks.bodies(receiver) == ["deploy"]


def test_messages_that_come_one_by_one_are_noted_once_a_second(
    hooks: Hooks, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.notify.webhooks.sender._NOTED_EVERY_S", 3600)
    hooks.add(receiver.url)
    for number in range(10):
        hooks.say(str(number))
        hooks.until(lambda: len(receiver.got) > number)  # noqa: B023
        hooks.settle()
    assert hooks.bodies(receiver) == [str(number) for number in range(10)]
    assert len(hooks.members.records("webhook_progress")) <= 1
    hooks.hub.chores.leave()
    assert hooks.only()["cursor"] == hooks.members.records("message")[-1]["seq"]


def test_so_many_tests_may_be_under_way(hooks: Hooks, receiver: Receiver) -> None:
    hook = hooks.add(receiver.url)
    for _ in range(MOST_TESTS):
        hooks.sender._tests.acquire()
    refusal(hooks.members.web1.post(f"/webhooks/{hook['id']}/test"), 429, "too_many")
    hooks.sender._tests.release()
    assert hooks.members.web1.post(f"/webhooks/{hook['id']}/test").status_code == 200


def test_a_secret_that_is_lost_is_a_failure(
    hooks: Hooks, receiver: Receiver, config: Config
) -> None:
    hooks.add(receiver.url)
    (config.data_dir / "webhook-secrets").unlink()
    hooks.say("x")
    hooks.settle()
    assert receiver.got == []
    assert "secret is lost" in hooks.only()["answers"][0]["error"]
