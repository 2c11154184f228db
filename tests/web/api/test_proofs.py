"""Proof of context: `412.k7f3` was shown to one session, and only with message 412."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.fleet import As
from tests.web.conftest import Members

ALPHA, BRAVO = "web1/alpha", "web1/bravo"


def post(caller: As, to: str, body: str = "hello", **fields: Any) -> dict[str, Any]:
    reply = caller.post("/post", json={"to": to, "body": body, **fields})
    assert reply.status_code == 201, reply.json
    found: dict[str, Any] = reply.json
    return found


def frame(caller: As, name: str = ALPHA) -> str:
    about = {"hook_event_name": "SessionStart", "session_id": name}
    reply = caller.post(f"/hooks/claude-code?name={name}&within_ms=10000", json=about)
    return str(reply.json["hookSpecificOutput"]["additionalContext"])


def shown_ref(text: str, seq: int) -> str:
    found = re.search(rf"^{seq}\.[a-z][0-9a-z]{{3}}(?= )", text, re.MULTILINE)
    assert found, text
    return found[0]


def proven(caller: As, seq: int, name: str = ALPHA) -> list[str]:
    trace = caller.get(f"/messages/{seq}/trace").json["trace"]
    return [step["by"] for step in trace.get(name, ()) if step["step"] == "in_context"]


def reply_to(caller: As, ref: str, name: str) -> None:
    post(caller, "db1", "yes", **{"from": name, "in_reply_to": ref})


def ack(caller: As, ref: str, name: str) -> None:
    done = caller.post("/ack", json={"reader": name, "ids": [ref]})
    assert done.json["acked"] or done.json["already"], done.json


def ack_path(caller: As, ref: str, name: str) -> None:
    assert caller.post(f"/ack/{ref}?reader={name}").status_code == 200


def ack_through(caller: As, ref: str, name: str) -> None:
    assert caller.post("/ack", json={"reader": name, "through": ref}).status_code == 200


def read(caller: As, ref: str, name: str) -> None:
    assert caller.get(f"/messages/{ref}?reader={name}").status_code == 200


def read_plain(caller: As, ref: str, name: str) -> None:
    assert caller.get(f"/messages/{ref}").status_code == 200


def many(caller: As, ref: str, name: str) -> None:
    line = json.dumps({"from": name, "to": "db1", "body": "yes", "in_reply_to": ref})
    sent = caller.post("/post", data=line + "\n", content_type="application/x-ndjson")
    assert sent.status_code in (200, 201, 207), sent.data


USES = [
    (reply_to, "reply"),
    (many, "reply"),
    (ack, "ack"),
    (ack_path, "ack"),
    (ack_through, "ack"),
    (read, "read"),
    (read_plain, "read"),
]


@pytest.mark.parametrize(("use", "by"), USES)
def test_each_use_of_a_shown_reference_proves_it(members: Members, use: Any, by: str) -> None:
    seq = post(members.db1, ALPHA)["seq"]
    ref = shown_ref(frame(members.web1), seq)
    assert proven(members.db1, seq) == []
    use(members.web1, ref.upper(), ALPHA)
    use(members.web1, ref, ALPHA)
    assert proven(members.db1, seq) == [by]


@pytest.mark.parametrize(("use", "by"), USES)
def test_a_wrong_one_proves_nothing_and_is_the_message_all_the_same(
    members: Members, use: Any, by: str
) -> None:
    seq = post(members.db1, ALPHA)["seq"]
    ref = shown_ref(frame(members.web1), seq)
    wrong = f"{seq}.{'b' if ref[-4] != 'b' else 'c'}{ref[-3:]}"
    use(members.web1, wrong, ALPHA)
    assert proven(members.db1, seq) == []


def test_it_is_another_for_each_session_and_each_message(members: Members) -> None:
    one, two = post(members.db1, "web1")["seq"], post(members.db1, "web1")["seq"]
    mine, other = frame(members.web1), frame(members.web1, BRAVO)
    refs = {shown_ref(text, seq) for text in (mine, other) for seq in (one, two)}
    assert len({ref.partition(".")[2] for ref in refs}) == 4
    assert shown_ref(frame(members.web1), one) == shown_ref(mine, one)


def test_another_member_proves_nothing_with_it(members: Members) -> None:
    seq = post(members.db1, ALPHA)["seq"]
    ref = shown_ref(frame(members.web1), seq)
    read_plain(members.db1, ref, "db1")
    assert members.db1.get(f"/messages/{ref}?reader={ALPHA}").status_code == 403
    post(members.db1, ALPHA, "again", in_reply_to=ref)
    assert proven(members.db1, seq) == []


def test_an_id_can_have_one_too(members: Members) -> None:
    sent = post(members.db1, ALPHA)
    ref = shown_ref(frame(members.web1), sent["seq"])
    read(members.web1, f"{sent['id'].lower()}.{ref[-4:]}", ALPHA)
    assert proven(members.db1, sent["seq"]) == ["read"]


def test_what_is_shown_in_part_has_none(members: Members) -> None:
    seq = post(members.db1, ALPHA, "x" * 30_000)["seq"]
    text = frame(members.web1)
    assert re.search(rf"^{seq} now from db1", text, re.MULTILINE)
    assert f"`bus ack {seq}`" in text


def test_the_inbox_of_a_session_has_it_and_that_of_others_has_not(members: Members) -> None:
    seq = post(members.db1, [ALPHA, "web1"])["seq"]  # type: ignore[arg-type]
    own = members.web1.get(f"/inbox?reader={ALPHA}&format=text").get_data(as_text=True)
    ref = shown_ref(own, seq)
    as_json = members.web1.get(f"/inbox?reader={ALPHA}").json["messages"]
    assert [message["ref"] for message in as_json] == [ref]
    assert "ref" not in members.web1.get("/inbox").json["messages"][0]
    assert "ref" not in members.db1.get(f"/inbox?reader={ALPHA}").json["messages"][0]


def test_tools_show_it_and_take_it(members: Members) -> None:
    seq = post(members.db1, ALPHA)["seq"]

    def use(tool: str, **given: Any) -> Any:
        call = {"name": tool, "arguments": given}
        asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
        return members.web1.post(f"/mcp?name={ALPHA}", json=asked).json["result"]

    ref = use("bus_inbox")["structuredContent"]["messages"][0]["ref"]
    assert ref == shown_ref(frame(members.web1), seq)
    assert use("bus_read", ref=ref)["structuredContent"]["message"]["ref"] == ref
    assert proven(members.db1, seq) == ["read"]
    assert use("bus_ack", refs=[ref])["structuredContent"]["acked"] == 1
    assert use("bus_read", search="hello")["structuredContent"]["messages"][0]["ref"] == seq


def test_the_trace_as_text_says_what_proved_it(members: Members) -> None:
    seq = post(members.db1, ALPHA)["seq"]
    reply_to(members.web1, shown_ref(frame(members.web1), seq), ALPHA)
    text = members.db1.get(f"/messages/{seq}/trace?format=text").get_data(as_text=True)
    assert re.search(r"web1/alpha: .*in_context \S+ \(reply\)", text)


def test_a_session_proves_nothing_of_another_and_the_machine_may_be_its_shell(
    members: Members,
) -> None:
    seq = post(members.db1, "web1")["seq"]
    ref = shown_ref(frame(members.web1), seq)
    ack(members.web1, ref, BRAVO)
    reply_to(members.web1, ref, BRAVO)
    read(members.web1, ref, BRAVO)
    assert proven(members.db1, seq) == []
    ack(members.web1, ref, "web1")
    assert proven(members.db1, seq) == ["ack"]


def test_of_two_references_to_a_message_the_one_that_proves_counts(members: Members) -> None:
    seq = post(members.db1, ALPHA)["seq"]
    ref = shown_ref(frame(members.web1), seq)
    members.web1.post("/ack", json={"reader": ALPHA, "ids": [seq, ref]})
    assert proven(members.db1, seq) == ["ack"]
