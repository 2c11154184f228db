"""iMessage: a notice becomes a message of the hub's to the relay, once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bus.config import BadSetting
from tests.notify.conftest import Notifying
from tests.notify.test_notices import post

Start = Callable[[str], Notifying]
SETTINGS = """[services.mac]
type = "imessage"
relay = "web1/imessage"
people = { chas = "+15551234567" }
[[rules]]
send = "mac"
"""


def relayed(one: Notifying) -> list[dict[str, Any]]:
    reply = one.members.admin.get("/messages?to=web1/imessage&tag=imessage")
    return reply.json["messages"]  # type: ignore[no-any-return]


def test_it_is_mail_of_the_hubs_and_goes_round_once(notifying: Start) -> None:
    one = notifying(SETTINGS)
    post(one, "the disk is full")
    one.until_idle()
    one.until_idle()
    (mail,) = relayed(one)
    assert (mail["from"], mail["trust"], mail["verified"]) == ("bus", "hub", True)
    assert mail["data"] == {
        "imessage": {"to": "+15551234567", "text": "web1 → db1\nthe disk is full"}
    }
    assert [notice["state"] for notice in one.listed()] == ["sent", "dead"]


def test_a_kill_in_the_middle_makes_no_second_one(notifying: Start) -> None:
    one = notifying(SETTINGS)
    post(one, "a")
    post(one, "b")
    one.follow()
    (first,) = one.queue.first("mac", "", 1)
    one.queue.begin([first.id])
    one.settings.services["mac"].send("", [first])  # and the process is killed here
    one.begin()
    one.until_idle()
    texts = [mail["data"]["imessage"]["text"][-1] for mail in relayed(one)]
    assert texts == ["a", "b"]


def test_a_long_text_is_cut(notifying: Start) -> None:
    one = notifying(SETTINGS)
    said = post(one, "x" * 3_500)
    one.until_idle()
    text = relayed(one)[0]["data"]["imessage"]["text"]
    assert len(text) < 2_100 and text.endswith(f"… (bus read {said['seq']})")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("web1/imessage", "a b", "relay is 'a b'"),
        ("+15551234567", "-e evil", "people has 'chas'"),
        ('chas = "+15551234567"', "", "people is missing"),
    ],
)
def test_wrong_settings_are_named(notifying: Start, old: str, new: str, said: str) -> None:
    with pytest.raises(BadSetting, match=said):
        notifying(SETTINGS.replace(old, new))
