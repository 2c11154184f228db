"""The mail of a machine: every session sees it, and one acknowledgement settles it for all."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fleet import As
from tests.web.conftest import Members

BOTH = "machine=1"


def post(caller: As, to: Any, body: str) -> dict[str, Any]:
    reply = caller.post("/post", json={"to": to, "body": body})
    assert reply.status_code == 201, reply.json
    found: dict[str, Any] = reply.json
    return found


def unread(caller: As, name: str, query: str = BOTH) -> list[str]:
    return caller.bodies(f"unread_by={name}&{query}")


def ack(caller: As, message: dict[str, Any], reader: str, **fields: Any) -> dict[str, Any]:
    reply = caller.post(f"/ack/{message['id']}", json={"reader": reader, **fields})
    assert reply.status_code == 200, reply.json
    found: dict[str, Any] = reply.json
    return found


@pytest.fixture
def mail(members: Members) -> dict[str, dict[str, Any]]:
    """A message to the machine, to each of its sessions, and to everybody."""
    return {
        body: post(members.db1, to, body)
        for body, to in {
            "machine": "web1",
            "alpha": "web1/alpha",
            "bravo": "web1/bravo",
            "all": "any",
            "two": ["web1", "web1/alpha"],
        }.items()
    }


def test_a_session_reads_its_own_mail_and_its_machines(
    members: Members, mail: dict[str, Any]
) -> None:
    assert unread(members.web1, "web1/alpha") == ["machine", "alpha", "all", "two"]
    assert unread(members.web1, "web1/bravo") == ["machine", "bravo", "all", "two"]
    assert unread(members.web1, "web1/alpha", "machine=0") == ["alpha", "all", "two"]
    assert unread(members.web1, "web1") == ["machine", "all", "two"]
    inbox = members.web1.get(f"/inbox?reader=web1/alpha&{BOTH}").json
    assert inbox["unread"] == len(inbox["messages"]) == 4


def test_one_ack_settles_the_machines_mail_for_all(members: Members, mail: dict[str, Any]) -> None:
    for body in ("machine", "all"):
        ack(members.web1, mail[body], "web1/alpha", machine=1)
    assert unread(members.web1, "web1/alpha") == ["alpha", "two"]
    assert unread(members.web1, "web1/bravo") == ["bravo", "two"]
    assert unread(members.web1, "web1", "") == ["two"]
    again = ack(members.web1, mail["all"], "web1/bravo", machine=True)
    assert (again["acked"], again["already"]) == ([], [mail["all"]["seq"]])
    by = [record.get("by") for record in members.records("ack")]
    assert by == ["web1/alpha", "web1/alpha"]


def test_a_message_to_both_is_done_in_both(members: Members, mail: dict[str, Any]) -> None:
    ack(members.web1, mail["two"], "web1/alpha", machine=1)
    assert "two" not in unread(members.web1, "web1/alpha")
    assert "two" not in unread(members.web1, "web1", "")


def test_without_the_flag_an_ack_is_the_sessions_alone(
    members: Members, mail: dict[str, Any]
) -> None:
    ack(members.web1, mail["all"], "web1/alpha")
    assert "all" not in unread(members.web1, "web1/alpha", "machine=0")
    assert "all" in unread(members.web1, "web1", "")


def test_through_settles_all_mailboxes_of_a_session(members: Members, mail: dict[str, Any]) -> None:
    through = {"reader": "web1/alpha", "through": mail["two"]["id"], "machine": 1}
    assert members.web1.post("/ack", json=through).status_code == 200
    assert unread(members.web1, "web1/alpha") == []
    assert unread(members.web1, "web1", "") == []
    assert unread(members.web1, "web1/bravo") == ["bravo"]
    assert unread(members.web1, "web1/bravo", "machine=0") == ["bravo", "all"]


def test_a_wait_ends_with_the_machines_mail(members: Members) -> None:
    assert unread(members.web1, "web1/alpha", f"{BOTH}&wait=0.1") == []
    post(members.db1, "web1", "hello")
    assert unread(members.web1, "web1/alpha", f"{BOTH}&wait=5") == ["hello"]


def test_a_rebuilt_index_knows_what_was_done_for_the_machine(
    members: Members, mail: dict[str, Any]
) -> None:
    ack(members.web1, mail["machine"], "web1/alpha", machine=1)
    members.hub.index.rebuild()
    assert unread(members.web1, "web1/bravo") == ["bravo", "all", "two"]


@pytest.mark.parametrize("value", [2, "yes", [], -1])
def test_a_bad_flag_is_refused(members: Members, value: Any) -> None:
    message = post(members.db1, "web1", "x")
    reply = members.web1.post(f"/ack/{message['id']}", json={"machine": value})
    assert reply.status_code == 400
    assert members.web1.get("/messages?unread_by=web1/alpha&machine=2").status_code == 400


def given(caller: As, session: str) -> dict[str, str | None]:
    """For each unread message, who else has it."""
    found = caller.get(f"/messages?unread_by={session}&{BOTH}").json["messages"]
    return {message["body"]: message.get("given_to", {}).get("name") for message in found}


def test_the_machines_mail_is_given_to_the_session_that_reads_it_first(
    members: Members, restarted: Members, mail: dict[str, Any]
) -> None:
    for session in ("alpha", "bravo"):
        members.web1.post("/agents", json={"session": session, "session_id": session})
    assert set(given(members.web1, "web1/alpha").values()) == {None}
    assert given(restarted.web1, "web1/bravo") == {
        "machine": "web1/alpha",
        "bravo": None,
        "all": None,
        "two": "web1/alpha",
    }
    text = restarted.web1.get(f"/inbox?reader=web1/bravo&{BOTH}&format=text").get_data(as_text=True)
    assert "[given to alpha 0 s ago]" in text
    text = members.web1.get(f"/messages?unread_by=web1/bravo&{BOTH}&format=text")
    assert " given to web1/alpha 0 s ago " in text.get_data(as_text=True)


def test_without_an_ack_it_is_given_to_the_next(members: Members, mail: dict[str, Any]) -> None:
    for session in ("alpha", "bravo"):
        members.web1.post("/agents", json={"session": session, "session_id": session})
    given(members.web1, "web1/alpha")
    members.later(599)
    assert given(members.web1, "web1/bravo")["machine"] == "web1/alpha"
    members.later(601)
    assert given(members.web1, "web1/bravo")["machine"] is None
    assert given(members.web1, "web1/alpha")["machine"] == "web1/bravo"


def test_what_a_session_had_that_left_is_given_to_the_next(
    members: Members, mail: dict[str, Any]
) -> None:
    members.web1.post("/agents", json={"session": "alpha", "pid": 7})
    given(members.web1, "web1/alpha")
    members.web1.delete("/agents/web1/alpha")
    assert given(members.web1, "web1/bravo")["machine"] is None


def test_a_peek_takes_nothing(members: Members, mail: dict[str, Any]) -> None:
    members.db1.get(f"/messages?unread_by=web1/alpha&{BOTH}")
    assert members.web1.get(f"/messages?unread_by=web1/alpha&{BOTH}&peek=1").json["count"] > 0
    assert given(members.web1, "web1/bravo")["machine"] is None
