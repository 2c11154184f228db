"""SMS by Twilio's REST API, against a server that answers as Twilio does and checks the bytes."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import pytest

from bus.config import BadSetting
from tests.notify.conftest import Notifying
from tests.notify.test_notices import post
from tests.notify.webhooks.conftest import Receiver, Say, say

Start = Callable[[str], Notifying]
SID, TOKEN = "AC0123456789", "t0ken-secret"


def settings(receiver: Receiver, more: str = "", rules: str = "") -> str:
    return f"""[services.phone]
type = "sms"
url = "http://127.0.0.1:{receiver.port}"
sid = "{SID}"
token = "{TOKEN}"
from = "+15005550006"
people = {{ chas = "+15551234567", ann = "+4915112345678" }}
{more}
{rules}
"""


def twilio(status: int, body: Any) -> Say:
    """An answer of JSON; of bytes where these are given."""

    def answer(request: Any) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data)

    return answer


MADE = twilio(201, {"sid": "SM42", "status": "queued", "error_code": None})


@pytest.fixture
def phone(receiver: Receiver) -> Receiver:
    receiver.answer = MADE
    return receiver


def texted(phone: Receiver) -> list[tuple[str, str]]:
    forms = [parse_qs(got.body.decode()) for got in phone.got]
    return [(form["To"][0], form["Body"][0]) for form in forms]


def test_who_is_named_in_a_tag_gets_a_text_that_points_at_the_message(
    notifying: Start, phone: Receiver
) -> None:
    one = notifying(settings(phone))
    post(one, "no text")
    said = post(one, "Deploy?\nIt is urgent…", tags=["text:chas", "text:nobody"])
    one.until_idle()
    (got,) = phone.got
    assert got.path == f"/2010-04-01/Accounts/{SID}/Messages.json"
    wanted = base64.b64encode(f"{SID}:{TOKEN}".encode()).decode()
    assert got.headers["Authorization"] == f"Basic {wanted}"
    assert got.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert parse_qs(got.body.decode(), strict_parsing=True) == {
        "To": ["+15551234567"],
        "From": ["+15005550006"],
        "Body": [f"web1 > db1: Deploy? It is urgent... (bus read {said['seq']})"],
    }
    (notice,) = one.listed()
    assert (notice["state"], notice["target"]) == ("sent", "chas")


def test_both_who_are_named_get_one_each_and_once_where_a_rule_says_it_too(
    notifying: Start, phone: Receiver
) -> None:
    rules = '[[rules]]\nsend = "phone"\ntarget = "ann"\npriority = "urgent"\n'
    one = notifying(settings(phone, rules=rules))
    post(one, "x", tags=["text:chas", "text:ann"], priority="urgent")
    post(one, "y", priority="urgent")
    one.until_idle()
    assert sorted(to for to, _ in texted(phone)) == ["+15551234567", *["+4915112345678"] * 2]


def test_a_long_text_is_one_text_message(notifying: Start, phone: Receiver) -> None:
    one = notifying(settings(phone))
    plain = post(one, "x" * 5000, tags=["text:chas"])
    other = post(one, "京" * 500, tags=["text:chas"])
    one.until_idle()
    (_, first), (_, second) = texted(phone)
    assert len(first) == 160 and first.endswith(f".. (bus read {plain['seq']})")
    assert len(second) == 70 and second.endswith(f".. (bus read {other['seq']})")


def test_only_those_who_may_are_heard(notifying: Start, phone: Receiver) -> None:
    one = notifying(settings(phone, 'senders = ["db*"]'))
    post(one, "x", tags=["text:chas"])
    one.members.db1.post("/post", json={"to": "web1", "body": "y", "tags": ["text:chas"]})
    one.until_idle()
    assert len(phone.got) == 1


def test_a_day_has_a_bound_that_lost_answers_count_in_and_refusals_do_not(
    notifying: Start, phone: Receiver
) -> None:
    one = notifying(settings(phone, "most_a_day = 2"))
    phone.answer = say(503)
    post(one, "0", tags=["text:chas"])
    one.run(5)
    phone.answer = MADE
    for number in range(1, 4):
        post(one, str(number), tags=["text:chas"])
    one.until_idle()
    assert len(phone.got) == 3  # one of them was not taken
    assert [notice["state"] for notice in one.listed()] == ["sent", "sent", "dead", "dead"]
    assert "chas has had 2 texts today" in one.listed()[-1]["error"]
    one.later(86_400)
    post(one, "tomorrow", tags=["text:chas"])
    one.until_idle()
    assert one.listed()[-1]["state"] == "sent"


@pytest.mark.parametrize("status", [429, 500, 503, 401])
def test_what_passes_is_sent_again_in_order(notifying: Start, phone: Receiver, status: int) -> None:
    one = notifying(settings(phone))
    phone.answer = say(status, Retry_After="40") if status == 429 else say(status)
    post(one, "a", tags=["text:chas"])
    post(one, "b", tags=["text:chas"])
    one.run(3)
    assert len(phone.got) == 1
    phone.answer = MADE
    took_s = one.until_idle()
    assert took_s >= 39 if status == 429 else took_s >= 1
    assert [body[:14] for _, body in texted(phone)] == [f"web1 > db1: {c} " for c in "aab"]
    assert not any(notice["maybe_twice"] for notice in one.listed())


def test_a_number_that_twilio_refuses_is_a_dead_letter_with_its_reason(
    notifying: Start, phone: Receiver
) -> None:
    one = notifying(settings(phone))
    phone.answer = twilio(400, {"code": 21211, "message": "Invalid 'To': +15551234567"})
    post(one, "a", tags=["text:chas"])
    one.run(2)
    phone.answer = MADE
    post(one, "b", tags=["text:chas"])
    one.until_idle()
    dead, sent = one.listed()
    assert (dead["state"], dead["error"]) == ("dead", "status 400, Twilio's error 21211")
    assert sent["state"] == "sent"


@pytest.mark.parametrize(
    "answer", [twilio(200, b"<html>Welcome to the hotel</html>"), twilio(200, [1])]
)
def test_somebody_else_has_answered(notifying: Start, phone: Receiver, answer: Say) -> None:
    one = notifying(settings(phone))
    phone.answer = answer
    post(one, "a", tags=["text:chas"])
    one.run(2)
    (notice,) = one.listed()
    assert (notice["state"], notice["maybe_twice"]) == ("queued", True)
    assert notice["error"] == "the answer is not Twilio's"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff"])
def test_a_text_that_was_made_is_not_sent_again_for_bad_json(
    notifying: Start, phone: Receiver, body: bytes
) -> None:
    one = notifying(settings(phone))
    phone.answer = twilio(201, body)
    post(one, "a", tags=["text:chas"])
    one.until_idle()
    assert len(phone.got) == 1
    assert one.listed()[0]["state"] == "sent"


def test_a_server_that_hangs_up_is_not_asked_for_ever(notifying: Start, phone: Receiver) -> None:
    one = notifying(settings(phone))
    phone.answer = lambda request: request.connection.close()
    post(one, "a", tags=["text:chas"])
    one.until_idle()
    assert len(phone.got) == 3
    (notice,) = one.listed()
    assert (notice["state"], notice["maybe_twice"]) == ("dead", True)


def test_a_kill_in_the_middle_of_a_batch(notifying: Start, phone: Receiver) -> None:
    one = notifying(settings(phone))
    for number in range(4):
        post(one, str(number), tags=["text:chas"])
    one.run()
    one.later(1)
    one.follow()
    (second,) = one.queue.first("phone", "chas", 1)
    one.queue.begin([second.id])  # and the process is killed here
    one.begin()
    one.until_idle()
    assert [body[12] for _, body in texted(phone)] == list("0123")
    assert [n["maybe_twice"] for n in one.listed()] == [False, True, False, False]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('from = "x y z and more"', "from must be a number"),
        ('people = { chas = "0151" }', "people has 'chas'"),
        ('people = { "a b" = "+15551234567" }', "people has 'a b'"),
        ("people = {}", "people is missing"),
        ('url = "ftp://x"', "url must be an http"),
        ('token = "a b"', "token must be ASCII"),
        ("most_a_day = 0", "most_a_day must be a number from 1"),
    ],
)
def test_wrong_settings_are_named(notifying: Start, phone: Receiver, line: str, said: str) -> None:
    key = line.split(" =", maxsplit=1)[0]
    lines = [old for old in settings(phone).splitlines() if not old.startswith(f"{key} =")]
    with pytest.raises(BadSetting) as error:
        notifying("\n".join([*lines, line]))
    assert said in str(error.value) and TOKEN not in str(error.value)


def test_the_account_may_stand_in_the_environment(
    notifying: Start, phone: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [line for line in settings(phone).splitlines() if line[:3] not in ("sid", "tok")]
    with pytest.raises(BadSetting, match="sid is missing"):
        notifying("\n".join(lines))
    monkeypatch.setenv("TWILIO_SID", SID)
    monkeypatch.setenv("TWILIO_TOKEN", TOKEN)
    one = notifying("\n".join(lines))
    post(one, "a", tags=["text:chas"])
    one.until_idle()
    assert len(phone.got) == 1


def test_the_answer_to_a_post_says_whether_there_is_an_sms(
    notifying: Start, phone: Receiver
) -> None:
    one = notifying(settings(phone, 'senders = ["web1"]'))
    one.queue._clock = one.members.hub.journal.clock
    tags = ["text:chas", "text:nobody", "other"]
    said = post(one, "x", tags=tags)
    assert said["texts"] == {"chas": "away", "nobody": "nobody"}
    one.queue.beat({})
    assert post(one, "x", tags=tags)["texts"] == {"chas": "ready", "nobody": "nobody"}
    fields = {"to": "web1", "body": "y", "tags": ["text:chas"]}
    assert one.members.db1.post("/post", json=fields).json["texts"] == {"chas": "not_heard"}
    assert "texts" not in post(one, "x", tags=["other"])


def test_without_notices_nobody_is_texted(notifying: Start, phone: Receiver) -> None:
    one = notifying(settings(phone))
    assert one.members.hub.texting("web1", ["text:chas"]) == {"chas": "away"}
    (one._config.notify_file).unlink()
    assert one.members.hub.texting("web1", ["text:chas"]) == {"chas": "nobody"}
