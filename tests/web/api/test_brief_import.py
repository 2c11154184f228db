"""Files of another mail system become briefs: once, and with what they say of their writers as a
claim.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.fleet import As
from tests.web.conftest import Members, refusal

FILE = """---
title: Deploy Blocker
date: 2026-03-24
from: alpha (server1)
to: charlie (server2)
in_reply_to: msg-17
action: review the migration
ticket: 0123
---
The text.\r

- [ ] ask @db1 !urgent
"""
CLAIM = 'claimed from "alpha (server1)"'


def take_in(caller: As, text: str = FILE, **more: Any) -> Any:
    return caller.post("/import", json={"markdown": text, **more})


def taken_in(caller: As, text: str = FILE, **more: Any) -> dict[str, Any]:
    reply = take_in(caller, text, **more)
    assert reply.status_code == 201, reply.json
    found: dict[str, Any] = reply.json
    return found


def unread(caller: As, name: str) -> list[int]:
    page = caller.get(f"/messages?unread_by={name}").json
    return [message["seq"] for message in page["messages"]]


def test_a_file_of_the_inbox_is_unread_and_its_sender_is_a_claim(members: Members) -> None:
    brief = taken_in(members.web1, name="web1/charlie")
    assert (brief["from"], brief["to"], brief["trust"]) == ("web1/import", "web1/charlie", "shared")
    assert brief["body"] == FILE.partition("0123\n---\n")[2]
    assert (brief["brief"]["title"], brief["brief"]["date"]) == ("Deploy Blocker", "2026-03-24")
    assert brief["brief"]["extra"] == {
        "ticket": "0123",
        "claimed_from": "alpha (server1)",
        "claimed_to": "charlie (server2)",
        "claimed_in_reply_to": "msg-17",
    }
    assert unread(members.web1, "web1/charlie") == [brief["seq"]]
    for path in (f"/briefs/{brief['id']}", "/inbox"):
        text = members.web1.get(
            f"{path}?format=text&reader=web1/charlie".replace(
                "&reader=web1/charlie", "" if "briefs" in path else "&reader=web1/charlie"
            )
        ).get_data(as_text=True)
        assert CLAIM in text and "web1/import" in text
    found = members.web1.get(f"/briefs/{brief['id']}?format=markdown").get_data(as_text=True)
    assert "\nfrom: web1/import\n" in found and "\nclaimed_from: alpha (server1)\n" in found


def test_nobody_else_gets_work_or_mail_from_it(members: Members) -> None:
    brief = taken_in(members.web1, name="web1/charlie")
    assert [(one["title"], one["assignee"]) for one in brief["actions"]] == [
        ("review the migration", "web1/charlie"),
        ("ask", None),
    ]
    assert unread(members.db1, "db1") == unread(members.web1, "web1") == []


@pytest.mark.parametrize("box", ["archive", "sent"])
def test_what_is_done_is_done_and_makes_no_actions(members: Members, box: str) -> None:
    brief = taken_in(members.web1, name="web1/charlie", box=box)
    assert unread(members.web1, "web1/charlie") == []
    assert "actions" not in brief and "actions" not in brief["brief"]
    assert members.web1.get("/actions?status=all").json["actions"] == []
    assert "acked_by" not in brief
    receipt = members.web1.get(f"/messages/{brief['id']}/receipts").json["receipts"]
    if box == "archive":
        assert receipt["web1/charlie"]["acked"] == brief["ts"]
        assert len(members.records("ack")) == 0  # it never was unread, not even for a moment


def test_what_a_name_has_sent_is_from_it_and_goes_to_nobody(members: Members) -> None:
    mine = "---\nfrom: charlie (server2)\nto: all\n---\nb"
    brief = taken_in(members.web1, mine, name="web1/charlie", box="sent")
    assert (brief["from"], brief["to"]) == ("web1/charlie", "web1/charlie")
    assert brief["brief"]["extra"] == {"claimed_to": "all"}
    other = taken_in(members.web1, FILE, name="web1/charlie", box="sent")
    assert other["brief"]["extra"]["claimed_from"] == "alpha (server1)"
    assert unread(members.db1, "db1") == []


def test_the_same_file_is_one_brief_wherever_it_lies(members: Members, restarted: Members) -> None:
    first = taken_in(members.web1, name="web1/charlie")
    again = taken_in(restarted.web1, name="web1/charlie")
    assert (again["id"], again["replayed"]) == (first["id"], True)
    assert unread(members.web1, "web1/charlie") == [first["seq"]]
    # Read in the other system since: it is read here too.
    archived = taken_in(restarted.web1, name="web1/charlie", box="archive")
    assert (archived["id"], archived["replayed"]) == (first["id"], True)
    assert unread(members.web1, "web1/charlie") == []
    assert len(members.records("message")) == 1
    assert len(members.web1.get("/actions?status=all").json["actions"]) == 2
    # The other way round it stays read.
    done = taken_in(members.web1, FILE + "x", name="web1/charlie", box="archive")
    assert taken_in(members.web1, FILE + "x", name="web1/charlie")["id"] == done["id"]
    assert unread(members.web1, "web1/charlie") == []


def test_the_shared_user_has_it_once_from_any_machine(members: Members) -> None:
    one = taken_in(members.shared, name="charlie")
    assert (one["from"], one["verified"]) == ("import", False)
    assert taken_in(members.shared, name="charlie")["id"] == one["id"]
    assert taken_in(members.shared, name="delta")["id"] != one["id"]


def test_a_machine_takes_in_its_own_mail_too(members: Members) -> None:
    brief = taken_in(members.web1)
    assert (brief["from"], brief["to"]) == ("web1/import", "web1")
    assert unread(members.web1, "web1") == [brief["seq"]]


def test_only_the_credential_of_a_name_fills_its_mailbox(members: Members) -> None:
    refusal(take_in(members.web1, name="db1"), 403, "not_your_name")
    refusal(take_in(members.admin, name="web1"), 403, "not_your_name")
    refusal(take_in(members.shared, name="web1/x"), 403, "not_your_name")
    refusal(take_in(members.shared), 400, "missing_field")
    assert members.records("message") == []


def test_a_file_cannot_make_itself_more_than_a_claim(members: Members) -> None:
    text = "---\nfrom: db1\nverified: true\ntrust: human\nauth: db1\nacked_by: db1\n---\nb"
    brief = taken_in(members.web1, text)
    assert (brief["from"], brief["auth"], brief["trust"]) == ("web1/import", "web1", "shared")
    assert brief["brief"]["extra"]["claimed_from"] == "db1"
    shown = members.web1.get(f"/briefs/{brief['id']}?format=text").get_data(as_text=True)
    assert "web1/import > web1" in shown and "claimed from db1" in shown


def test_the_importer_signs_nothing_that_others_wrote(members: Members) -> None:
    signature = {"name": "web1/import", "signature": "// web1"}
    members.web1.call("PUT", "/signature", json=signature)
    assert not taken_in(members.web1)["brief"]["signature"]
    signed = taken_in(members.web1, "---\nsignature: // alpha, over\n---\nb")
    assert signed["brief"]["signature"] == "// alpha, over"


def test_dates_and_threads_of_another_form_are_kept_as_claims(members: Members) -> None:
    brief = taken_in(members.web1, "---\ndate: 24th of March\nthread: [a, b]\n---\nb")["brief"]
    assert "date" not in brief
    assert brief["extra"] == {"claimed_date": "24th of March", "claimed_thread": ["a", "b"]}
    good = taken_in(members.web1, "---\nthread: deploys\n---\nb")
    assert (good["thread"], "extra" in good["brief"]) == ("deploys", False)


@pytest.mark.parametrize(
    ("text", "status", "code", "line"),
    [
        ("---\ntitle: x\na: [1\n---\nb", 400, "bad_brief", 4),
        ("---\ntitle: x\npriority: medium\n---\nb", 400, "bad_field", 3),
        ("---\nnever closed", 400, "bad_brief", 1),
        ("---\ntitle: x\n---\n", 400, "missing_field", None),
        ("x" * 70_000, 413, "too_large", None),
        ("x" * 120_000, 413, "too_large", None),
        ("", 400, "bad_field", None),
    ],
)
def test_a_broken_file_names_its_line_and_stores_nothing(
    members: Members, text: str, status: int, code: str, line: int | None
) -> None:
    assert refusal(take_in(members.web1, text), status, code).get("line") == line
    assert members.records("message") == []


def test_who_gets_the_name_anew_takes_in_its_own(members: Members) -> None:
    first = taken_in(members.web1)
    members.admin.post("/api/credentials/revoke", json={"name": "web1"})
    secret = members.admin.post("/api/credentials", json={"name": "web1"}).json["secret"]
    assert taken_in(As(members.app, "web1", secret))["id"] != first["id"]
