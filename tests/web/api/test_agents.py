"""Agents: leases, callsigns, states and the roster."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from bus import create_app
from bus.config import Config
from bus.model.agents import normalised_repo
from tests.conftest import USER, Caller, opened
from tests.fleet import As
from tests.web.conftest import Members, refusal

HERE = {"host": "web1.example", "cwd": "/srv/app", "repo": "git@github.com:acme/app.git"}
ELSEWHERE = {"host": "web1.example", "cwd": "/srv/other", "repo": "https://github.com/acme/other"}


def register(caller: As, **fields: Any) -> dict[str, Any]:
    reply = caller.post("/agents", json=fields)
    assert reply.status_code == 200, reply.json
    found: dict[str, Any] = reply.json
    return found


def names(caller: As, query: str = "") -> list[str]:
    reply = caller.get(f"/agents?{query}")
    assert reply.status_code == 200, reply.json
    return [agent["name"] for agent in reply.json["agents"]]


def agent(caller: As, name: str) -> dict[str, Any]:
    found: dict[str, Any] = caller.get(f"/agents/{name}").json["agent"]
    return found


# -- leases ------------------------------------------------------------------------------------


def test_a_held_name_is_refused_and_the_answer_says_who_holds_it(members: Members) -> None:
    first = register(members.web1, session="alpha", pid=17, started="1", **HERE)
    reply = members.web1.post("/agents", json={"session": "alpha", "pid": 18, **ELSEWHERE})
    holder = refusal(reply, 409, "name_held")["holder"]
    assert holder["lease"] == first["lease"]
    assert holder["since"] == first["agent"]["since"]
    assert (holder["host"], holder["cwd"], holder["pid"]) == ("web1.example", "/srv/app", 17)


@pytest.mark.parametrize(
    "again",
    [{"pid": 17, "started": "1", "host": "h"}, {"lease": True}],
    ids=["the same process", "the same lease"],
)
def test_the_holder_renews_its_lease(members: Members, again: dict[str, Any]) -> None:
    first = register(members.web1, session="alpha", pid=17, started="1", host="h", branch="main")
    if "lease" in again:
        again = {"lease": first["lease"]}
    second = register(members.web1, session="alpha", summary="the release", **again)
    assert (second["lease"], second["is_new"]) == (first["lease"], False)
    assert second["agent"]["branch"] == "main"
    assert second["agent"]["summary"] == "the release"


def test_sessions_without_an_identity_are_told_apart_by_their_host_only(members: Members) -> None:
    first = register(members.web1, session="alpha", host="one")
    assert register(members.web1, session="alpha")["lease"] == first["lease"]
    reply = members.web1.post("/agents", json={"session": "alpha", "host": "two"})
    refusal(reply, 409, "name_held")


def test_renewing_without_a_change_writes_nothing(members: Members) -> None:
    for _ in range(3):
        register(members.web1, session="alpha", pid=17, **HERE)
    assert len(members.records("agent_joined", "agent_changed")) == 1


def test_a_process_that_is_silent_for_a_minute_loses_its_name(members: Members) -> None:
    first = register(members.web1, session="alpha", pid=17)
    members.later(59)
    refusal(members.web1.post("/agents", json={"session": "alpha", "pid": 18}), 409, "name_held")
    members.later(61)
    second = register(members.web1, session="alpha", pid=18)
    assert second["is_new"]
    lost = members.web1.post("/agents/web1/alpha/heartbeat", json={"lease": first["lease"]})
    refusal(lost, 409, "lease_lost")


def test_heartbeats_keep_a_name(members: Members) -> None:
    lease = register(members.web1, session="alpha", pid=17)["lease"]
    for minute in range(1, 4):
        members.later(50 * minute)
        beat = members.web1.post("/agents/web1/alpha/heartbeat", json={"lease": lease})
        assert (beat.status_code, beat.json["lease_s"]) == (200, 60)
    refusal(members.web1.post("/agents", json={"session": "alpha", "pid": 18}), 409, "name_held")
    assert not members.records("agent_changed", "agent_left")


def test_a_session_without_a_process_keeps_its_name_for_twelve_hours(members: Members) -> None:
    register(members.web1, session="alpha", session_id="one")
    members.later(12 * 3600 - 1)
    other = {"session": "alpha", "session_id": "two"}
    refusal(members.web1.post("/agents", json=other), 409, "name_held")
    members.later(12 * 3600 + 1)
    assert register(members.web1, **other)["is_new"]


def test_a_takeover_ends_a_lease_of_a_process_that_is_gone(members: Members) -> None:
    first = register(members.web1, session="alpha", pid=17)
    members.web1.say("for alpha", sender="web1", to="web1/alpha")
    second = register(members.web1, session="alpha", pid=18, takeover=[first["lease"]])
    assert second["is_new"]
    assert second["agent"]["unread"] == 1


def test_a_takeover_with_an_old_lease_ends_nothing(members: Members) -> None:
    old = register(members.web1, session="alpha", pid=17)["lease"]
    register(members.web1, session="alpha", pid=18, takeover=[old])
    reply = members.web1.post("/agents", json={"session": "alpha", "pid": 19, "takeover": [old]})
    refusal(reply, 409, "name_held")


def test_the_shared_user_takes_nothing_over(members: Members) -> None:
    lease = register(members.shared, name="old/alpha", pid=17)["lease"]
    reply = members.shared.post(
        "/agents", json={"name": "old/alpha", "pid": 18, "takeover": [lease]}
    )
    refusal(reply, 403, "not_allowed")


def test_nobody_registers_under_anothers_name(members: Members) -> None:
    for caller in (members.web1, members.shared):
        refusal(caller.post("/agents", json={"name": "db1/alpha"}), 403, "not_your_name")
    register(members.db1, session="alpha")
    for method, path in (
        ("POST", "/agents/db1/alpha/heartbeat"),
        ("PUT", "/agents/db1/alpha/summary"),
        ("DELETE", "/agents/db1/alpha"),
    ):
        reply = members.web1.call(method, path, json={"summary": "x"} if method == "PUT" else {})
        refusal(reply, 403, "not_your_name")


def test_who_leaves_sets_the_name_free_and_the_mail_stays(members: Members) -> None:
    lease = register(members.web1, session="alpha", pid=17)["lease"]
    members.db1.say("for alpha", sender="db1", to="web1/alpha")
    wrong = members.web1.call("DELETE", "/agents/web1/alpha", json={"lease": "0" * 26})
    refusal(wrong, 409, "lease_lost")
    for _ in range(2):  # a repeated request does no harm
        left = members.web1.call("DELETE", "/agents/web1/alpha", json={"lease": lease})
        assert left.json == {"ok": True, "name": "web1/alpha"}
    assert agent(members.web1, "web1/alpha")["state"] == "gone"
    assert register(members.web1, session="alpha", pid=18)["agent"]["unread"] == 1


def test_leases_outlive_the_hub(members: Members, restarted: Members) -> None:
    first = register(members.web1, session="alpha", pid=17)
    reply = restarted.web1.post("/agents", json={"session": "alpha", "pid": 18})
    assert refusal(reply, 409, "name_held")["holder"]["lease"] == first["lease"]


def test_a_credential_that_was_revoked_holds_no_name(members: Members) -> None:
    register(members.web1, session="alpha", pid=17)
    members.admin.post("/api/credentials/revoke", json={"name": "web1"})
    secret = members.admin.post("/api/credentials", json={"name": "web1"}).json["secret"]
    again = As(members.app, "web1", secret)
    assert register(again, session="alpha", pid=18)["is_new"]


# -- callsigns ---------------------------------------------------------------------------------


def test_sessions_without_a_name_get_callsigns_in_order(members: Members) -> None:
    given = [register(members.web1, pid=pid)["name"] for pid in (17, 18, 19)]
    assert given == ["web1/alpha", "web1/bravo", "web1/charlie"]


def test_of_many_that_ask_at_once_no_two_get_one_callsign(
    members: Members, restarted: Members
) -> None:
    given: list[str] = []
    start = threading.Barrier(8)

    def ask(caller: As, pid: int) -> None:
        start.wait()
        given.append(register(caller, pid=pid)["name"])

    callers = (members.web1, restarted.web1)
    threads = [
        threading.Thread(target=ask, args=(callers[pid % 2], pid)) for pid in range(100, 108)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(set(given)) == len(given) == 8


def test_a_resumed_conversation_gets_its_former_callsign(members: Members) -> None:
    register(members.web1, pid=17)
    lease = register(members.web1, pid=18, session_id="chat", **HERE)["lease"]
    members.web1.call("DELETE", "/agents/web1/bravo", json={"lease": lease})
    assert register(members.web1, pid=19, session_id="chat", **ELSEWHERE)["name"] == "web1/bravo"


def test_the_same_place_gets_its_former_callsign(members: Members) -> None:
    register(members.web1, pid=17, **ELSEWHERE)
    register(members.web1, pid=18, **HERE)
    members.later(120)
    clone = {**HERE, "cwd": "/home/x/clone", "repo": "https://user:pw@github.com/acme/app"}
    assert register(members.web1, pid=19, **clone)["name"] == "web1/bravo"


def test_a_callsign_with_mail_goes_to_no_other_directory_while_others_are_free(
    members: Members,
) -> None:
    register(members.web1, pid=17, **HERE)
    members.db1.say("for alpha", sender="db1", to="web1/alpha")
    members.later(120)
    assert register(members.web1, pid=18, **ELSEWHERE)["name"] == "web1/bravo"


def test_the_sessions_of_a_machine_do_not_run_out_of_callsigns(members: Members) -> None:
    names = [register(members.web1, pid=pid, **HERE)["name"] for pid in range(1, 55)]
    assert len(set(names)) == 54
    assert [names[25], names[26], names[53]] == ["web1/zulu", "web1/alpha2", "web1/bravo3"]


def test_a_callsign_with_mail_is_given_when_no_other_is_left(config: Config) -> None:
    few = Config(data_dir=config.data_dir, fsync="never", callsigns="one, two")
    app = create_app(few)
    for caller in opened(app):
        app.extensions["credentials"].add("web1", "secret", "member")
        web1 = As(app, "web1", "secret")
        assert isinstance(caller, Caller)
        lease = register(web1, pid=17, **HERE)["lease"]
        register(web1, pid=18, **HERE)
        refusal(web1.post("/agents", json={"pid": 19}), 409, "no_callsign")
        web1.say("later", sender="web1", to="web1/one")
        assert register(web1, pid=19, takeover=[lease], **ELSEWHERE)["name"] == "web1/one"


# -- states and the roster ---------------------------------------------------------------------


def test_an_agent_is_live_then_idle_then_stale_then_gone(members: Members) -> None:
    register(members.web1, session="alpha", pid=17)
    seen = []
    for seconds in (0, 61, 16 * 60, 25 * 3600):
        members.later(seconds)
        seen.append(agent(members.admin, "web1/alpha")["state"])
    assert seen == ["live", "idle", "stale", "gone"]


def test_any_call_is_a_sign_of_life(members: Members) -> None:
    register(members.web1, session="alpha", pid=17)
    members.later(16 * 60)
    members.web1.get("/messages?unread_by=web1/alpha")
    assert agent(members.admin, "web1/alpha")["state"] == "live"
    members.later(32 * 60)
    members.web1.get("/health")
    assert agent(members.admin, "web1")["state"] == "live"
    assert agent(members.admin, "web1/alpha")["state"] == "stale"


def test_the_turn_is_shown_as_it_was_reported(members: Members) -> None:
    register(members.web1, session="alpha", pid=17, turn="working")
    assert agent(members.admin, "web1/alpha")["turn"] == "working"
    members.web1.post("/agents/web1/alpha/heartbeat", json={"turn": "awaiting_input"})
    members.web1.post("/agents/web1/alpha/heartbeat")
    assert agent(members.admin, "web1/alpha")["turn"] == "awaiting_input"


def test_a_heartbeat_says_what_waits(members: Members) -> None:
    register(members.web1, session="alpha", pid=17)
    members.db1.say(sender="db1", to="web1/alpha")
    assert members.web1.post("/agents/web1/alpha/heartbeat").json["unread"] == 1


def test_another_worker_sees_the_same(members: Members, restarted: Members) -> None:
    register(members.web1, session="alpha", pid=17, turn="working", summary="the release")
    found = agent(restarted.admin, "web1/alpha")
    assert (found["state"], found["turn"], found["summary"]) == ("live", "working", "the release")


def test_the_roster_has_machines_and_their_sessions(members: Members) -> None:
    register(members.web1, session="alpha", pid=17)
    members.db1.get("/health")
    assert names(members.admin) == ["admin", "db1", "web1", "web1/alpha"]
    assert names(members.admin, "limit=2") == ["admin", "db1"]
    assert names(members.admin, "limit=2&after=db1") == ["web1", "web1/alpha"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("scope=repo&of=web1/alpha", ["web1/alpha", "web1/charlie"]),
        ("scope=repo&repo=ssh://git@github.com:22/acme/app.git", ["web1/alpha", "web1/charlie"]),
        ("scope=directory&of=web1/alpha", ["web1/alpha"]),
        ("scope=machine&of=web1/alpha", ["web1/alpha", "web1/bravo", "web1/charlie"]),
        ("capability=deploy", ["web1/bravo"]),
        ("agent_type=codex", ["web1/charlie"]),
        ("state=gone", ["db1"]),
    ],
)
def test_the_roster_is_filtered(members: Members, query: str, found: list[str]) -> None:
    register(members.web1, pid=17, **HERE)
    register(members.web1, pid=18, capabilities=["deploy", "test"], **ELSEWHERE)
    register(members.web1, pid=19, agent_type="codex", **{**HERE, "cwd": "/home/x/clone"})
    assert names(members.admin, query) == found


def test_a_scope_needs_a_place(members: Members) -> None:
    refusal(members.admin.get("/agents?scope=repo"), 400, "missing_field")
    refusal(members.admin.get("/agents?scope=repo&of=web1"), 400, "missing_field")
    refusal(members.admin.get("/agents?scope=repo&of=nobody"), 404, "no_such_agent")


def test_a_summary_is_a_record_and_a_heartbeat_is_none(members: Members) -> None:
    register(members.web1, session="alpha", pid=17)
    before = members.hub.log.position().seq
    members.web1.post("/agents/web1/alpha/heartbeat", json={"turn": "idle"})
    assert members.hub.log.position().seq == before
    for _ in range(2):
        reply = members.web1.call("PUT", "/agents/web1/alpha/summary", json={"summary": "tests"})
        assert reply.json["agent"]["summary"] == "tests"
    assert members.hub.log.position().seq == before + 1


def test_machines_show_the_same_truth(members: Members) -> None:
    register(members.web1, session="alpha", pid=17)
    members.later(3600)
    members.web1.post("/agents/web1/alpha/heartbeat")
    machines = members.admin.get("/api/machines").json["machines"]
    web1 = next(machine for machine in machines if machine["name"] == "web1")
    assert web1["online"] is True
    assert web1["last_seen"] == agent(members.admin, "web1")["last_seen"]


def test_the_roster_as_text_is_a_line_each(members: Members) -> None:
    register(members.web1, session="alpha", pid=17, host="box", summary="the release")
    line = members.admin.get("/agents?format=text").get_data(as_text=True).splitlines()[-1]
    assert line == "web1/alpha live box: the release"


@pytest.mark.parametrize(
    "fields",
    [
        {"session": "a/b"},
        {"session": "heartbeat"},
        {"name": "web1/summary"},
        {"name": "web1/a", "session": "b"},
        {"pid": 0},
        {"pid": True},
        {"capabilities": "deploy"},
        {"capabilities": ["x"] * 33},
        {"wake": "sometimes"},
        {"turn": ["idle"]},
        {"lease": "x"},
        {"takeover": []},
        {"summary": "x" * 501},
        {"summary": "two\nlines"},
        {"host": None},
    ],
)
def test_bad_fields_are_refused_and_nothing_is_stored(
    members: Members, fields: dict[str, Any]
) -> None:
    before = members.hub.log.position()
    refusal(members.web1.post("/agents", json=fields), 400, "bad_field")
    assert members.hub.log.position() == before


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("git@github.com:acme/app.git", "github.com/acme/app"),
        ("ssh://git@GitHub.com:22/acme/app.git/", "github.com/acme/app"),
        ("https://user:secret@github.com/acme/app", "github.com/acme/app"),
        ("/srv/git/app.git", "/srv/git/app"),
        ("file:///srv/git/app.git", "srv/git/app"),
    ],
)
def test_all_addresses_of_a_repository_are_one_name(url: str, name: str) -> None:
    assert normalised_repo(url) == name


# -- a short look ----------------------------------------------------------------------------------


def test_a_look_around_shows_ones_own_first_and_few_of_each_other(members: Members) -> None:
    for number in range(25):
        register(members.db1, session=f"s{number:02}", repo="https://x/other.git")
    for session in ("alpha", "bravo"):
        register(members.web1, session=session, repo="https://x/app.git")
    for number in range(12):
        register(members.shared, name=f"x{number:02}/a")
    register(members.admin, session="near", repo="https://x/app.git")
    found = members.web1.get("/agents?around=web1/alpha&state=live").json
    names = [agent["name"] for agent in found["agents"]]
    assert names[:4] == ["web1", "web1/alpha", "web1/bravo", "admin/near"]
    assert sum(name.startswith("db1") for name in names) == 10
    assert sum(name.startswith("x") for name in names) == 10
    assert (found["has_more"], found["next"]) == (False, None)
    assert found["more"] == {"db1": 16, USER: 2}
    few = members.web1.get("/agents?around=nobody/x&state=live&limit=4").json
    assert {agent["name"].partition("/")[0] for agent in few["agents"]} == {
        *("admin", "db1", "web1", "x00")
    }
    text = members.web1.get("/agents?around=web1/alpha&state=live&format=text").get_data(True)
    assert "-- 16 more of db1\n" in text
