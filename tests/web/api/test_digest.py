"""The digest: what is unread in few words, and what is to be done."""

from __future__ import annotations

import json
from typing import Any

from bus.config import Config
from tests.fleet import As
from tests.web.conftest import Members, open_members, refusal


def post(caller: As, to: str, body: str, **fields: Any) -> int:
    reply = caller.post("/post", json={"to": to, "body": body, **fields})
    assert reply.status_code == 201, reply.json
    return int(reply.json["seq"])


def digest(caller: As, query: str = "") -> Any:
    reply = caller.get(f"/digest?{query}")
    assert reply.status_code == 200, reply.json
    return reply.json


def unread(caller: As) -> list[int]:
    page = caller.get(f"/messages?unread_by={caller.name}").json
    return [message["seq"] for message in page["messages"]]


def test_the_urgent_comes_first_and_what_is_due(members: Members) -> None:
    plain = post(members.web1, "db1", "one\ntwo")
    fyi = post(members.admin, "db1", "fyi", priority="fyi")
    brief = members.web1.post(
        "/briefs",
        json={
            **{"to": "db1", "title": "Deploy Blocker", "body": "it locks", "priority": "high"},
            "action": ["later", "soon due:2026-03-28"],
        },
    ).json
    urgent = post(members.web1, "any", "now", priority="urgent")
    found = digest(members.db1)
    assert [one["seq"] for one in found["messages"]] == [urgent, brief["seq"], plain, fyi]
    assert found["messages"][1]["title"] == "Deploy Blocker"
    assert (found["unread"], found["is_exact"], found["more"]) == (4, True, 0)
    assert found["by_sender"] == {"web1": 3, "admin": 1}
    assert found["by_priority"] == {"normal": 2, "fyi": 1, "urgent": 1}
    assert [one["title"] for one in found["actions"]] == ["soon", "later"]
    text = members.db1.get("/digest?format=text").get_data(as_text=True)
    assert text.splitlines() == [
        "db1: 4 unread",
        "1 urgent, 2 normal, 1 fyi; from web1 3, admin 1",
        f"{urgent} URGENT web1",
        "  now",
        f"{brief['seq']} HIGH web1: Deploy Blocker",
        "  it locks",
        f"{plain} web1",
        "  one two…",
        f"{fyi} FYI admin",
        "  fyi",
        "action 2 open HIGH db1 due 2026-03-28 OVERDUE: soon",
        "action 1 open HIGH db1: later",
    ]
    receipts = members.web1.get(f"/messages/{plain}/receipts").json["receipts"]
    assert receipts["db1"]["fetched"] is None
    assert len(unread(members.db1)) == 4


def test_what_it_shows_is_acknowledged_only_where_that_is_asked_for(members: Members) -> None:
    seqs = [post(members.web1, "db1", "x" * 300) for _ in range(40)]
    assert "acked" not in members.db1.post("/digest", json={}).json
    assert unread(members.db1) == seqs
    found = members.db1.post("/digest", json={"ack": 1}).json
    shown = [one["seq"] for one in found["messages"]]
    assert found["acked"] == shown
    assert 0 < len(shown) < 40
    assert found["more"] == 40 - len(shown)
    assert unread(members.db1) == seqs[len(shown) :]
    refusal(members.db1.post("/digest", json={"reader": "web1", "ack": 1}), 403, "not_your_name")
    refusal(members.db1.get("/digest?ack=1"), 400, "unknown_field")


def test_a_digest_keeps_to_its_budget(members: Members) -> None:
    for number in range(40):
        post(members.web1, "db1", f"{number} " + "y" * 300)
        members.web1.post("/actions", json={"title": "z" * 150, "assignee": "db1"})
    for budget in (500, 3_000):
        text = members.db1.get(f"/digest?budget={budget}&format=text").get_data(as_text=True)
        assert len(text) < budget + 200
    assert digest(members.db1)["actions"]


def test_a_session_reads_its_machines_mail_too(members: Members) -> None:
    seq = post(members.web1, "db1", "x")
    members.web1.post("/actions", json={"title": "t", "assignee": "db1", "to": ["admin"]})
    found = digest(members.db1, "reader=db1/alpha")
    assert found["messages"][0]["seq"] == seq
    assert [one["title"] for one in found["actions"]] == ["t"]
    members.db1.post("/digest", json={"reader": "db1/alpha", "ack": 1})
    assert unread(members.db1) == []


def test_the_urgent_comes_first_behind_any_number_of_others(members: Members) -> None:
    lines = [json.dumps({"to": "db1", "body": f"{number}"}) for number in range(600)]
    kind = "application/x-ndjson"
    assert members.web1.post("/post", data="\n".join(lines), content_type=kind).status_code < 300
    fyi = [post(members.web1, "db1", "fyi", priority="fyi")]
    brief = {"to": "db1", "title": "plan", "body": "x" * 5_000, "priority": "high"}
    high = members.web1.post("/briefs", json=brief).json["seq"]
    urgent = post(members.admin, "any", "now", priority="urgent")
    found = digest(members.db1, "budget=2000")
    assert [one["seq"] for one in found["messages"][:2]] == [urgent, high]
    assert fyi[0] not in [one["seq"] for one in found["messages"]]
    assert (found["unread"], found["is_exact"]) == (603, True)
    assert found["more"] == 603 - len(found["messages"])
    assert found["by_sender"] == {"web1": 602, "admin": 1}
    assert found["by_priority"] == {"normal": 601, "fyi": 1, "urgent": 1}
    for _ in range(2):
        acked = members.db1.post("/digest", json={"ack": 1}).json["acked"]
    assert urgent not in acked and len(acked) > 10


def test_a_digest_is_private(config: Config) -> None:
    for private in open_members(Config(data_dir=config.data_dir, fsync="never", private=True)):
        post(private.web1, "db1", "a secret")
        refusal(private.web1.get("/digest?reader=db1"), 403, "not_your_name")
        refusal(private.shared.get("/digest"), 400, "missing_field")
        assert digest(private.db1)["unread"] == 1
        assert digest(private.admin, "reader=db1")["unread"] == 1


def test_a_title_that_is_the_first_line_is_said_once(members: Members) -> None:
    for body in ("# Green\n", "\n# Red\n\nIt is\nred.", "x" * 400):
        assert members.web1.post("/briefs", json={"to": "db1", "body": body}).status_code == 201
    found = digest(members.db1)["messages"]
    assert [(one["title"][:5], one["text"][:9]) for one in found] == [
        ("Green", ""),
        ("Red", "It is red"),
        ("xxxxx", "xxxxxxxxx"),
    ]
    text = members.db1.get("/digest?format=text").get_data(as_text=True).splitlines()
    heads = [f"{one['seq']} web1: {one['title']}" for one in found]
    assert text[2:5] == [*heads[:2], "  It is red.…"]
