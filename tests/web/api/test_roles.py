"""Roles: the first candidate who is there has the role, and the next one inherits its mail."""

from __future__ import annotations

from typing import Any

import pytest

from bus.hub import roles as hub_roles
from tests.fleet import As
from tests.web.conftest import Members, refusal


def claim(caller: As, role: str = "deployer", name: str | None = None) -> dict[str, Any]:
    fields = {} if name is None else {"name": name}
    reply = caller.post(f"/roles/{role}/claim", json=fields)
    assert reply.status_code == 200, reply.json
    found: dict[str, Any] = reply.json["role"]
    return found


def release(caller: As, role: str = "deployer") -> dict[str, Any]:
    found: dict[str, Any] = caller.post(f"/roles/{role}/release").json["role"]
    return found


def post(caller: As, body: str = "deploy", to: Any = "role:deployer") -> dict[str, Any]:
    reply = caller.post("/post", json={"to": to, "body": body})
    assert reply.status_code == 201, reply.json
    found: dict[str, Any] = reply.json
    return found


def unread(caller: As, name: str | None = None, tag: str = "") -> list[str]:
    messages = caller.get(f"/messages?unread_by={name or caller.name}{tag}").json["messages"]
    return [message["body"] for message in messages if message["from"] != "bus"]


def test_mail_to_a_role_reaches_its_holder(members: Members) -> None:
    assert claim(members.db1)["holder"] == "db1"
    posted = post(members.web1)
    assert posted["delivery"] == {"role:deployer": {"holder": "db1", "unread": 1}}
    assert [recipient["name"] for recipient in posted["recipients"]] == ["db1"]
    assert unread(members.db1) == ["deploy"]
    assert unread(members.admin) == []
    inbox = members.db1.get("/inbox").json
    assert "deploy" in [message["body"] for message in inbox["messages"]]
    members.db1.ack(posted, "db1")
    assert unread(members.db1) == []


def test_the_next_candidate_inherits_the_unread_mail_and_is_told(members: Members) -> None:
    claim(members.db1)
    assert claim(members.web1) == {
        **claim(members.web1),
        "holder": "db1",
        "candidates": ["db1", "web1"],
    }
    done, left = post(members.admin, "done"), post(members.admin, "left")
    members.db1.ack(done, "db1")
    assert release(members.db1)["holder"] == "web1"
    assert unread(members.web1) == ["left"]
    assert unread(members.db1) == []
    told = members.web1.get("/messages?unread_by=web1&tag=role").json["messages"]
    assert [message["body"] for message in told] == [
        "You have the role deployer now after db1, with 1 unread message."
    ]
    members.web1.ack(left, "web1")
    release(members.web1)
    claim(members.db1)
    assert unread(members.db1) == []


def test_a_role_passes_on_when_the_lease_of_its_holder_ends(members: Members) -> None:
    members.db1.post("/agents", json={"session": "alpha", "pid": 7})
    claim(members.db1, name="db1/alpha")
    claim(members.web1)
    post(members.admin)
    members.hub.chores.do()
    assert members.admin.get("/roles").json["roles"][0]["holder"] == "db1/alpha"
    members.later(61)
    members.web1.get("/health")
    for _ in range(2):
        members.hub.chores.do()
    assert members.admin.get("/roles").json["roles"][0]["holder"] == "web1"
    assert unread(members.web1) == ["deploy"]
    assert len(members.records("role_given")) == 2


def test_a_role_without_a_holder_keeps_its_mail_and_the_sender_hears_so(
    members: Members,
) -> None:
    nobody = post(members.admin, "early")
    assert nobody["delivery"] == {"role:deployer": {"holder": None, "unread": 1}}
    assert nobody["warnings"] == ["role:deployer has no holder. Its mail waits for the next one."]
    claim(members.db1)
    assert unread(members.db1) == ["early"]
    members.later(3600)
    members.hub.chores.do()
    assert members.admin.get("/roles").json["roles"][0]["holder"] is None
    members.db1.get("/health")
    members.hub.chores.do()
    role = members.admin.get("/roles").json["roles"][0]
    assert (role["holder"], role["unread"]) == ("db1", 1)


def test_two_workers_give_a_role_once(members: Members, restarted: Members) -> None:
    claim(members.db1)
    claim(restarted.web1)
    members.db1.post("/roles/deployer/release")
    restarted.hub.roles.give_on()
    members.hub.roles.give_on()
    assert [record["name"] for record in members.records("role_given")] == ["db1", "web1"]


def test_nobody_claims_for_another(members: Members) -> None:
    reply = members.web1.post("/roles/deployer/claim", json={"name": "db1"})
    refusal(reply, 403, "not_your_name")
    refusal(members.web1.post("/roles/nothing/release"), 404, "no_such_role")
    refusal(members.web1.post("/roles/a.b/claim"), 400, "bad_field")
    refusal(members.web1.post("/post", json={"to": "role:a b", "body": "x"}), 400, "bad_field")


def test_a_revoked_machine_has_no_role(members: Members) -> None:
    claim(members.db1)
    claim(members.web1)
    members.admin.post("/api/credentials/revoke", json={"name": "db1"})
    members.hub.chores.do()
    assert members.admin.get("/roles").json["roles"][0]["holder"] == "web1"


def test_one_credential_has_so_many_claims(
    members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_roles, "MOST_CLAIMS", 1)
    claim(members.db1)
    claim(members.db1)
    refusal(members.db1.post("/roles/other/claim"), 429, "over_quota")


def test_roles_as_text(members: Members) -> None:
    assert members.admin.get("/roles?format=text").get_data(as_text=True) == "no roles\n"
    claim(members.db1)
    text = members.admin.get("/roles?format=text").get_data(as_text=True)
    assert text == "deployer db1, 0 unread, candidates db1\n"
