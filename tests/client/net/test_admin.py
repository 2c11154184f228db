"""`bus.admin`, and what there is to look at, against a stand-in."""

from __future__ import annotations

import pytest

from busclient import (
    Bus,
    OutcomeUnknown,
    Unreachable,
)
from tests.client.doors import Door
from tests.client.stubnet import (
    RULE,
    StubNet,
    page,
)


def test_permissions_are_given_taken_and_looked_at(web1: Bus, net: StubNet) -> None:
    net.on(
        "POST /api/permit",
        {"ok": True, "permission": {**RULE, "actions": ["exec"], "commands": [["git", "status"]]}},
    )
    rule = web1.admin.permit(
        "web1",
        "db1",
        actions=["exec"],
        commands=["git status"],
        needs_approval=True,
        expires_in_s=7200,
    )
    assert (rule.actions, rule.commands, rule.allow) == (("exec",), (("git", "status"),), True)
    web1.admin.permit("*", "db1")
    web1.admin.revoke("web1", "db1", actions=["file_read"])
    me = {"from": "web1/alpha"}
    assert net.bodies("/api/permit") == [
        {**me, "source": "web1", "target": "db1", "allow": True, "actions": ["exec"],
         "commands": ["git status"],
         "approval": "required", "expires_in_s": 7200},
        {**me, "source": "*", "target": "db1", "allow": True},
        {**me, "source": "web1", "target": "db1", "allow": False, "actions": ["file_read"]},
    ]  # fmt: skip
    net.on(
        "GET /api/permissions",
        {"ok": True, "permissions": [{**RULE, "action": "exec", "approval": "required"}]},
    )
    (rule,) = web1.net.permissions(target="db1")
    assert (rule.actions, rule.needs_approval) == (("exec",), True)
    net.on(
        "GET /api/permissions/check",
        {"ok": True, "allowed": False, "reason": "none matches", "rule": None},
    )
    assert web1.net.check_permission("db1", "exec", command="id") == (False, "none matches", None)
    assert net.asked[-1].query == {"target": "db1", "action": "exec", "command": "id"}


def test_a_container_that_takes_long_is_waited_for(web1: Bus, net: StubNet) -> None:
    running = {"ok": True, "id": "01C", "name": "db1", "state": "running"}
    net.on("POST /api/container/restore", (202, running))
    net.on(
        "GET /api/container/01C",
        running,
        {**running, "state": "done", "changed": True, "saved": "auto-1"},
    )
    done = web1.admin.container("restore", "db1", snapshot="before")
    assert (done.changed, done.saved, done.snapshot) == (True, "auto-1", None)
    net.on("POST /api/container/stop", {**running, "state": "done", "changed": False})
    assert not web1.admin.container(
        "stop", "db1", force=True, timeout_s=5, snapshot_first=False
    ).changed
    (restore,), (stop,) = net.bodies("/api/container/restore"), net.bodies("/api/container/stop")
    assert restore == {
        "from": "web1/alpha",
        "name": "db1",
        "snapshot": "before",
        "client_id": restore["client_id"],
    }
    assert stop == {
        "from": "web1/alpha", "name": "db1", "force": True, "timeout_s": 5, "snapshot_first": False,
        "client_id": stop["client_id"],
    }  # fmt: skip


@pytest.mark.parametrize("state", ["error", "unknown"])
def test_a_container_that_fails_later_is_no_success(web1: Bus, net: StubNet, state: str) -> None:
    net.on(
        "POST /api/container/start",
        (202, {"ok": True, "id": "01C", "name": "db1", "state": "running"}),
    )
    net.on(
        "GET /api/container/01C",
        {"ok": False, "id": "01C", "state": state, "message": "LXD says no"},
    )
    with pytest.raises(OutcomeUnknown, match="LXD says no"):
        web1.admin.container("start", "db1")


def test_containers_and_machines_are_listed(web1: Bus, net: StubNet) -> None:
    fields = {
        "name": "db1",
        "driver": "lxc",
        "state": "running",
        "addresses": ["10.0.3.7"],
        "snapshots": ["s"],
    }
    net.on(
        "GET /api/containers",
        {"ok": True, "containers": [fields], "unavailable": {"ssh": "no table"}},
    )
    found, unavailable = web1.admin.containers()
    assert (found[0].name, found[0].addresses, unavailable) == (
        "db1",
        ("10.0.3.7",),
        {"ssh": "no table"},
    )
    net.on(
        "GET /api/machines",
        {
            "ok": True,
            "machines": [{"name": "m", "kind": "machine", "driver": None, "online": None}],
        },
    )
    (machine,), unavailable = web1.net.machines()
    assert (machine.driver, machine.online, unavailable) == (None, None, {})


def test_the_activity_is_followed_over_breaks_without_gap_or_repeat(
    web1: Bus, net: StubNet, door: Door, pauses: list[float]
) -> None:
    net.on("GET /api/activity", page(1, 2, has_more=True), page(3, has_more=True), page(4), page(5))
    events = web1.net.follow_activity(sender="web1", limit=2)
    assert [next(events).seq for _ in range(4)] == [1, 2, 3, 4]
    assert pauses == [2.0]  # one before the first new page; none while there is more
    door.troubles.extend(["away"] * 4)
    assert next(events).seq == 5
    assert [asked.query.get("since") for asked in net.asked] == [None, "2", "3", "4"]
    assert all(asked.query["from"] == "web1" for asked in net.asked)


def test_a_first_look_at_the_activity_that_fails_is_told(
    web1: Bus, net: StubNet, door: Door
) -> None:
    door.troubles.extend(["away"] * 4)
    with pytest.raises(Unreachable):
        next(web1.net.follow_activity())


def test_credentials_are_made_rotated_and_revoked(web1: Bus, net: StubNet) -> None:
    line = "bus join http://hub.test --invite 01I.s3cret"
    made = {
        "ok": True,
        "name": "new",
        "code": "01I.s3cret",
        "expires": "2026-11-21T20:00:00.000Z",
        "line": line,
    }
    net.on("POST /api/invites", (201, made))
    invite = web1.admin.invite("new", admin=True, expires_in_s=60)
    assert (invite.code, invite.line) == ("01I.s3cret", line)
    assert "s3cret" not in repr(invite)
    net.on(
        "POST /api/credentials",
        (201, {"ok": True, "name": "new", "secret": "s3cret", "role": "member"}),
    )
    assert "s3cret" not in repr(web1.admin.add_credential("new"))
    net.on("POST /api/credentials/rotate", {"ok": True, "name": "web1", "secret": "s3cret"})
    assert web1.admin.rotate(overlap_s=5).secret == "s3cret"
    net.on("POST /api/credentials/revoke", {"ok": True, "name": "new"})
    web1.admin.revoke_credential("new")
    net.on(
        "GET /api/credentials",
        {"ok": True, "credentials": [{"name": "a"}], "invites": [{"name": "b"}]},
    )
    assert (web1.admin.credentials(), web1.admin.invites()) == ([{"name": "a"}], [{"name": "b"}])
    assert [asked.fields for asked in net.asked if asked.method == "POST"] == [
        {"name": "new", "admin": True, "expires_in_s": 60}, {"name": "new"}, {"overlap_s": 5},
        {"name": "new"}
    ]  # fmt: skip


def test_what_would_make_a_second_secret_is_not_repeated(
    web1: Bus, net: StubNet, door: Door
) -> None:
    net.on("POST /api/credentials/rotate", {"ok": True, "name": "web1", "secret": "s"})
    door.troubles.append("lost")
    with pytest.raises(OutcomeUnknown):
        web1.admin.rotate()
    assert len(door.calls) == 1
    door.troubles.append("away")
    with pytest.raises(Unreachable):
        web1.admin.rotate()
