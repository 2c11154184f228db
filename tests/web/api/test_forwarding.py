"""What is passed on has the lowest trust of all that it has passed through."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from bus.config import BadSetting, Config
from bus.model.caller import HUMAN
from tests.fleet import SECRET, As
from tests.web.api.test_hooks import ALPHA, answer, shown
from tests.web.conftest import Members, open_members, refusal


def post(caller: As, to: Any = "db1", body: str = "x", **fields: Any) -> Any:
    reply = caller.post("/post", json={"to": to, "body": body, **fields})
    assert reply.status_code == 201, reply.json
    return reply.json


@pytest.fixture
def chas(members: Members) -> As:
    """A person."""
    members.app.extensions["credentials"].add("human/chas", SECRET, HUMAN)
    return As(members.app, "human/chas")


def test_a_chain_has_its_lowest_label(members: Members, chas: As) -> None:
    first = post(members.shared, "web1", "run this", **{"from": "alice"})
    second = post(members.web1, "human/chas", "alice says: run this", forward=first["id"])
    third = post(chas, "db1", "please do", forward=second["seq"])
    assert [one["trust"] for one in (first, second, third)] == ["shared"] * 3
    facts = {"id": second["id"], "seq": second["seq"], "from": "web1", "trust": "shared"}
    assert third["forwarded"] == facts
    assert "forward" not in third
    found = members.db1.get(f"/messages/{third['id']}").json
    assert (found["trust"], found["forwarded"]) == ("shared", facts)
    (listed,) = members.db1.get("/inbox").json["messages"]
    assert listed["trust"] == "shared"


def test_nothing_is_raised_by_being_passed_on(members: Members, chas: As) -> None:
    of_person = post(chas, "web1")
    assert post(members.web1, forward=of_person["id"])["trust"] == "agent"
    assert post(chas, forward=of_person["id"])["trust"] == "human"
    post(members.web1, "db1", ack_by=60)
    members.later(61)
    members.hub.chores.do()
    (of_hub,) = members.web1.get("/messages?unread_by=web1&tag=overdue").json["messages"]
    assert post(members.shared, forward=of_hub["id"], **{"from": "alice"})["trust"] == "shared"


def test_nobody_claims_more(members: Members) -> None:
    first = post(members.shared, "web1", **{"from": "alice"})
    for claim in ({"trust": "agent"}, {"forwarded": {"trust": "human"}}):
        reply = members.web1.post(
            "/post", json={"to": "db1", "body": "x", "forward": first["id"], **claim}
        )
        refusal(reply, 400, "unknown_field")


def test_what_is_not_there_is_not_passed_on(members: Members) -> None:
    for ref, status, code in ((99_999, 404, "not_found"), ("", 400, "bad_field")):
        reply = members.web1.post("/post", json={"to": "db1", "body": "x", "forward": ref})
        refusal(reply, status, code)
    lines = '{"to":"db1","body":"x","forward":99999}\n{"to":"db1","body":"y"}\n'
    kind = {"Content-Type": "application/x-ndjson"}
    reply = members.web1.post("/post", data=lines, headers=kind)
    assert [line["status"] for line in map(dict, _lines(reply)) if "status" in line] == [404]
    assert members.db1.bodies("unread_by=db1") == ["y"]


def _lines(reply: Any) -> list[Any]:
    return [json.loads(line) for line in reply.get_data(as_text=True).splitlines()]


@pytest.fixture
def private(config: Config) -> Iterator[Members]:
    for made in open_members(Config(data_dir=config.data_dir, fsync="never", private=True)):
        made.app.extensions["credentials"].add("web2", SECRET, "member")
        yield made


def test_who_may_not_read_it_cannot_pass_it_on(private: Members) -> None:
    secret = post(private.web1, "db1", "secret")
    web2 = As(private.app, "web2")
    for ref in (secret["id"], secret["seq"]):
        refused = refusal(
            web2.post("/post", json={"to": "web2", "body": "x", "forward": ref}), 404, "not_found"
        )
        assert refused["message"] == web2.get(f"/messages/{ref}").json["message"]
    assert private.records("message")[-1]["body"] == "secret"
    assert post(private.db1, "web2", forward=secret["id"])["forwarded"]["from"] == "web1"


def test_the_same_key_passes_it_on_once(members: Members) -> None:
    first, other = post(members.web1), post(members.web1)
    again = [post(members.db1, "web1", forward=first["id"], client_id="k") for _ in range(2)]
    assert again[0]["id"] == again[1]["id"]
    reply = members.db1.post(
        "/post", json={"to": "web1", "body": "x", "forward": other["id"], "client_id": "k"}
    )
    refusal(reply, 422, "key_reused")


def test_readers_see_it(members: Members) -> None:
    first = post(members.shared, "web1", **{"from": "alice"})
    post(members.db1, "web1", "look", forward=first["id"])
    text = members.web1.get("/messages?since=0&format=text").get_data(as_text=True)
    assert f"forwarded from alice {first['id']}" in text
    frame = shown(members.web1, "SessionStart")
    (line,) = [line for line in frame.split("\n") if "FORWARDED" in line]
    assert "from db1 to web1 trust=shared" in line


# -- what may wake a session ---------------------------------------------------------------------


@pytest.fixture
def careful(config: Config) -> Iterator[Members]:
    """A hub where only people, agents and the hub itself wake a session."""
    settings = Config(data_dir=config.data_dir, fsync="never", wake_trust="human, agent,hub")
    yield from open_members(settings.validate())


def test_only_the_labels_of_the_setting_wake_a_session(careful: Members) -> None:
    answer(careful.web1, "SessionStart")
    first = post(careful.shared, ALPHA, "do it", priority="urgent", **{"from": "alice"})
    assert shown(careful.web1, "BusWake") == ""
    post(careful.db1, ALPHA, "alice says: do it", forward=first["id"])
    assert shown(careful.web1, "BusWake") == ""
    post(careful.db1, ALPHA, "wake up")
    woken = shown(careful.web1, "BusWake")
    assert ("wake up" in woken, "do it" in woken) == (True, False)
    assert "alice says: do it" in shown(careful.web1, "UserPromptSubmit")


def test_without_the_setting_any_wakes(members: Members) -> None:
    answer(members.web1, "SessionStart")
    post(members.shared, ALPHA, "do it", **{"from": "alice"})
    assert "do it" in shown(members.web1, "BusWake")


@pytest.mark.parametrize("name", ["BUS_WAKE_TRUST", "BUS_BYPASS_TRUST"])
def test_a_label_that_does_not_exist_is_refused(name: str) -> None:
    with pytest.raises(BadSetting, match=rf"{name} is 'agent,people': 'people' is none of"):
        Config.from_env({name: "agent,people"})


# -- what reaches a session that asks nobody ----------------------------------------------------

BYPASS = {"permission_mode": "bypassPermissions"}
COUNTED = re.compile(r"-- (\d+) not shown: this session acts without asking")


def counted(text: str) -> list[str]:
    """How many messages a frame only counts because of their label."""
    return COUNTED.findall(text)


def test_a_session_in_bypass_mode_is_shown_only_what_somebody_has_proven(
    members: Members,
) -> None:
    first = post(members.shared, ALPHA, "do it", priority="urgent", **{"from": "alice"})
    post(members.db1, ALPHA, "alice says so", forward=first["id"])
    post(members.db1, ALPHA, "from db1")
    text = shown(members.web1, "SessionStart", **BYPASS)
    assert "from db1" in text
    assert "do it" not in text and "alice says so" not in text
    assert counted(text) == ["2"] and "`bus inbox`" in text
    post(members.shared, ALPHA, "do it now", priority="urgent", **{"from": "alice"})
    for event in ("PostToolUse", "BusWake", "Stop"):
        assert shown(members.web1, event, **BYPASS) == ""
    text = shown(members.web1, "UserPromptSubmit", **BYPASS)
    assert "do it now" not in text and counted(text) == ["1"]
    assert shown(members.web1, "UserPromptSubmit", **BYPASS) == ""  # counted once
    inbox = members.web1.get(f"/inbox?reader={ALPHA}").json["messages"]
    assert "do it now" in [one["body"] for one in inbox]
    steps = members.admin.get(f"/messages/{first['id']}/trace").json["trace"][ALPHA]
    assert "shown" not in [step["step"] for step in steps]


def test_what_an_event_does_not_say_of_the_mode_is_as_it_was_last(members: Members) -> None:
    answer(members.web1, "SessionStart", **BYPASS)
    post(members.shared, ALPHA, "do it", priority="urgent", **{"from": "alice"})
    assert shown(members.web1, "BusWake") == shown(members.web1, "PostToolUse") == ""
    assert "do it" in shown(members.web1, "UserPromptSubmit", permission_mode="default")
    post(members.shared, ALPHA, "once more", **{"from": "alice"})
    assert "once more" in shown(members.web1, "BusWake")


def test_a_question_that_nobody_has_proven_is_counted_in_bypass_mode(members: Members) -> None:
    for caller, name in ((members.shared, "alice"), (members.db1, "db1")):
        asked = caller.post("/ask", json={"from": name, "to": ALPHA, "question": f"{name}?"})
        members.web1.post(f"/ack/{asked.json['id']}", json={"reader": ALPHA})
    text = shown(members.web1, "SessionStart", **BYPASS)
    assert "db1?" in text and "alice?" not in text
    assert "-- 1 more: `bus asks --owed`" in text
    answer(members.web1, "UserPromptSubmit", **BYPASS)
    assert "alice?" not in shown(members.web1, "Stop", **BYPASS)


def test_a_session_of_the_shared_user_in_bypass_mode_sees_what_the_shared_user_wrote(
    members: Members,
) -> None:
    post(members.shared, "bob", "do it", **{"from": "alice"})
    start = {"hook_event_name": "SessionStart", "session_id": "s", **BYPASS}
    reply = members.shared.post("/hooks/claude-code?name=bob", json=start)
    assert reply.status_code == 200, reply.json
    text = reply.json["hookSpecificOutput"]["additionalContext"]
    assert "do it" in text and counted(text) == []


def test_the_setting_says_what_reaches_a_session_in_bypass_mode(config: Config) -> None:
    every = ",".join(("human", "agent", "shared", "hub"))
    settings = Config(data_dir=config.data_dir, fsync="never", bypass_trust=every)
    for members in open_members(settings.validate()):
        post(members.shared, ALPHA, "do it", **{"from": "alice"})
        text = shown(members.web1, "SessionStart", **BYPASS)
        assert "do it" in text and counted(text) == []
