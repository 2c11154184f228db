"""A dead-man's switch: who is told when a name falls silent, and when it is back."""

from __future__ import annotations

from typing import Any

import pytest

from bus.config import Config
from bus.hub import expectations as hub_expectations
from bus.live.running import GAP_MS
from tests.fleet import SECRET, As
from tests.web.conftest import Members, open_members, refusal

STEP_S = GAP_MS / 1000


def expect(caller: As, name: str = "db1", every_s: float = 60, **more: Any) -> dict[str, Any]:
    reply = caller.post("/expect", json={"name": name, "every_s": every_s, **more})
    assert reply.status_code in (200, 201), reply.json
    found: dict[str, Any] = reply.json["expectation"]
    return found


class Time:
    """Time that passes while the hub runs, its leader at work; or while it does not."""

    def __init__(self) -> None:
        self.s = 0.0

    def runs(self, members: Members, seconds: float) -> None:
        end = self.s + seconds
        while self.s < end:
            self.s = min(self.s + STEP_S, end)
            members.later(self.s)
            members.hub.chores.do()

    def stands(self, members: Members, seconds: float) -> None:
        self.s += seconds
        members.later(self.s)


@pytest.fixture
def time(members: Members) -> Time:
    found = Time()
    members.later(0)
    members.hub.chores.do()
    return found


def told(caller: As, name: str | None = None) -> list[str]:
    """What a name was told of expectations, as `state name`."""
    mail = caller.get(f"/messages?to={name or caller.name}&since=0").json["messages"]
    facts = [one["data"]["expect"] for one in mail if one["from"] == "bus"]
    return [f"{one['state']} {one['name']}" for one in facts]


def test_a_silence_and_its_end_are_told_once_each(members: Members, time: Time) -> None:
    made = expect(members.web1)
    time.runs(members, 59)
    assert told(members.web1) == []
    time.runs(members, 30)
    assert told(members.web1) == ["silent db1"]
    (shown,) = members.web1.get("/expect").json["expectations"]
    assert (shown["id"], shown["state"]) == (made["id"], "silent")
    members.db1.get("/api/me")
    time.runs(members, 10)
    assert told(members.web1) == ["silent db1", "back db1"]
    time.runs(members, 70)
    assert told(members.web1) == ["silent db1", "back db1", "silent db1"]
    (message, *_) = members.web1.get("/messages?unread_by=web1").json["messages"]
    assert message["body"].startswith("db1 is silent for 1 min")
    assert (message["tags"], message["trust"]) == (["expect", "silent"], "agent")


@pytest.mark.parametrize(
    "sign",
    [
        lambda members: members.db1.post("/post", json={"to": "any", "body": "x"}),
        lambda members: members.db1.post(
            "/post", json={"from": "db1/alpha", "to": "any", "body": "x"}
        ),
        lambda members: members.db1.post("/agents", json={"session": "alpha"}),
        lambda members: members.db1.get("/messages?unread_by=db1"),
        lambda members: members.db1.post("/ack", json={"reader": "db1", "ids": [1]}),
    ],
    ids=["a post", "a session's post", "registering", "a read", "an ack"],
)
def test_what_comes_from_a_name_keeps_it_heard(members: Members, time: Time, sign: Any) -> None:
    members.web1.post("/post", json={"to": "db1", "body": "x"})
    expect(members.web1)
    for _ in range(3):
        time.runs(members, 40)
        assert sign(members).status_code < 300
    assert told(members.web1) == []


def test_what_is_done_with_the_mail_of_a_name_by_others_is_no_sign(
    members: Members, time: Time
) -> None:
    expect(members.web1)
    for _ in range(2):
        time.runs(members, 35)
        members.web1.get("/messages?unread_by=db1")
        members.web1.post("/post", json={"to": "db1", "body": "are you there?"})
    assert told(members.web1) == ["silent db1"]


def test_a_session_is_not_heard_by_what_its_machine_does(members: Members, time: Time) -> None:
    expect(members.web1, "db1/backup")
    for _ in range(2):
        time.runs(members, 35)
        members.db1.get("/api/me")
    assert told(members.web1) == ["silent db1/backup"]
    members.db1.post("/post", json={"from": "db1/backup", "to": "any", "body": "done"})
    time.runs(members, 1)
    assert told(members.web1) == ["silent db1/backup", "back db1/backup"]


def test_a_session_that_has_left_falls_silent(members: Members, time: Time) -> None:
    members.db1.post("/agents", json={"session": "alpha"})
    expect(members.web1, "db1/alpha")
    members.db1.delete("/agents/db1/alpha")
    time.runs(members, 70)
    assert told(members.web1) == ["silent db1/alpha"]


def test_time_in_which_the_hub_did_not_run_is_no_silence(
    members: Members, time: Time, config: Config
) -> None:
    expect(members.web1)
    time.runs(members, 30)
    members.hub.chores.leave()
    time.stands(members, 7200)
    for again in open_members(config):
        again.later(time.s)
        time.runs(again, 25)
        assert told(again.web1) == []
        time.runs(again, 10)
        assert told(again.web1) == ["silent db1"]
    # A restart tells neither again.
    for again in open_members(config):
        again.later(time.s)
        time.runs(again, 90)
        assert told(again.web1) == ["silent db1"]
        again.db1.get("/api/me")
        time.runs(again, 5)
        assert told(again.web1) == ["silent db1", "back db1"]
    assert len(members.records("silence_begun")) == len(members.records("silence_over")) == 1


def test_two_processes_that_tell_at_once_tell_once(
    members: Members, restarted: Members, time: Time
) -> None:
    """As when a stopped leader goes on while another has taken its place."""
    expect(members.web1)
    time.runs(members, 58)
    for one in (members, restarted):
        one.later(time.s + 4)
    db = members.hub.expectations
    with members.hub.journal.current() as index:
        (row,) = hub_expectations.queries.after(index, "")
    members.hub.live.running.note(members.hub.journal.now_ms())
    now_ms = members.hub.journal.now_ms()
    db._tell_silence(row, 0, now_ms)
    restarted.hub.expectations._tell_silence(row, 0, now_ms)
    assert told(members.web1) == ["silent db1"]
    assert len(members.records("silence_begun")) == 1


def test_the_same_again_changes_nothing_and_other_terms_change_it(members: Members) -> None:
    first = members.web1.post("/expect", json={"name": "db1", "every_s": 60})
    again = members.web1.post("/expect", json={"name": "db1", "every_s": 60})
    assert (first.status_code, again.status_code) == (201, 200)
    assert (first.json["is_new"], again.json["is_new"]) == (True, False)
    assert len(members.records("expectation_set")) == 1
    other = expect(members.web1, every_s=120, tell=["admin", "role:ops"])
    assert other["id"] == first.json["expectation"]["id"]
    assert (other["every_s"], other["tell"]) == (120, ["admin", "role:ops"])
    assert len(members.web1.get("/expect").json["expectations"]) == 1


def test_those_named_are_told_and_a_role_is(members: Members, time: Time) -> None:
    members.admin.post("/roles/ops/claim")
    expect(members.web1, tell=["web1/alpha", "role:ops"])
    time.runs(members, 70)
    assert told(members.web1) == []
    assert told(members.web1, "web1/alpha") == told(members.admin, "role:ops") == ["silent db1"]


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"name": "db1"}, 400, "missing_field"),
        ({"every_s": 60}, 400, "missing_field"),
        ({"name": "db1", "every_s": 59}, 400, "bad_field"),
        ({"name": "db1", "every_s": 31 * 86_400 + 1}, 400, "bad_field"),
        ({"name": "db1", "every_s": "60"}, 400, "bad_field"),
        ({"name": "any", "every_s": 60}, 400, "bad_field"),
        ({"name": "role:ops", "every_s": 60}, 400, "bad_field"),
        ({"name": "db1", "every_s": 60, "tell": []}, 400, "bad_field"),
        ({"name": "db1", "every_s": 60, "tell": "topic:x"}, 400, "bad_field"),
        ({"name": "db1", "every_s": 60, "tell": "any"}, 400, "bad_field"),
        ({"name": "db1", "every_s": 60, "tell": ["web1"] * 9}, 400, "bad_field"),
        ({"name": "db1", "every_s": 60, "tell": "nobody-has-it"}, 404, "unknown_recipient"),
        ({"name": "db1", "every_s": 60, "from": "db1"}, 403, "not_your_name"),
        ({"name": "db1", "every_s": 60, "note": "x"}, 400, "unknown_field"),
    ],
)
def test_a_wrong_expectation_is_refused(
    members: Members, fields: dict[str, Any], status: int, code: str
) -> None:
    refusal(members.web1.post("/expect", json=fields), status, code)
    assert members.records("expectation_set") == []


def test_a_name_that_nobody_has_is_expected_with_a_warning(members: Members) -> None:
    reply = members.web1.post("/expect", json={"name": "db11", "every_s": 60})
    assert reply.json["warnings"] == ["db11 is not known; did you mean db1?"]
    assert reply.json["expectation"]["heard"] is None


def test_the_shared_user_says_whose_it_is(members: Members, time: Time) -> None:
    reply = members.shared.post("/expect", json={"name": "db1", "every_s": 60})
    refusal(reply, 400, "missing_field")
    expect(members.shared, **{"from": "alice"})
    time.runs(members, 70)
    assert told(members.shared, "alice") == ["silent db1"]
    (message,) = members.shared.get("/messages?unread_by=alice").json["messages"]
    assert message["trust"] == "shared"
    refusal(members.shared.delete("/expect/db1?from=bob"), 404, "no_such_expectation")
    assert members.shared.delete("/expect/db1?from=alice").status_code == 200


def test_it_is_ended_by_its_id_or_by_the_name(members: Members, time: Time) -> None:
    made = expect(members.web1)
    expect(members.web1, "db1/alpha")
    assert members.web1.delete("/expect/db1/alpha").json["expectation"]["name"] == "db1/alpha"
    assert members.web1.delete(f"/expect/{made['id'].lower()}").json["expectation"] == made
    refusal(members.web1.delete("/expect/db1"), 404, "no_such_expectation")
    time.runs(members, 70)
    assert told(members.web1) == []


def test_others_see_and_end_none_that_does_not_concern_them(members: Members) -> None:
    members.app.extensions["credentials"].add("web2", SECRET, "member")
    web2, made = As(members.app, "web2"), expect(members.web1)
    refusal(web2.delete(f"/expect/{made['id']}"), 404, "no_such_expectation")
    refusal(members.db1.delete(f"/expect/{made['id']}"), 404, "no_such_expectation")
    lists = {
        caller.name: len(caller.get("/expect").json["expectations"])
        for caller in (members.web1, members.db1, web2, members.admin, members.shared)
    }
    assert lists == {"web1": 1, "db1": 1, "web2": 0, "admin": 1, "claude": 0}
    assert members.admin.delete(f"/expect/{made['id']}").status_code == 200
    assert members.web1.get("/expect?format=text").get_data(as_text=True) == "no expectations\n"


def test_who_is_told_may_end_that_for_itself(members: Members, time: Time) -> None:
    made = expect(members.web1, tell=["db1", "web1"])
    assert members.db1.delete(f"/expect/{made['id']}").status_code == 200
    (left,) = members.web1.get("/expect").json["expectations"]
    assert left["tell"] == ["web1"]
    only = expect(members.web1, "db1/alpha", tell="db1")
    assert members.db1.delete(f"/expect/{only['id']}").status_code == 200
    assert [one["id"] for one in members.web1.get("/expect").json["expectations"]] == [made["id"]]


def test_pages(members: Members) -> None:
    made = [expect(members.web1, f"db1/{number}") for number in range(4)]
    ids = sorted(one["id"] for one in made)
    named = next(one["name"] for one in made if one["id"] == ids[0])
    first = members.web1.get("/expect?limit=2").json
    assert ([one["id"] for one in first["expectations"]], first["next"]) == (ids[:2], ids[1])
    rest = members.web1.get(f"/expect?after={first['next']}&limit=2").json
    assert (len(rest["expectations"]), rest["next"]) == (2, None)
    assert len(members.web1.get("/expect?name=db1/1").json["expectations"]) == 1
    text = members.web1.get("/expect?limit=1&format=text").get_data(as_text=True)
    assert f"{named} heard, heard never, every 1 min, tells web1 (web1)\n-- more" in text


def test_a_credential_has_so_many(members: Members, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_expectations, "MOST_EXPECTATIONS", 2)
    expect(members.web1, "db1/a")
    expect(members.web1, "db1/b")
    reply = members.web1.post("/expect", json={"name": "db1/c", "every_s": 60})
    assert refusal(reply, 429, "over_quota")["quota"] == "expectations"
    expect(members.web1, "db1/b", every_s=90)
    expect(members.db1, "web1")


def test_nobody_has_others_told_without_end(
    members: Members, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_expectations, "MOST_TOLD", 3)
    for number in range(3):
        expect(members.web1, f"web1/{number}", tell=["db1", "admin"])
    time.runs(members, 70)
    assert len(told(members.db1)) == len(told(members.admin)) == 1
    assert len(told(members.web1)) == 2
    (one, *_) = members.web1.get("/messages?unread_by=web1").json["messages"]
    assert "Not told, since web1 has too many told: db1, admin." in one["body"]
    time.runs(members, 3600)
    for number in range(3):
        members.web1.post("/post", json={"from": f"web1/{number}", "to": "any", "body": "x"})
    time.runs(members, 5)
    assert len(told(members.db1)) == 2


def test_it_ends_with_the_credential_that_made_it(members: Members, time: Time) -> None:
    expect(members.web1, tell=["admin"])
    assert members.admin.post("/api/credentials/revoke", json={"name": "web1"}).status_code == 200
    time.runs(members, 70)
    assert told(members.admin) == []
    assert members.admin.get("/expect").json["expectations"] == []


def test_a_rebuilt_index_has_them_as_they_were(members: Members, time: Time) -> None:
    expect(members.web1, "db1/quiet", every_s=120)
    expect(members.web1)
    expect(members.web1, "db1/silent", tell=["db1", "admin"])
    time.runs(members, 65)
    members.db1.get("/api/me")
    time.runs(members, 5)
    id = members.web1.get("/expect?name=db1/silent").json["expectations"][0]["id"]
    members.db1.delete(f"/expect/{id}")
    before = members.admin.get("/expect").json
    members.hub.index.rebuild()
    assert members.admin.get("/expect").json == before
    assert [one["state"] for one in before["expectations"]].count("silent") == 1
