"""Telegram, both ways, against a Bot API that checks what it is sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bus.config import BadSetting
from bus.notify.services.base import Retry
from tests.fleet import SECRET, Fleet, a_fleet
from tests.notify.conftest import Notifying
from tests.notify.fake_telegram import TOKEN, FakeTelegram, bad_json, hang_up, reply

CHAS = {"id": 501, "is_bot": False, "username": "ChasWatkins"}
JAZ = {"id": 502, "is_bot": False, "username": "jaz"}
EVE = {"id": 666, "is_bot": False, "username": "eve"}
GROUP = -100


@pytest.fixture
def api() -> Iterator[FakeTelegram]:
    fake = FakeTelegram()
    yield fake
    fake.close()


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with a_fleet(tmp_path) as made:
        yield made


class Ops(Notifying):
    """The service with a group, chas who is an admin, and jaz who is not."""

    api: FakeTelegram

    def poll(self) -> None:
        self.settings.services["ops"].poll(0)  # type: ignore[attr-defined]
        self.until_idle()

    def tell(self, text: str, user: dict[str, Any] = CHAS, **more: Any) -> list[str]:
        """Somebody writes; return the texts that follow."""
        before = len(self.api.texts())
        self.api.message(text, user, **more)
        self.poll()
        return self.api.texts()[before:]

    def post(self, body: str, **fields: Any) -> dict[str, Any]:
        made = self.members.web1.post("/post", json={"to": "human/chas", "body": body, **fields})
        assert made.status_code == 201, made.json
        return made.json  # type: ignore[no-any-return]


def text_of(api: FakeTelegram, more: str = "", rules: str = '[[rules]]\nsend = "ops"\n') -> str:
    return f"""
[services.ops]
type = "telegram"
token = "{TOKEN}"
chat = {GROUP}
users = {{ ChasWatkins = "chas", "502" = "jaz" }}
admins = [501]
aliases = ["chasclaude"]
api = "{api.url}"
{more}
{rules}
"""


@pytest.fixture
def ops(api: FakeTelegram, fleet: Fleet) -> Iterator[Ops]:
    made = Ops(fleet.config, fleet, text_of(api))  # type: ignore[arg-type]
    made.api = api
    yield made
    made.close()


# -- out -----------------------------------------------------------------------------------------


def test_a_refusal_names_no_route_of_the_hub(ops: Ops) -> None:
    assert ops.tell("/approve 01K") == ["There is no question '01K'. approve lists them."]


def test_text_of_others_is_only_text(ops: Ops, api: FakeTelegram) -> None:
    ops.post('<b>&amp; <a href="tg://x">*_`[\u202e</a>')
    ops.until_idle()
    (sent,) = api.said()
    assert sent["parse_mode"] == "HTML"
    assert "&lt;b&gt;&amp;amp; &lt;a href=" in sent["text"]
    assert "\u202e" not in sent["text"]
    assert sent["link_preview_options"] == {"is_disabled": True}


def test_text_of_others_calls_nobody_by_name(ops: Ops, api: FakeTelegram) -> None:
    ops.post("@ChasWatkins wake up, me@example.org")
    ops.until_idle()
    assert api.texts()[-1].endswith("@ ChasWatkins wake up, me@example.org")
    assert "@ ChasWatkins" in ops.tell("/inbox")[-1]


def test_an_answer_in_a_chat_has_no_secret_of_the_mail(ops: Ops) -> None:
    ops.post("DB_PASSWORD=hunter22 " + "x" * 80 + " ghp_" + "a1" * 18)
    ops.until_idle()
    (said,) = ops.tell("/inbox")
    assert "web1: DB_PASSWORD=[masked]" in said
    assert "ghp_" not in said


def test_a_long_text_is_cut_with_a_pointer(ops: Ops, api: FakeTelegram) -> None:
    seq = ops.post("<😀&" * 3_000)["seq"]
    ops.until_idle()
    (text,) = api.texts()
    assert text.endswith(f"bus read {seq}")
    assert len(text.encode("utf-16-le")) // 2 <= 4_096


def test_what_telegram_cannot_parse_is_sent_as_plain_text(ops: Ops, api: FakeTelegram) -> None:
    api.answers.append(reply(400, description="Bad Request: can't parse entities: x"))
    ops.post("a < b")
    ops.until_idle()
    (sent,) = api.said()
    assert "parse_mode" not in sent
    assert "a < b" in sent["text"]


def test_it_waits_as_long_as_telegram_says(ops: Ops, api: FakeTelegram) -> None:
    api.answers.append(reply(429, parameters={"retry_after": 33}, description="Too Many"))
    ops.post("one")
    ops.run()
    assert 32 <= ops.run() <= 33
    ops.until_idle()
    assert len(api.texts()) == 1


@pytest.mark.parametrize(
    ("trouble", "is_unsure"),
    [(reply(500, description="Internal"), False), (hang_up, True), (bad_json, True)],
)
def test_after_trouble_it_is_sent_again_and_says_when_that_may_be_twice(
    ops: Ops, api: FakeTelegram, trouble: Any, is_unsure: bool
) -> None:
    api.answers.append(trouble)
    ops.post("one")
    ops.until_idle()
    (notice,) = ops.listed()
    assert (notice["state"], notice["maybe_twice"]) == ("sent", is_unsure)
    assert ("told before" in api.texts()[-1]) is is_unsure


def test_a_thousand_come_in_order_within_the_limit_of_a_group(ops: Ops, api: FakeTelegram) -> None:
    lines = [json.dumps({"to": "human/chas", "body": f"number {n};"}) for n in range(1_000)]
    for start in range(0, 1_000, 100):
        ops.members.web1.post(
            "/post",
            data="\n".join(lines[start : start + 100]),
            headers={"Content-Type": "application/x-ndjson"},
        )
    times: list[float] = []
    api_call = api._wrong

    def timed(method: str, fields: dict[str, Any]) -> str:
        times.append(ops.clock())
        return api_call(method, fields)

    api._wrong = timed  # type: ignore[method-assign]
    ops.until_idle()
    whole = "\n".join(api.texts())
    found = [int(part.partition(";")[0]) for part in whole.split("number ")[1:]]
    assert found == list(range(1_000))
    for at in range(len(times) - 20):
        assert times[at + 20] - times[at] >= 60
    assert len(api.messages) < 80


def test_a_flood_makes_the_last_message_longer(ops: Ops, api: FakeTelegram) -> None:
    for number in range(12):
        ops.post(f"number {number};")
        ops.run()
    assert len(api.messages) < 12
    assert [n for n in range(12) if f"number {n};" in "".join(api.texts())] == list(range(12))


def test_a_group_that_became_a_supergroup_is_followed_for_good(ops: Ops, api: FakeTelegram) -> None:
    moved = {"migrate_to_chat_id": -1001234567890123}
    api.answers.append(reply(400, description="Bad Request: group upgraded", parameters=moved))
    ops.post("one")
    ops.until_idle()
    ops.begin()
    ops.post("two")
    ops.until_idle()
    assert [chat for chat, _ in api.messages] == [-1001234567890123] * 2


def test_the_token_is_nowhere_but_in_the_address(ops: Ops, api: FakeTelegram) -> None:
    api.answers.append(reply(403, description=f"Forbidden: {TOKEN}"))
    ops.post("one")
    ops.run()
    shown = json.dumps(ops.members.admin.get("/notices").json)
    assert TOKEN.partition(":")[2] not in shown


def test_every_command_is_echoed_with_its_output_cut_and_secrets_masked(
    ops: Ops, api: FakeTelegram, fleet: Fleet
) -> None:
    fleet.permit()
    fleet.web1.exec("echo DB_PASSWORD=hunter22; seq 1000")
    ops.until_idle()
    text = "".join(api.texts())
    assert "web1: exec on box, done, exit code 0" in text
    assert "hunter22" not in text
    assert "\n100\n" in text
    assert "\n200\n" not in text


def test_the_echo_can_be_switched_off_for_a_target(api: FakeTelegram, fleet: Fleet) -> None:
    made = Ops(fleet.config, fleet, text_of(api, 'echo_off = ["box"]'))  # type: ignore[arg-type]
    fleet.permit(target="box")
    fleet.permit(target="den")
    fleet.web1.exec("true", "box")
    fleet.web1.exec("true", "den")
    made.until_idle()
    assert len([text for text in api.texts() if "exec on" in text]) == 1
    made.close()


# -- commands ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "@chasclaude permit managerclaude all",
        "@ChasClaudeBot permit managerclaude all",
        "/permit managerclaude all",
        "/permit@ChasClaudeBot managerclaude all",
    ],
)
def test_an_admin_permits_in_each_form(ops: Ops, fleet: Fleet, text: str) -> None:
    assert ops.tell(text) == ["managerclaude may act on *, from now on"]
    (rule, *_) = fleet.admin.get("/api/permissions").json["permissions"]
    assert (rule["source"], rule["target"], rule["allow"]) == ("managerclaude", "*", True)
    (event,) = [one for one in fleet.admin.events() if one["type"] == "permit"]
    assert event["from"] == "human/chas"
    assert event["origin"].startswith("telegram-ops-")


def test_revoke_permissions_status_inbox_and_send(ops: Ops, fleet: Fleet) -> None:
    assert "must not act on seanclaude" in ops.tell("/revoke jazclaude seanclaude")[0]
    assert "jazclaude must not" in ops.tell("/permissions")[0]
    assert ops.tell("/status")[0].startswith("hub ok: ")
    ops.post("read me")
    ops.until_idle()
    assert "web1: read me" in ops.tell("/inbox")[-1]
    assert "sent to db1" in ops.tell("@chasclaude send db1 are you there?")[0]
    (mail,) = fleet.db1.get("/messages?unread_by=db1").json["messages"]
    assert (mail["from"], mail["body"], mail["trust"]) == ("human/chas", "are you there?", "human")


def test_who_is_no_admin_gets_no_admins_word(ops: Ops, fleet: Fleet) -> None:
    assert "is for admins" in ops.tell("/permit jazclaude all", JAZ)[0]
    assert fleet.records("permission") == []
    assert "sent to db1" in ops.tell("/send db1 hello", JAZ)[0]


def test_somebody_unknown_does_nothing_is_told_so_and_cannot_make_it_spam(
    ops: Ops, fleet: Fleet
) -> None:
    told = ops.tell("/permit eve all", EVE)
    assert told == ["This bot does not know you, and does nothing for you."]
    for number in range(20):
        told += ops.tell("/status", {**EVE, "id": 700 + number})
        told += ops.tell("/status", EVE)
    assert len(told) < 25
    before = len(told)
    assert ops.tell("just talking", EVE) == []
    assert len(told) == before
    assert fleet.records("permission") == []


def test_a_user_name_belongs_to_the_account_that_first_used_it(ops: Ops, fleet: Fleet) -> None:
    ops.tell("/status")
    thief = {**EVE, "username": "chaswatkins"}
    assert "bound to another account" in ops.tell("/permit eve all", thief)[0]
    ops.begin()
    assert ops.tell("/status", {**CHAS, "username": "renamed"})[0].startswith("hub ok")
    assert "chaswatkins is human/chas (id 501, admin)" in ops.tell("/people")[0]
    assert fleet.records("permission") == []


def test_an_admins_user_name_alone_makes_no_admin(ops: Ops, fleet: Fleet) -> None:
    first = {**EVE, "username": "ChasWatkins"}
    assert "is for admins" in ops.tell("/permit eve all", first)[0]
    assert fleet.records("permission") == []


@pytest.mark.parametrize("mark", [{"forward_origin": {"type": "user"}}, {"forward_date": 1}])
def test_a_forwarded_command_does_nothing(ops: Ops, fleet: Fleet, mark: dict[str, Any]) -> None:
    assert "forwarded" in ops.tell("/permit eve all", CHAS, **mark)[0]
    assert fleet.records("permission") == []


def test_a_reply_to_a_notice_goes_to_its_sender(ops: Ops, api: FakeTelegram, fleet: Fleet) -> None:
    posted = ops.post("deploy?")
    ops.until_idle()
    ((chat, id),) = api.messages
    me = {"id": 110201543, "is_bot": True}
    replied = {"message_id": id, "from": me, "chat": {"id": chat}}
    told = ops.tell("yes, go", CHAS, reply_to_message=replied)
    assert "sent to web1 as message" in "".join(told)
    (mail,) = fleet.web1.get("/messages?unread_by=web1").json["messages"]
    assert (mail["from"], mail["trust"], mail["body"]) == ("human/chas", "human", "yes, go")
    assert mail["in_reply_to"] == posted["id"]


def test_an_update_is_done_once_whenever_the_process_is_killed(
    ops: Ops, api: FakeTelegram, fleet: Fleet
) -> None:
    ops.tell("/status")
    api.message("/send db1 once", CHAS)
    update = api.updates[-1]
    updates = ops.settings.services["ops"]._updates  # type: ignore[attr-defined]
    # The effect is there, and the process is killed before that is noted.
    updates._done(update, f"telegram-ops-{update['update_id']}")
    api.message("/permit a b", CHAS)
    updates._done(api.updates[-1], f"telegram-ops-{api.updates[-1]['update_id']}")
    ops.begin()
    ops.poll()
    ops.begin()
    ops.poll()
    mail = fleet.db1.get("/messages?to=db1").json["messages"]
    assert [one["body"] for one in mail] == ["once"]
    assert len(fleet.records("permission")) == 1


# -- approvals -----------------------------------------------------------------------------------


@pytest.fixture
def asked(ops: Ops, api: FakeTelegram, fleet: Fleet) -> tuple[tuple[int, int], list[Any]]:
    """A command waits for a yes: its message, and its buttons."""
    fleet.permit(approval="required")
    assert fleet.web1.exec("echo <run> >> ran", stdin="some input").status_code == 202
    ops.until_idle()
    (where,) = [key for key, one in api.messages.items() if "reply_markup" in one]
    return where, api.messages[where]["reply_markup"]["inline_keyboard"][0]


def pressed(api: FakeTelegram) -> str:
    return str(api.said("answerCallbackQuery")[-1]["text"])


def test_a_question_shows_the_very_command_and_is_answered_by_a_button_once(
    ops: Ops, api: FakeTelegram, fleet: Fleet, asked: Any
) -> None:
    where, (allow, deny) = asked
    text = dict(zip(api.messages, api.texts(), strict=True))[where]
    assert "echo <run> >> ran" in text
    assert "some input" in text
    api.press(allow, JAZ, where)
    ops.poll()
    assert "Only admins" in pressed(api)
    api.press(allow, EVE, where)
    ops.poll()
    assert "Only admins" in pressed(api)
    api.press(allow, CHAS, (-200, where[1]))
    ops.poll()
    assert "not known" in pressed(api)
    assert fleet.records("approval_answered") == []
    api.press(allow, CHAS, where)
    ops.poll()
    assert pressed(api) == "allowed by chas"
    assert "reply_markup" not in api.messages[where]
    api.press(deny, CHAS, where)
    ops.poll()
    assert "answered already" in pressed(api)
    (said,) = fleet.records("approval_answered")
    assert (said["auth"], said["allow"]) == ("human/chas", True)
    assert any(one.get("origin", "").startswith("telegram-ops-") for one in fleet.admin.events())
    assert fleet.web1.exec("echo <run> >> ran", stdin="some input").status_code == 200


def test_a_button_of_another_request_does_nothing(
    ops: Ops, api: FakeTelegram, fleet: Fleet, asked: Any
) -> None:
    where, (allow, _) = asked
    with ops.queue.database.changing() as db:
        db.execute("UPDATE buttons SET hash = 'another'")
    api.press(allow, CHAS, where)
    ops.poll()
    assert "not the request" in pressed(api)
    api.press({"callback_data": "made up"}, CHAS, where)
    ops.poll()
    assert "not known" in pressed(api)
    assert fleet.records("approval_answered") == []


def test_what_cannot_be_shown_whole_has_no_button_for_yes(
    ops: Ops, api: FakeTelegram, fleet: Fleet
) -> None:
    fleet.permit(approval="required")
    fleet.web1.exec("true # " + "x" * 5_000)
    ops.until_idle()
    (sent,) = [one for one in api.said() if "reply_markup" in one]
    assert [b["text"] for b in sent["reply_markup"]["inline_keyboard"][0]] == ["Deny"]
    assert "too long" in sent["text"]


def test_a_question_is_answered_in_words_too(
    ops: Ops, api: FakeTelegram, fleet: Fleet, asked: Any
) -> None:
    where, _ = asked
    id = fleet.records("approval_asked")[0]["approval"]
    assert id in ops.tell("/approve")[0]
    assert "is for admins" in ops.tell(f"/approve {id}", JAZ)[0]
    me = {"id": 110201543, "is_bot": True}
    replied = {"message_id": where[1], "from": me, "chat": {"id": where[0]}}
    assert ops.tell("deny", CHAS, reply_to_message=replied) == [f"{id} is denied"]
    assert "denied already" in ops.tell(f"/approve {id}")[0]


def test_a_snapshot_needs_an_admins_credential(api: FakeTelegram, fleet: Fleet) -> None:
    more = f'credential = "admin:{SECRET}"'
    made = Ops(fleet.config, fleet, text_of(api, more))  # type: ignore[arg-type]
    made.api = api
    assert "is for admins" in made.tell("/snapshot box", JAZ)[0]
    assert made.tell("/snapshot box")[0].startswith("snapshot of box: done")
    (call,) = fleet.records("call_ended")
    assert call["result"] == "ok"
    made.close()


# -- setting it up -------------------------------------------------------------------------------


def test_the_check_tells_of_group_privacy_a_webhook_and_a_second_poller(
    ops: Ops, api: FakeTelegram
) -> None:
    telegram = ops.settings.services["ops"]
    assert "group privacy is on" in " ".join(telegram.check())
    api.privacy_is_off, api.webhook = True, "https://x"
    said = telegram.check()
    assert "group privacy is off" in " ".join(said)
    assert [line for line in said if line.startswith("! a webhook")]
    api.answers.append(reply(409, description="Conflict"))
    assert telegram.check()[0].startswith("! another program")


def test_a_wrong_token_is_said(ops: Ops, api: FakeTelegram, fleet: Fleet) -> None:
    text = text_of(api).replace(TOKEN, "1:wrong-token-of-nobody")
    made = Ops(fleet.config, fleet, text)  # type: ignore[arg-type]
    with pytest.raises(Retry, match="is the token right"):
        made.settings.services["ops"].poll(0)  # type: ignore[attr-defined]
    made.close()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("approvals = true", "services.ops.approvals must be a whole number"),
        ('credential = "x"', "services.ops.credential must be NAME:SECRET"),
        ("tokn = 1", "services.ops.tokn is not known here"),
    ],
)
def test_wrong_settings_are_named(api: FakeTelegram, fleet: Fleet, more: str, said: str) -> None:
    with pytest.raises(BadSetting) as error:
        Ops(fleet.config, fleet, text_of(api, more))  # type: ignore[arg-type]
    assert said in str(error.value)
    assert TOKEN not in str(error.value)
