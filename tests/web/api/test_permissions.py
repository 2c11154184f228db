"""POST /api/permit, GET /api/permissions and the check."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bus.runner.client import RunnerClient
from bus.system.sockets import address_of
from bus.web.api import permissions
from tests.conftest import move
from tests.fleet import As, Fleet
from tests.web.conftest import refusal


def test_nothing_is_allowed_until_it_is_granted_and_from_then_on_it_is(fleet: Fleet) -> None:
    body = refusal(fleet.web1.exec("true"), 403, "not_permitted")
    assert (body["action"], body["rule"]) == ("exec", None)
    refusal(fleet.admin.exec("true"), 403, "not_permitted")
    fleet.permit()
    assert fleet.web1.exec("true").status_code == 200
    refusal(fleet.web1.exec("true", target="den"), 403, "not_permitted")
    refusal(fleet.db1.exec("true"), 403, "not_permitted")
    fleet.permit(allow=False)
    assert refusal(fleet.web1.exec("true"), 403, "not_permitted")["rule"]["allow"] is False


def test_a_permission_tells_who_granted_it_when(fleet: Fleet) -> None:
    made = fleet.permit(commands=["git status", ["ls", "-l a"]], expires_in_s=60)
    assert (made["by"], made["commands"], made["actions"]) == (
        "admin",
        [["git", "status"], ["ls", "-l a"]],
        ["exec"],
    )
    assert made["expires"] > made["granted"]
    read = fleet.permit(actions=["file_read"])
    listed = fleet.admin.get("/api/permissions").json["permissions"]
    assert [
        (rule["source"], rule["target"], rule["action"], rule["granted"]) for rule in listed
    ] == [
        ("web1", "box", "exec", made["granted"]),
        ("web1", "box", "file_read", read["granted"]),
    ]
    assert all(rule["by"] == "admin" for rule in listed)


def test_a_permission_for_names_that_nobody_has_says_so_and_holds(fleet: Fleet) -> None:
    assert fleet.permit("nobody", "box")["unknown"] == {
        "source": "No machine nobody has a credential."
    }
    assert fleet.permit("web1", "nowhere")["unknown"] == {"target": "There is no target nowhere."}
    member = fleet.permit("nobody", "db1", allow=False)["unknown"]
    assert list(member) == ["source", "target"], "a mistyped deny stops nobody"
    assert member["target"] == "db1 is a member, but no target: add it to targets.toml."
    for source, target in (("web1", "box"), ("*", "den"), ("web1", "*")):
        assert "unknown" not in fleet.permit(source, target)
    removed = {"source": "nobody", "target": "db1", "allow": None}
    assert "unknown" not in fleet.admin.post("/api/permit", json=removed).json["permission"]
    rules = fleet.admin.get("/api/permissions?source=nobody").json["permissions"]
    assert {rule["target"] for rule in rules} == {"box"}
    assert all("unknown" not in rule for rule in rules)
    fleet.runner.service.targets.list = lambda: ([], {"lxc": "away"})  # type: ignore[method-assign]
    fleet.runner._listed = (float("-inf"), {})
    assert "unknown" not in fleet.permit("web1", "elsewhere"), "nobody can tell"


def test_a_service_that_hangs_keeps_no_permission_from_being_answered(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(permissions, "_LOOKED_FOR_S", 0.1)
    with socket.socket(socket.AF_UNIX) as hung:
        with address_of(fleet.folder / "hung") as address:
            hung.bind(address)
        hung.listen()
        monkeypatch.setattr(RunnerClient, "_connected", _to(fleet.folder / "hung"))
        assert "unknown" not in fleet.permit("web1", "nowhere", allow=False)


def _to(path: Path) -> Callable[[RunnerClient], socket.socket]:
    def connected(_: RunnerClient) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        with address_of(path) as address:
            connection.connect(address)
        return connection

    return connected


def test_commands_are_for_exec_alone(fleet: Fleet) -> None:
    """Who may write any file may run any command."""
    fleet.permit(commands=["uptime"])
    reply = fleet.web1.post(
        "/api/file/write", json={"target": "box", "path": "/cron", "content": "* * * * * root id"}
    )
    refusal(reply, 403, "not_permitted")
    fields = {
        "source": "web1",
        "target": "box",
        "allow": True,
        "commands": ["uptime"],
        "actions": ["exec", "file_write"],
    }
    refusal(fleet.admin.post("/api/permit", json=fields), 400, "bad_field")


def test_a_permission_that_expires_gives_way_to_the_lasting_one(fleet: Fleet) -> None:
    fleet.permit("*", "*")
    fleet.permit(allow=False)
    refusal(fleet.web1.exec("true"), 403, "not_permitted")
    fleet.permit(expires_in_s=60)
    assert fleet.web1.exec("true").status_code == 200
    move(fleet.runner_hub, 61)
    refusal(fleet.web1.exec("true"), 403, "not_permitted")
    move(fleet.runner_hub, 0)
    fleet.permit()
    assert len(fleet.admin.get("/api/permissions?source=web1").json["permissions"]) == 3


def test_a_revoked_name_takes_its_permissions_along(fleet: Fleet) -> None:
    fleet.permit()
    old = fleet.web1.exec("echo secret").json["id"]
    assert fleet.admin.post("/api/credentials/revoke", json={"name": "web1"}).status_code == 200
    secret = fleet.admin.post("/api/credentials", json={"name": "web1"}).json["secret"]
    heir = As(fleet.app, "web1", secret)
    refusal(heir.exec("true"), 403, "not_permitted")
    refusal(heir.get(f"/api/exec/{old}"), 404, "no_such_call")
    assert fleet.admin.get(f"/api/exec/{old}").json["stdout"] is None


def test_a_name_in_another_case_is_not_taken_for_the_machine(fleet: Fleet) -> None:
    fields = {"source": "WEB1", "target": "box", "allow": False}
    assert (
        "web1" in refusal(fleet.admin.post("/api/permit", json=fields), 400, "bad_field")["message"]
    )


def test_a_removed_rule_was_never_said(fleet: Fleet) -> None:
    fleet.permit("*", "box", actions=["exec"])
    fleet.permit(allow=False)
    fleet.permit(expires_in_s=60, actions=["exec"])
    fields = {"source": "web1", "target": "box", "allow": None}
    gone = fleet.admin.post("/api/permit", json={**fields, "actions": ["exec"]}).json["permission"]
    assert (gone["allow"], gone["removed"], gone["by"]) == (None, ["exec"], "admin")
    assert fleet.web1.exec("true").status_code == 200
    read = fleet.web1.get("/api/permissions/check?target=box&action=file_read").json
    assert (read["allowed"], read["rule"]["allow"]) == (False, False)
    assert fleet.admin.post("/api/permit", json=fields).json["permission"]["removed"] == [
        "file_read",
        "file_write",
    ]
    assert fleet.admin.post("/api/permit", json=fields).json["permission"]["removed"] == []
    fleet.hub.index.rebuild()
    listed = fleet.admin.get("/api/permissions").json["permissions"]
    assert [(rule["source"], rule["action"]) for rule in listed] == [("*", "exec")]
    assert [event["allow"] for event in fleet.admin.events("type=permit")][-1] is None


def test_an_expired_permission_is_none(fleet: Fleet) -> None:
    fleet.permit(expires_in_s=1)
    move(fleet.runner_hub, 1.5)
    # By the service's clock: it alone decides.
    refusal(fleet.web1.exec("true"), 403, "not_permitted")


def test_members_see_what_concerns_them(fleet: Fleet) -> None:
    for source, target in (("web1", "box"), ("db1", "box"), ("*", "den"), ("db1", "web1")):
        fleet.permit(source, target, actions=["exec"])
    seen = {
        (rule["source"], rule["target"])
        for rule in fleet.web1.get("/api/permissions").json["permissions"]
    }
    assert seen == {("web1", "box"), ("*", "den"), ("db1", "web1")}
    assert len(fleet.admin.get("/api/permissions?source=db1").json["permissions"]) == 2
    assert len(fleet.admin.get("/api/permissions?target=den").json["permissions"]) == 1


def test_the_check_tells_which_rule_decides(fleet: Fleet) -> None:
    fleet.permit("*", "box", commands=["uptime"])
    fleet.permit("web1", "box", allow=False, actions=["file_write"])
    ask = "/api/permissions/check?target=box&action="
    yes = fleet.web1.get(f"{ask}exec").json
    assert (yes["allowed"], yes["source"], yes["rule"]["source"]) == (True, "web1", "*")
    assert fleet.web1.get(f"{ask}exec&command=uptime%20-p").json["allowed"] is True
    assert fleet.web1.get(f"{ask}exec&command=id").json["allowed"] is False
    no = fleet.web1.get(f"{ask}file_write").json
    assert (no["allowed"], no["rule"]["allow"]) == (False, False)
    none = fleet.admin.get("/api/permissions/check?source=web1&target=den&action=exec").json
    assert (none["allowed"], none["rule"]) == (False, None)
    refusal(fleet.web1.get(f"{ask}exec&source=db1"), 403, "not_allowed")
    refusal(fleet.web1.get(f"{ask}fly"), 400, "bad_field")
    refusal(fleet.web1.get("/api/permissions/check?target=box"), 400, "missing_field")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"target": "box", "allow": True}, "missing_field"),
        ({"source": "web1", "allow": True}, "missing_field"),
        ({"source": "web1", "target": "box"}, "missing_field"),
        ({"source": "web1", "target": "box", "allow": "yes"}, "bad_field"),
        ({"source": "web1/alpha", "target": "box", "allow": True}, "bad_field"),
        ({"source": "web*", "target": "box", "allow": True}, "bad_field"),
        ({"source": "any", "target": "box", "allow": True}, "bad_field"),
        ({"source": "web1", "target": "box", "allow": True, "actions": []}, "bad_field"),
        ({"source": "web1", "target": "box", "allow": True, "actions": ["fly"]}, "bad_field"),
        ({"source": "web1", "target": "box", "allow": True, "commands": []}, "bad_field"),
        ({"source": "web1", "target": "box", "allow": True, "commands": [""]}, "bad_field"),
        ({"source": "web1", "target": "box", "allow": True, "commands": ["id"] * 65}, "bad_field"),
        ({"source": "web1", "target": "box", "allow": True, "approval": True}, "bad_field"),
        ({"source": "web1", "target": "box", "allow": False, "approval": "required"}, "bad_field"),
        ({"source": "web1", "target": "box", "allow": None, "commands": ["id"]}, "bad_field"),
        ({"source": "web1", "target": "box", "allow": None, "expires_in_s": 60}, "bad_field"),
        ({"source": "web1", "target": "box", "allow": True, "expires_in_s": 0}, "bad_field"),
        ({"source": "web1", "target": "box", "allow": True, "by": "human"}, "unknown_field"),
        ({"source": "web1", "target": "box", "allow": True, "from": "web1"}, "not_your_name"),
    ],
)
def test_a_bad_permission_is_refused_and_grants_nothing(
    fleet: Fleet, fields: dict[str, Any], code: str
) -> None:
    refusal(
        fleet.admin.post("/api/permit", json=fields), 403 if code == "not_your_name" else 400, code
    )
    assert fleet.records("permission") == []


def test_permissions_outlive_a_new_index(fleet: Fleet) -> None:
    fleet.permit(commands=["uptime"])
    fleet.hub.index.rebuild()
    assert (
        fleet.web1.get("/api/permissions/check?target=box&action=exec&command=uptime").json[
            "allowed"
        ]
        is True
    )
    refusal(fleet.web1.exec("id"), 403, "not_permitted")
