"""Notices: what is told, in which order, how often, and what becomes of what nobody takes."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

from bus.config import BadSetting, Config
from tests.notify.conftest import Notifying, write_settings
from tests.notify.webhooks.conftest import Receiver, say
from tests.web.conftest import refusal

Start = Callable[[str], Notifying]


def pager(receiver: Receiver, rules: str = '[[rules]]\nsend = "pager"\n', more: str = "") -> str:
    return f'[services.pager]\ntype = "http"\nurl = "{receiver.url}"\n{more}\n{rules}'


def told(receiver: Receiver) -> list[str]:
    return [json.loads(got.body)["text"] for got in receiver.got]


def post(notifying: Notifying, body: str, to: Any = "db1", **fields: Any) -> dict[str, Any]:
    reply = notifying.members.web1.post("/post", json={"to": to, "body": body, **fields})
    assert reply.status_code == 201, reply.json
    return reply.json  # type: ignore[no-any-return]


def test_a_first_start_tells_nothing_of_what_is_old(notifying: Start, receiver: Receiver) -> None:
    one = notifying(pager(receiver))
    post(one, "new")
    one.run(3)
    assert told(receiver) == ["new"]
    assert one.listed()[0]["state"] == "sent"


def test_what_came_while_it_was_away_is_told_in_order_and_once(
    notifying: Start, receiver: Receiver
) -> None:
    one = notifying(pager(receiver))
    for number in range(5):
        post(one, str(number))
    one.begin()
    one.until_idle()
    one.begin()
    one.until_idle()
    assert told(receiver) == list("01234")


def test_rules_say_what_is_told(notifying: Start, receiver: Receiver) -> None:
    rules = """
[[rules]]
send = "pager"
to = ["human/*"]
[[rules]]
send = "pager"
tags = ["deploy"]
priority = "normal"
not_from = ["db*"]
"""
    one = notifying(pager(receiver, rules))
    post(one, "to a human", "human/chas")
    post(one, "no rule")
    post(one, "tagged", tags=["deploy"])
    post(one, "both rules", "human/chas", tags=["deploy", "x"])
    post(one, "too low", tags=["deploy"], priority="fyi")
    one.members.db1.post("/post", json={"to": "web1", "body": "not from", "tags": ["deploy"]})
    one.until_idle()
    assert told(receiver) == ["to a human", "tagged", "both rules"]


def test_a_rule_may_leave_the_text_out(notifying: Start, receiver: Receiver) -> None:
    one = notifying(pager(receiver, '[[rules]]\nsend = "pager"\ntext = false\n'))
    post(one, "the plan is secret")
    one.until_idle()
    (got,) = receiver.got
    assert b"the plan" not in got.body
    assert "web1 → db1" in json.loads(got.body)["title"]


def test_other_events_are_told(notifying: Start, receiver: Receiver) -> None:
    kinds = '["permission", "credential"]'
    one = notifying(pager(receiver, f'[[rules]]\nsend = "pager"\nkinds = {kinds}\n'))
    fields = {"source": "web1", "target": "db1", "allow": True}
    assert one.members.admin.post("/api/permit", json=fields).status_code == 200
    assert one.members.admin.post("/api/invites", json={"name": "new1"}).status_code == 201
    one.until_idle()
    titles = [json.loads(got.body)["title"] for got in receiver.got]
    assert titles[0].startswith("admin: web1 may ")
    assert titles[1] == "credential of new1 (member): invite by admin"


def test_known_forms_of_secrets_do_not_leave(notifying: Start, receiver: Receiver) -> None:
    one = notifying(pager(receiver))
    post(one, "curl -H 'Authorization: Bearer abcdef123456' https://me:hunter22@host/x")
    one.until_idle()
    (text,) = told(receiver)
    assert "abcdef123456" not in text
    assert "hunter22" not in text
    assert "@host/x" in text


def test_a_thousand_that_waited_come_in_order_within_the_limit(
    notifying: Start, receiver: Receiver
) -> None:
    one = notifying(pager(receiver, more="each_s = 2"))
    batch = [{"to": "db1", "body": str(number)} for number in range(1_000)]
    for start in range(0, 1_000, 100):
        lines = "\n".join(map(json.dumps, batch[start : start + 100]))
        reply = one.members.web1.post(
            "/post", data=lines, headers={"Content-Type": "application/x-ndjson"}
        )
        assert reply.status_code in (200, 201, 207), reply.get_data()
    receiver.answer = say(503)
    one.run(3)
    receiver.answer = say(200)
    first = len(receiver.got)
    took_s = one.until_idle()
    assert told(receiver)[first:] == [str(number) for number in range(1_000)]
    assert took_s >= 999 * 2


def test_a_service_that_asks_for_it_is_left_alone(notifying: Start, receiver: Receiver) -> None:
    one = notifying(pager(receiver))
    receiver.answer = say(429, Retry_After="50")
    post(one, "one")
    one.run(2)
    assert len(receiver.got) == 1
    assert 49 <= one.run() <= 50
    receiver.answer = say(200)
    one.later(49)
    one.run()
    assert len(receiver.got) == 1
    one.later(2)
    one.run()
    assert told(receiver) == ["one", "one"]
    assert one.listed()[0]["maybe_twice"] is False


def test_pauses_grow_until_it_is_a_dead_letter_and_the_next_is_sent(
    notifying: Start, receiver: Receiver
) -> None:
    one = notifying(pager(receiver))
    receiver.answer = say(500)
    post(one, "lost")
    waits = []
    while one.listed() == [] or one.listed()[0]["state"] != "dead":
        one.run()
        waits.append(one.run())
        one.later(max(waits[-1], 0.001))
    assert waits[0] < waits[1] < waits[2]
    assert 60 < len(receiver.got) < 200
    (dead,) = one.listed("&state=dead")
    assert dead["error"] == "status 500; given up after a day"
    receiver.answer = say(200)
    post(one, "next")
    one.until_idle()
    assert told(receiver)[-1] == "next"


def test_a_notice_that_the_service_refuses_is_dead_at_once_and_can_be_sent_again(
    notifying: Start, receiver: Receiver
) -> None:
    one = notifying(pager(receiver))
    receiver.answer = say(400)
    post(one, "odd")
    post(one, "good")
    one.run()
    receiver.answer = say(200)
    one.until_idle()
    dead, sent = one.listed()
    assert (dead["state"], dead["error"], sent["state"]) == ("dead", "status 400", "sent")
    admin = one.members.admin
    again = admin.post(f"/notices/{dead['id']}/retry", json={})
    assert again.json["notice"]["state"] == "queued"
    one.until_idle()
    assert told(receiver) == ["odd", "good", "odd"]
    refusal(admin.post(f"/notices/{dead['id']}/retry", json={}), 409, "notice_not_dead")
    refusal(admin.post("/notices/999/retry", json={}), 404, "no_such_notice")
    refusal(admin.post("/notices/x/retry", json={}), 400, "bad_field")


def test_only_admins_see_notices(notifying: Start, receiver: Receiver) -> None:
    one = notifying(pager(receiver))
    refusal(one.members.web1.get("/notices"), 403, "not_allowed")
    refusal(one.members.web1.post("/notices/1/retry", json={}), 403, "not_allowed")


def test_a_kill_before_the_answer_sends_it_again_and_says_so(
    notifying: Start, receiver: Receiver
) -> None:
    one = notifying(pager(receiver))
    post(one, "one")
    post(one, "two")
    one.follow()
    (first, _) = one.queue.first("pager", "", 2)
    one.queue.begin([first.id])  # and the process is killed here
    one.begin()
    assert one.back == 1
    one.until_idle()
    assert [json.loads(got.body).get("maybe_twice", False) for got in receiver.got] == [True, False]
    assert [notice["maybe_twice"] for notice in one.listed()] == [True, False]
    keys = {got.headers["Idempotency-Key"] for got in receiver.got}
    assert len(keys) == 2


def test_a_broken_answer_says_that_it_may_come_twice(notifying: Start, receiver: Receiver) -> None:
    one = notifying(pager(receiver))
    receiver.answer = lambda request: request.connection.close()
    post(one, "one")
    one.run()
    (notice,) = one.listed()
    assert (notice["state"], notice["maybe_twice"]) == ("queued", True)
    assert notice["error"] == "the connection broke before the answer"


def test_a_service_that_is_not_there_got_nothing(notifying: Start, receiver: Receiver) -> None:
    text = pager(receiver).replace(f":{receiver.port}", ":1").replace("/hook", "/TOKEN-in-path")
    one = notifying(text)
    post(one, "one")
    one.run()
    (notice,) = one.listed()
    assert (notice["maybe_twice"], notice["error"]) == (False, "it cannot be reached")
    assert "TOKEN" not in json.dumps(one.members.admin.get("/notices").json)


def test_a_log_that_is_another_one_is_followed_from_its_end(
    notifying: Start, receiver: Receiver, config: Config
) -> None:
    one = notifying(pager(receiver))
    post(one, "one")
    one.until_idle()
    db = sqlite3.connect(config.data_dir / "notices.db")
    with db:
        db.execute("UPDATE facts SET value = '[999999, \"0:1:\"]' WHERE name = 'cursor'")
    db.close()
    one.begin()
    post(one, "two")
    one.until_idle()
    assert told(receiver) == ["one", "two"]


def test_health_says_whether_it_runs_and_how_far_behind_it_is(
    notifying: Start, receiver: Receiver, config: Config
) -> None:
    one = notifying(pager(receiver))
    clock = one.members.hub.journal.clock
    one.queue._clock = clock
    post(one, "one")
    one.queue.beat({"pager": None})
    health = one.members.admin.get("/health").json
    assert (health["notify"], health["notify_behind"]) == ("ready", 1)
    one.members.later(60)
    assert one.members.admin.get("/health").json["notify"] == "away"
    config.notify_file.unlink()
    assert one.members.admin.get("/health").json["notify"] == "off"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1", "x is not known here"),
        ("[services]", "services is missing"),
        ('[services.a]\ntype = "fax"', "services.a.type is 'fax': known are"),
        ('[services.a]\ntype = "http"', "services.a.url is missing"),
        ('[services.a]\ntype = "http"\nurl = "ftp://x"', "services.a.url must be an http"),
        ('[services.a]\ntype = "http"\nurl = "http://x"\nurll = 1', "services.a.urll is not known"),
        ('[services.A]\ntype = "http"', "services.A is no name"),
        ("not toml", "is not TOML"),
    ],
)
def test_wrong_settings_are_named(
    notifying: Start, receiver: Receiver, config: Config, text: str, said: str
) -> None:
    with pytest.raises(BadSetting, match=said.replace("[", r"\[")):
        notifying(text)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ('to = "x"', "rules[1].send is missing"),
        ('send = "nobody"', "rules[1].send is 'nobody': no service has this name (pager)"),
        ('send = "pager"\nkinds = ["mesage"]', "rules[1].kinds has 'mesage'"),
        ('send = "pager"\npriority = "high"', "rules[1].priority must be one of fyi"),
        ('send = "pager"\nform = "x"', "rules[1].form is not known here"),
        ('send = "pager"\nto = [1]', "rules[1].to must be texts only"),
    ],
)
def test_wrong_rules_are_named(notifying: Start, receiver: Receiver, rule: str, said: str) -> None:
    with pytest.raises(BadSetting) as error:
        notifying(pager(receiver, f"[[rules]]\n{rule}\n"))
    assert said in str(error.value)


def test_a_settings_file_that_others_can_read_is_refused(
    notifying: Start, receiver: Receiver, config: Config
) -> None:
    one = notifying(pager(receiver))
    config.notify_file.chmod(0o640)
    with pytest.raises(BadSetting, match="chmod 600"):
        one.begin()
    config.notify_file.unlink()
    config.notify_file.mkdir()
    with pytest.raises(BadSetting, match="is no file"):
        one.begin()
    config.notify_file.rmdir()
    write_settings(config.notify_file, pager(receiver))
    one.begin()
