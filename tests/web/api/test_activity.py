"""GET /api/activity, /api/machines, /api/containers, and POST /api/container/*."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bus.errors import NotAllowed
from bus.runner.client import RunnerClient
from tests.conftest import basic, move
from tests.fleet import As, Fleet, a_fleet, wait_until
from tests.web.conftest import refusal


def results(events: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(event["from"], event["type"], event["result"]) for event in events]


def test_everything_that_happened_is_told_oldest_first(fleet: Fleet) -> None:
    fleet.web1.exec("true")
    fleet.permit()
    fleet.web1.exec("exit 3", **{"from": "web1/alpha"})
    fleet.web1.exec(argv=["no-such-program"])
    fleet.web1.post("/api/file/write", json={"target": "box", "path": "/note", "content": "x"})
    fleet.web1.post("/api/file/read", json={"target": "box", "path": "/note"})
    fleet.web1.say("done", sender="web1", to="db1")
    fleet.admin.post("/api/container/snapshot", json={"name": "box"})
    fleet.shared.exec("true")
    events = fleet.admin.events()
    assert results(events) == [
        ("web1", "exec", "denied"),
        ("admin", "permit", "ok"),
        ("web1/alpha", "exec", "ok"),
        ("web1", "exec", "error"),
        ("web1", "file_write", "ok"),
        ("web1", "file_read", "ok"),
        ("web1", "message", "ok"),
        ("admin", "container", "ok"),
        ("claude", "exec", "denied"),
    ]
    assert [event["seq"] for event in events] == sorted(event["seq"] for event in events)
    run = events[2]
    assert (run["command"], run["exitCode"], run["target"], run["time"] != "") == (
        "exit 3",
        3,
        "box",
        True,
    )
    assert events[5]["path"] == "/note"
    assert len(events[5]["sha256"]) == 64
    assert (events[6]["body"], events[6]["target"], events[6]["verified"]) == ("done", "db1", True)
    fleet.shared.say("I am alice")
    assert fleet.admin.events("type=message")[-1]["verified"] is False


def test_every_call_is_a_record_before_it_runs_and_one_after(fleet: Fleet) -> None:
    fleet.permit()
    fleet.web1.exec("exit 3")
    fleet.db1.exec("true")
    asked, done = fleet.records("call_started"), fleet.records("call_ended")
    assert [record["call"] for record in asked] == [record["call"] for record in done]
    assert [record["result"] for record in done] == ["ok", "denied"]
    assert all(a["seq"] < d["seq"] for a, d in zip(asked, done, strict=True))
    assert "stdout" not in done[0]


def test_a_call_under_a_false_name_is_on_record_under_the_true_one(fleet: Fleet) -> None:
    refusal(fleet.db1.exec("true", **{"from": "web1"}), 403, "not_your_name")
    assert results(fleet.admin.events()) == [("db1", "exec", "denied")]
    assert [event["command"] for event in fleet.db1.events()] == ["true"]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("exec", "exec"),
        ("file/read", "file_read"),
        ("file/write", "file_write"),
        *(
            (f"container/{act}", "container")
            for act in ("start", "stop", "snapshot", "restore", "delete-snapshot")
        ),
        ("permit", "permit"),
        (f"approvals/{'0' * 26}", "permit"),
    ],
)
def test_what_is_refused_at_the_door_is_on_record(fleet: Fleet, path: str, kind: str) -> None:
    refusal(fleet.shared.post(f"/api/{path}", json={}), 403, "not_allowed")
    (event,) = fleet.admin.events()
    assert (event["from"], event["type"], event["result"], event["command"]) == (
        "claude",
        kind,
        "denied",
        f"POST /api/{path}",
    )


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("type=exec", 2),
        ("type=message", 1),
        ("type=permit", 1),
        ("from=web1", 3),
        ("from=web1/alpha", 1),
        ("target=box", 3),
        ("target=db1", 1),
        ("type=exec&limit=1", 1),
        ("hours=0.01", 4),
    ],
)
def test_filters(fleet: Fleet, query: str, count: int) -> None:
    fleet.permit()
    fleet.web1.exec("true", **{"from": "web1/alpha"})
    fleet.web1.exec("false")
    fleet.web1.say("hi", sender="web1", to="db1")
    assert len(fleet.admin.events(query)) == count


def test_how_far_back_is_asked_of_messages_and_calls_alike(fleet: Fleet) -> None:
    fleet.web1.exec("true")
    fleet.web1.say("hi", sender="web1")
    move(fleet.app.extensions["bus"], 2 * 3600)
    assert fleet.admin.events("hours=1") == []
    assert len(fleet.admin.events("hours=3")) == 2


def test_an_event_has_what_the_page_says_and_no_more(fleet: Fleet) -> None:
    """Not the idempotency key, by which a caller proves that a call is its own, and nothing of how
    it is kept.
    """
    fleet.permit(approval="required")
    id = fleet.web1.exec("true", client_id="k").json["id"]
    fleet.admin.post(f"/api/approvals/{id}", json={"allow": True})
    fleet.web1.exec("true", client_id="k")
    asked, ran = fleet.admin.events("type=exec")
    about = {"seq", "id", "time", "from", "type", "target", "result"}
    assert (asked["id"], asked["result"]) == (id, "asked")
    assert set(asked) == about | {"command", "argv"}
    assert set(ran) == about | {"command", "exitCode", "duration_ms", "stdout_size", "stderr_size"}
    assert set(fleet.db1.events("type=exec")[0]) == about


def test_following_the_feed_misses_nothing_and_repeats_nothing(fleet: Fleet) -> None:
    fleet.permit()
    for number in range(7):
        fleet.web1.exec(f"exit {number}")
        fleet.web1.say(str(number), sender="web1")
    seen: list[dict[str, Any]] = []
    cursor, has_more = 0, True
    while has_more:
        page = fleet.admin.get(f"/api/activity?since={cursor}&limit=4").json
        seen += page["events"]
        cursor, has_more = page["next"], page["has_more"]
    assert [event["seq"] for event in seen] == sorted({event["seq"] for event in seen})
    assert len(seen) == 15
    assert fleet.admin.events(f"since={cursor}") == []
    fleet.web1.say("one more", sender="web1")
    assert [event["body"] for event in fleet.admin.events(f"since={cursor}")] == ["one more"]


def test_the_newest_are_given_where_there_are_more_than_asked_for(fleet: Fleet) -> None:
    for number in range(5):
        fleet.web1.say(str(number), sender="web1")
    page = fleet.admin.get("/api/activity?limit=2").json
    assert [event["body"] for event in page["events"]] == ["3", "4"]
    assert page["has_more"] is True


@pytest.mark.parametrize("query", ["", "type=message&"])
def test_the_feed_is_paged_backwards(fleet: Fleet, query: str) -> None:
    for number in range(7):
        fleet.web1.say(str(number), sender="web1")
        fleet.web1.exec(f"exit {number}")  # denied, and on record
    whole = fleet.admin.events(query)
    seen: list[dict[str, Any]] = []
    before = ""
    while True:
        page = fleet.admin.get(f"/api/activity?{query}limit=4{before}").json
        seen[:0] = page["events"]
        if not page["has_more"]:
            break
        before = f"&before={page['events'][0]['seq']}"
    assert seen == whole
    assert fleet.admin.events(f"{query}before={whole[0]['seq']}") == []
    between = fleet.admin.get(
        f"/api/activity?{query}since={whole[0]['seq']}&before={whole[3]['seq']}"
    ).json
    assert (between["events"], between["has_more"], between["next"]) == (
        whole[1:3],
        False,
        whole[3]["seq"] - 1,
    )


def test_what_a_call_was_about_is_for_its_caller_its_target_and_admins(fleet: Fleet) -> None:
    fleet.permit()
    fleet.web1.exec("echo secret")
    fleet.app.extensions["credentials"].add("box", fleet.web1.secret, "member")
    for insider in (fleet.web1, fleet.admin, As(fleet.app, "box")):
        assert insider.events("type=exec")[0]["command"] == "echo secret"
    (event,) = fleet.db1.events("type=exec")
    assert (event["from"], event["target"], event["result"]) == ("web1", "box", "ok")
    assert "secret" not in str(event)
    assert "command" not in event


def test_the_feed_is_the_same_after_a_new_index(fleet: Fleet) -> None:
    fleet.permit()
    fleet.web1.exec("true")
    fleet.web1.say("hi", sender="web1")
    before = fleet.admin.get("/api/activity").json
    fleet.hub.index.rebuild()
    assert fleet.admin.get("/api/activity").json == before


@pytest.mark.parametrize(
    "query",
    ["hours=0", "hours=9999", "hours=x", "type=fly", "since=-1", "since=x", "before=0", "before=x",
     "limit=0",
     "limit=501", "from=-x"],
)  # fmt: skip
def test_bad_filters(fleet: Fleet, query: str) -> None:
    refusal(fleet.admin.get(f"/api/activity?{query}"), 400, "bad_field")


def test_an_unknown_filter(fleet: Fleet) -> None:
    refusal(fleet.admin.get("/api/activity?kind=exec"), 400, "unknown_field")


# -- machines and containers ---------------------------------------------------------------------


def test_every_known_name_is_a_machine_or_a_container(fleet: Fleet) -> None:
    fleet.shared.say("hi", sender="oldtimer/alpha")
    fleet.web1.get("/messages?unread_by=web1")
    machines = {item["name"]: item for item in fleet.admin.get("/api/machines").json["machines"]}
    assert {"admin", "web1", "db1", "box", "den", "oldtimer"} <= set(machines)
    assert (machines["box"]["driver"], machines["box"]["state"]) == ("local", "running")
    assert (machines["web1"]["kind"], machines["web1"]["driver"], machines["web1"]["online"]) == (
        "machine",
        None,
        True,
    )
    assert machines["oldtimer"]["last_seen"] is not None
    assert (machines["db1"]["online"], machines["db1"]["last_seen"]) == (None, None)


def test_a_machine_is_not_seen_where_one_with_a_longer_name_is(fleet: Fleet) -> None:
    fleet.shared.say("hi", sender="web10/alpha")
    machines = {item["name"]: item for item in fleet.db1.get("/api/machines").json["machines"]}
    assert (machines["web1"]["last_seen"], machines["web10"]["online"]) == (None, True)


def test_containers_are_started_stopped_and_restored_by_admins(fleet: Fleet) -> None:
    note = fleet.folder / "box" / "note"
    note.write_text("first")

    def act(act: str, **fields: Any) -> Any:
        return fleet.admin.post(f"/api/container/{act}", json={"name": "box", **fields})

    snapshot = act("snapshot", snapshot="one").json
    assert (snapshot["snapshot"], snapshot["changed"], snapshot["state"]) == ("one", True, "done")
    refusal(act("snapshot", snapshot="one"), 409, "snapshot_exists")
    note.write_text("second")
    saved = act("restore", snapshot="one").json["saved"]
    assert note.read_text() == "first"
    (box,) = [
        item
        for item in fleet.admin.get("/api/containers").json["containers"]
        if item["name"] == "box"
    ]
    assert set(box["snapshots"]) == {"one", saved}
    assert "saved" not in act("restore", snapshot=saved, snapshot_first=False).json
    assert note.read_text() == "second"
    before = fleet.admin.get("/api/containers").json
    refusal(act("restore", snapshot="none"), 404, "no_such_snapshot")
    assert fleet.admin.get("/api/containers").json == before, (
        "a restore that cannot be left a snapshot"
    )
    stop = act("stop", force=True).json
    assert stop["changed"] is True
    fleet.permit()
    refusal(fleet.web1.exec("true"), 409, "target_stopped")
    assert act("stop").json["changed"] is False
    assert act("start").json["changed"] is True
    assert fleet.web1.exec("true").status_code == 200
    assert fleet.admin.get(f"/api/container/{stop['id']}").json["state"] == "done"


def test_a_repeated_snapshot_is_one(fleet: Fleet) -> None:
    first = fleet.admin.post("/api/container/snapshot", json={"name": "box", "client_id": "k"}).json
    again = fleet.admin.post("/api/container/snapshot", json={"name": "box", "client_id": "k"}).json
    assert (again["snapshot"], again["replayed"]) == (first["snapshot"], True)


@pytest.mark.parametrize("act", ["start", "stop", "snapshot", "restore", "delete-snapshot"])
def test_members_manage_no_containers_and_their_tries_are_on_record(fleet: Fleet, act: str) -> None:
    refusal(
        fleet.web1.post(f"/api/container/{act}", json={"name": "box", "snapshot": "x"}),
        403,
        "not_allowed",
    )
    refusal(fleet.web1.get("/api/containers"), 403, "not_allowed")
    assert results(fleet.admin.events()) == [("web1", "container", "denied")]


@pytest.mark.parametrize(
    ("act", "fields", "code"),
    [
        ("start", {}, "missing_field"),
        ("start", {"name": "box", "force": True}, "unknown_field"),
        ("stop", {"name": "box", "timeout_s": 0}, "bad_field"),
        ("stop", {"name": "box", "force": "yes"}, "bad_field"),
        ("snapshot", {"name": "box", "snapshot": "../x"}, "bad_field"),
        ("snapshot", {"name": "box", "snapshot": "-x"}, "bad_field"),
        ("restore", {"name": "box"}, "missing_field"),
        ("delete-snapshot", {"name": "box"}, "missing_field"),
        ("delete-snapshot", {"name": "box", "snapshot": "a/b"}, "bad_field"),
        ("restore", {"name": "box", "snapshot": "a/b"}, "bad_field"),
    ],
)
def test_bad_acts(fleet: Fleet, act: str, fields: dict[str, Any], code: str) -> None:
    refusal(fleet.admin.post(f"/api/container/{act}", json=fields), 400, code)


def test_an_unknown_container(fleet: Fleet) -> None:
    refusal(
        fleet.admin.post("/api/container/start", json={"name": "nowhere"}), 404, "unknown_target"
    )


def test_without_the_service_calls_say_so_and_the_rest_goes_on(fleet: Fleet) -> None:
    fleet.permit()
    fleet.runner.stop_soon()
    path = fleet.config.exec_socket_file
    wait_until(lambda: not path.exists())
    refusal(fleet.web1.exec("true"), 503, "exec_unavailable")
    refusal(fleet.admin.get("/api/containers"), 503, "exec_unavailable")
    machines = fleet.web1.get("/api/machines").json
    assert "exec" in machines["unavailable"]
    assert "web1" in {item["name"] for item in machines["machines"]}
    assert fleet.admin.events("type=exec") == []


@pytest.mark.slow
def test_without_the_service_a_call_that_was_begun_is_not_said_to_be_undone(fleet: Fleet) -> None:
    fleet.permit()
    id = fleet.web1.exec("true", client_id="k").json["id"]
    assert fleet.web1.get("/health").json["exec"] == "ready"
    fleet.runner.stop_soon()
    wait_until(lambda: not fleet.config.exec_socket_file.exists())
    wait_until(lambda: fleet.web1.get("/health").json["exec"] == "away")
    for reply in (fleet.web1.exec("true", client_id="k"), fleet.web1.get(f"/api/exec/{id}")):
        body = refusal(reply, 503, "exec_unavailable")
        assert "begun before" in body["hint"]
        assert "Nothing was run" not in body["hint"]


# -- containers in odd states --------------------------------------------------------------------


def freeze(fleet: Fleet, *, thaw: bool = False) -> None:
    """As an operator does, beside the hub."""
    mark = fleet.folder / "box.bus" / "frozen"
    mark.parent.mkdir(exist_ok=True)
    mark.unlink() if thaw else mark.touch()


CALLS = {
    "exec": {"target": "box", "command": "echo ran >>ran"},
    "file/write": {"target": "box", "path": "/ran", "content": "ran\n"},
}


@pytest.mark.parametrize("path", CALLS)
def test_a_frozen_container_is_busy_and_uses_no_key_up(fleet: Fleet, path: str) -> None:
    fleet.permit()
    freeze(fleet)
    for _ in range(3):
        reply = fleet.web1.post(f"/api/{path}", json={**CALLS[path], "client_id": "k"})
        refusal(reply, 409, "target_busy")
        assert int(reply.headers["Retry-After"]) >= 1
        assert "replayed" not in reply.json
    assert fleet.web1.get(f"/api/exec/{reply.json['id']}").json["error"] == "target_busy"
    freeze(fleet, thaw=True)
    first = fleet.web1.post(f"/api/{path}", json={**CALLS[path], "client_id": "k"}).json
    assert (first["ok"], "replayed" in first) == (True, False)
    again = fleet.web1.post(f"/api/{path}", json={**CALLS[path], "client_id": "k"}).json
    assert (again["id"], again["replayed"]) == (first["id"], True)
    assert (fleet.folder / "box" / "ran").read_text() == "ran\n"
    assert [event["result"] for event in fleet.admin.events(f"type={path.replace('/', '_')}")] == [
        "error"
    ] * 3 + ["ok"]
    refusal(fleet.web1.exec("another", client_id="k"), 422, "key_reused")


@pytest.mark.parametrize("path", CALLS)
def test_a_driver_that_does_not_answer_uses_no_key_up(fleet: Fleet, path: str) -> None:
    fleet.permit()
    box = fleet.folder / "box"
    box.rename(fleet.folder / "away")
    box.touch()  # now the driver cannot have its folder
    for _ in range(2):
        reply = fleet.web1.post(f"/api/{path}", json={**CALLS[path], "client_id": "k"})
        refusal(reply, 503, "driver_unavailable")
        assert "replayed" not in reply.json
    box.unlink()
    (fleet.folder / "away").rename(box)
    assert (
        fleet.web1.post(f"/api/{path}", json={**CALLS[path], "client_id": "k"}).json["ok"] is True
    )
    assert (box / "ran").read_text() == "ran\n"


def test_a_key_that_a_busy_target_left_free_stays_so_with_a_new_index(fleet: Fleet) -> None:
    fleet.permit()
    freeze(fleet)
    refusal(fleet.web1.exec("true", client_id="k"), 409, "target_busy")
    freeze(fleet, thaw=True)
    first = fleet.web1.exec("true", client_id="k").json
    fleet.hub.index.rebuild()
    assert fleet.web1.exec("true", client_id="k").json["id"] == first["id"]


@pytest.mark.parametrize("how", ["stream", "detach"])
def test_what_is_answered_before_its_end_hears_first_that_the_target_is_busy(
    fleet: Fleet, how: str
) -> None:
    fleet.permit()
    freeze(fleet)
    refusal(fleet.web1.exec("true", **{how: True}), 409, "target_busy")
    assert fleet.records("message") == []


def test_a_busy_target_uses_no_yes_up(fleet: Fleet) -> None:
    fleet.permit(approval="required")
    id = fleet.web1.exec("true").json["id"]
    fleet.admin.post(f"/api/approvals/{id}", json={"allow": True})
    freeze(fleet)
    refusal(fleet.web1.exec("true"), 409, "target_busy")
    freeze(fleet, thaw=True)
    assert fleet.web1.exec("true").json["exitCode"] == 0
    assert fleet.admin.get(f"/api/approvals/{id}").json["approval"]["state"] == "used"


def test_a_frozen_container_is_told_so_thawed_and_stopped(fleet: Fleet) -> None:
    freeze(fleet)
    (box,) = [
        item for item in fleet.admin.get("/api/machines").json["machines"] if item["name"] == "box"
    ]
    assert (box["state"], box["online"]) == ("frozen", False)
    for act in ("start", "stop"):
        assert (
            fleet.admin.post(f"/api/container/{act}", json={"name": "box"}).json["changed"] is True
        )
    refusal(
        fleet.admin.post("/api/container/stop", json={"name": "nowhere"}), 404, "unknown_target"
    )


def test_a_change_whose_turn_does_not_come_uses_no_key_up(fleet: Fleet) -> None:
    driver: Any = fleet.runner.service.targets.driver_of("box")
    driver.queue_s = 0.05
    stop = {"name": "box", "client_id": "k"}
    with driver.queues.turn("box", 1, "snapshot"):
        refusal(fleet.admin.post("/api/container/stop", json=stop), 409, "target_busy")
    assert fleet.admin.post("/api/container/stop", json=stop).json["changed"] is True


def test_snapshots_are_listed_and_deleted(fleet: Fleet) -> None:
    def act(act: str, **fields: Any) -> Any:
        return fleet.admin.post(f"/api/container/{act}", json={"name": "box", **fields})

    def listed() -> list[dict[str, Any]]:
        reply = fleet.admin.get("/api/container/snapshots?name=box")
        assert (reply.status_code, reply.json["name"]) == (200, "box")
        snapshots: list[dict[str, Any]] = reply.json["snapshots"]
        return snapshots

    day = act("snapshot").json["snapshot"]
    assert act("snapshot").json["snapshot"] == f"{day}-2"
    restored = act("restore", snapshot=day).json
    assert restored["snapshot"] == f"{day}-2"
    assert [(one["name"], one["by_restore"]) for one in listed()] == [
        (day, False), (f"{day}-2", False), (restored["saved"], True)
    ]  # fmt: skip
    assert listed()[0]["made"].startswith(day)
    assert act("delete-snapshot", snapshot=day).json["snapshot"] == day
    refusal(act("delete-snapshot", snapshot=day), 404, "no_such_snapshot")
    assert [one["name"] for one in listed()] == [f"{day}-2", restored["saved"]]
    told = [
        (event["command"], event.get("snapshot"), event["result"])
        for event in fleet.admin.events("type=container")
    ]
    assert told == [
        ("snapshot", day, "ok"), ("snapshot", f"{day}-2", "ok"), ("restore", f"{day}-2", "ok"),
        ("delete-snapshot", day, "ok"), ("delete-snapshot", day, "error"),
    ]  # fmt: skip


def test_snapshots_of_restores_are_kept_to_a_number(tmp_path: Path) -> None:
    with a_fleet(tmp_path, restores_kept=1) as fleet:
        made = fleet.admin.post("/api/container/snapshot", json={"name": "box"}).json["snapshot"]
        first, second = (
            fleet.admin.post("/api/container/restore", json={"name": "box", "snapshot": made}).json
            for _ in range(2)
        )
    assert ("removed" in first, second["removed"]) == (False, [first["saved"]])


@pytest.mark.parametrize(
    ("query", "code"),
    [("", "missing_field"), ("name=a/b", "bad_field"), ("name=box&x=1", "unknown_field")],
)
def test_bad_questions_for_snapshots(fleet: Fleet, query: str, code: str) -> None:
    refusal(fleet.admin.get(f"/api/container/snapshots?{query}"), 400, code)


def test_snapshots_are_for_admins_and_of_targets_that_there_are(fleet: Fleet) -> None:
    refusal(fleet.web1.get("/api/container/snapshots?name=box"), 403, "not_allowed")
    with pytest.raises(NotAllowed):
        RunnerClient(fleet.config.exec_socket_file).ask(
            {"op": "snapshots", "name": "box", "authorization": basic("web1", fleet.web1.secret)}
        )
    refusal(fleet.admin.get("/api/container/snapshots?name=nowhere"), 404, "unknown_target")
